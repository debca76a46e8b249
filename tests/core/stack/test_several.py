"""One kernel, several stacks: an execution's values, logs and place are those of the stack it was started on."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from tests.core.stack.several import Several

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import set_global_log_store
from kitaru.errors import KitaruArtifactNotFoundError, KitaruLogRetrievalError, KitaruStateError
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.stack.components import Component

LARGE = 100_000
failing: list[int] = []
ran: list[str] = []


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Several:
    failing.clear()
    ran.clear()
    return Several(tmp_path)


@checkpoint
def make(letter: str) -> bytes:
    print("making", letter)
    ran.append(letter)
    return letter.encode() * LARGE


@checkpoint
def fragile(data: bytes) -> int:
    if failing:
        raise OSError("not yet")
    return len(data)


@flow
def work(letter: str) -> int:
    make(letter)
    return fragile(make(letter.upper()))


@checkpoint
def saves(letter: str) -> bytes:
    kitaru.save("saved", letter.encode() * LARGE)
    return letter.upper().encode() * LARGE


@flow
def saving(letter: str) -> bytes:
    return saves(letter)


@flow
def child(letter: str) -> bytes:
    print("child", letter)
    return make(letter)


@flow
def parent(letter: str, where: Any) -> bytes:
    return child.run(letter, stack=where).wait()


@flow
def asking() -> str:
    return kitaru.wait(name="text", schema=str, timeout=0)


def test_values_lie_in_the_store_of_the_executions_own_stack(stacks: Several, kernel: Kernel, own_store: Path) -> None:
    first, second = stacks.on_this_machine("first"), stacks.on_this_machine("second")
    handles = [saving.run("a"), saving.run("b", stack="first"), saving.run("c", stack=second)]
    assert [handle.wait() for handle in handles] == [letter * LARGE for letter in (b"A", b"B", b"C")]
    assert [len(stacks.values(name)) for name in ("first", "second")] == [2, 2]
    assert len(list((own_store / "artifacts").rglob("sha256/*"))) == 2
    client = KitaruClient()
    for handle, letter, stack in zip(handles, "abc", ("default", "first", "second"), strict=True):
        execution = client.executions.get(handle.exec_id)
        assert execution.stack_name == stack
        assert {one.name: one.load() for one in execution.artifacts} == {
            "saved": letter.encode() * LARGE,
            "saves": letter.upper().encode() * LARGE,
        }
        assert execution.result() == letter.upper().encode() * LARGE
        for one in execution.artifacts:
            assert client.artifacts.get(one.artifact_id).load() == one.load()
    references = {one.output.ref for one in kernel.journal.entries(handles[1].exec_id) if one.output is not None}
    assert {ref.partition(":")[0] for ref in references if ref} == {first}


def test_a_start_that_names_no_stack_goes_by_the_active_one(
    stacks: Several, own_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks.on_this_machine("first")
    stacks.on_this_machine("second")
    client = KitaruClient()

    def used(**options: Any) -> str | None:
        return client.executions.get(saving.run("a", **options).exec_id).stack_name

    assert used() == "default"
    stacks.use("first")
    assert used() == "first"
    assert used(stack="default") == "default"
    monkeypatch.setenv("KITARU_STACK", "second")
    assert used() == "second"
    monkeypatch.delenv("KITARU_STACK")
    assert used() == "first"
    stacks.use("default")
    assert used() == "default"


def test_a_bare_reference_is_the_default_stacks_as_it_always_was(stacks: Several, kernel: Kernel) -> None:
    stacks.on_this_machine("first")
    handle = saving.run("a")
    handle.wait()
    references = [one.output.ref for one in kernel.journal.entries(handle.exec_id) if one.output is not None]
    assert all(ref and ref.startswith("sha256/") for ref in references)
    resolved = kernel.journal.get(handle.exec_id).spec["resolved_execution"]
    assert set(resolved) == {"stack", "cache", "retries"}


@pytest.mark.parametrize("how", ["retry", "resume", "recover", "another process"])
def test_whoever_continues_an_execution_goes_on_with_its_stack(
    stacks: Several, kernel: Kernel, own_store: Path, how: str
) -> None:
    stacks.on_this_machine("first")
    failing.append(1)
    handle = saving_then_fragile.run("x", stack="first")
    if how == "retry":
        with pytest.raises(kitaru.KitaruUserCodeError):
            handle.wait()
        assembly.reset()
        failing.clear()
        KitaruClient().executions.retry(handle.exec_id)
    else:
        with pytest.raises(kitaru.KitaruUserCodeError):
            handle.wait()
        kernel.reopen(handle.exec_id)
        assembly.reset()
        failing.clear()
        client = KitaruClient()
        if how == "resume":
            client.executions.resume(handle.exec_id)
        elif how == "recover":
            assert client.recover().resumed == [handle.exec_id]
        else:
            assembly.continue_execution(assembly.open_kernel(), handle.exec_id)
    execution = KitaruClient().executions
    for _ in execution.watch(handle.exec_id):
        pass
    assert execution.result(handle.exec_id) == b"X" * LARGE
    assert not (own_store / "artifacts").exists(), "nothing of it went to the default stack"
    assert len(stacks.values("first")) == 2
    deadline = time.monotonic() + 30  # another process brings its lines to this store once its result is published
    while [line.message for line in execution.logs(handle.exec_id)].count("late") != 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@checkpoint
def late(letter: str) -> bytes:
    if failing:
        raise OSError("not yet")
    print("late")
    return letter.upper().encode() * LARGE


@flow
def saving_then_fragile(letter: str) -> bytes:
    make(letter)
    return late(letter)


def test_a_child_has_its_parents_stack_or_its_own(stacks: Several, kernel: Kernel, own_store: Path) -> None:
    stacks.on_this_machine("first")
    stacks.on_this_machine("second")
    for where, name in ((None, "first"), ("second", "second"), ("default", "default")):
        before = set(ran)
        handle = parent.run("q", where, stack="first")
        assert handle.wait() == b"q" * LARGE
        (found,) = KitaruClient().executions.get(handle.exec_id).children
        record = kernel.journal.get(found.exec_id)
        assert record.stack_name == name
        assert record.result is not None and record.result.ref is not None
        colon = record.result.ref.partition(":")[1]
        assert bool(colon) == (name != "default")
        assert before <= set(ran)
    assert len(stacks.values("second")) == 1


def test_a_replay_on_another_stack_reads_what_lies_in_the_originals(stacks: Several, kernel: Kernel) -> None:
    first = stacks.on_this_machine("first")
    stacks.on_this_machine("second")
    original = work.run("a", stack="first")
    assert original.wait() == LARGE
    ran.clear()
    replay = work.replay(original.exec_id, from_="fragile", stack="second", overrides=None)
    assert replay.wait() == LARGE
    assert ran == [], "answered by the original"
    execution = KitaruClient().executions.get(replay.exec_id)
    assert execution.stack_name == "second"
    assert [one.load() for one in execution.artifacts if one.name == "make"] == [b"a" * LARGE, b"A" * LARGE]
    made = {
        one.output.ref for one in kernel.journal.entries(replay.exec_id) if one.output is not None and one.output.ref
    }
    assert {ref.partition(":")[0] for ref in made} == {first}
    override = work.replay(original.exec_id, stack="second", overrides={"checkpoint.fragile": b"o" * LARGE})
    assert override.wait() == b"o" * LARGE
    assert len(stacks.values("second")) == 1


def test_a_large_answer_lies_with_its_execution(stacks: Several, kernel: Kernel) -> None:
    first = stacks.on_this_machine("first")
    handle = asking.run(stack="first")
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait()
    KitaruClient().executions.input(handle.exec_id, value="t" * LARGE, resume=False)
    (wait,) = kernel.journal.waits(handle.exec_id)
    assert wait.answer is not None and wait.answer.ref is not None and wait.answer.ref.startswith(f"{first}:")
    KitaruClient().executions.resume(handle.exec_id)
    assert kitaru.FlowHandle(kernel, handle.exec_id, kernel.runs.get(handle.exec_id)).wait() == "t" * LARGE


def test_a_deleted_stacks_values_are_still_there(stacks: Several) -> None:
    first = stacks.on_this_machine("first")
    handle = saving.run("a", stack="first")
    handle.wait()
    stacks.delete(first)
    assembly.reset()
    assert KitaruClient().executions.result(handle.exec_id) == b"A" * LARGE
    with pytest.raises(KitaruStateError, match="not found"):
        saving.run("b", stack="first")


def test_a_stack_that_is_not_here_is_named_with_its_uri(stacks: Several, tmp_path: Path) -> None:
    first = stacks.on_this_machine("first")
    failing.append(1)
    handle = saving_then_fragile.run("a", stack="first")
    with pytest.raises(kitaru.KitaruUserCodeError):
        handle.wait()
    stacks.forget(first)
    assembly.reset()
    client = KitaruClient()
    (found,) = client.executions.get(handle.exec_id).artifacts
    for doing in (found.load, lambda: client.executions.retry(handle.exec_id)):
        with pytest.raises((KitaruArtifactNotFoundError, KitaruStateError)) as raised:
            doing()
        assert "`first`" in str(raised.value) and f"file://{tmp_path}/first" in str(raised.value)
        assert first in str(raised.value)
    assert client.executions.status(handle.exec_id) == "failed", "nothing was changed"


def test_a_value_that_is_gone_is_named_with_stack_and_uri(stacks: Several, tmp_path: Path) -> None:
    stacks.on_this_machine("first")
    handle = saving.run("a", stack="first")
    handle.wait()
    for path in (tmp_path / "first").rglob("sha256/*"):
        path.unlink()
    with pytest.raises(KitaruArtifactNotFoundError) as raised:
        KitaruClient().executions.result(handle.exec_id)
    assert "`first`" in str(raised.value) and f"file://{tmp_path}/first" in str(raised.value)


def test_logs_go_to_the_log_store_of_the_stack(stacks: Several, own_store: Path, tmp_path: Path) -> None:
    stacks.on_this_machine("first")
    stacks.on_this_machine("second", logs="local")
    client = KitaruClient()
    for stack in ("default", "first", "second"):
        handle = saving_then_fragile.run("x", stack=stack)
        handle.wait()
        assert [line.message for line in client.executions.logs(handle.exec_id)] == ["making x", "late"]
        assert [line.message for line in client.executions.logs(handle.exec_id, follow=True)] == ["making x", "late"]
    assert len(list((own_store / "logs").iterdir())) == 1
    assert len(list((tmp_path / "second-logs").iterdir())) == 1
    assert list((tmp_path / "first" / "logs").rglob("*.jsonl"))


def test_where_logs_go_is_decided_at_the_start(stacks: Several, kernel: Kernel) -> None:
    failing.append(1)
    handle = saving_then_fragile.run("x")
    with pytest.raises(kitaru.KitaruUserCodeError):
        handle.wait()
    set_global_log_store("acme", endpoint="http://127.0.0.1:9")
    failing.clear()
    client = KitaruClient()
    client.executions.retry(handle.exec_id)
    for _ in client.executions.watch(handle.exec_id):
        pass
    assert [line.message for line in client.executions.logs(handle.exec_id)] == ["making x", "late"]


def test_a_preferred_log_store_is_named_in_the_journal_without_its_key(
    stacks: Several, kernel: Kernel, tmp_path: Path
) -> None:
    set_global_log_store("otel", endpoint="http://127.0.0.1:9", api_key="hunter2")
    handle = make_alone.run("x")
    handle.wait()
    resolved = kernel.journal.get(handle.exec_id).spec["resolved_execution"]
    assert resolved["log_store"] == {"backend": "otel", "endpoint": "http://127.0.0.1:9"}
    assert "hunter2" not in str(resolved)
    with pytest.raises(KitaruLogRetrievalError, match=f"sent to the OpenTelemetry.*kitaru.exec_id` = {handle.exec_id}"):
        KitaruClient().executions.logs(handle.exec_id)
    KitaruClient().executions.export(handle.exec_id, tmp_path / "file.zip")
    with zipfile.ZipFile(tmp_path / "file.zip") as archive:
        assert b"logs were not exported: the logs of execution" in archive.read("logs.jsonl")


@flow
def make_alone(letter: str) -> int:
    return len(make(letter))


def test_an_exported_execution_is_at_home_where_it_is_imported(
    stacks: Several, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = stacks.on_this_machine("first")
    handle = saving_then_fragile.run("x", stack="first")
    handle.wait()
    KitaruClient().executions.export(handle.exec_id, tmp_path / "file.zip")
    stacks.forget(first)
    assembly.reset()
    monkeypatch.setenv("KITARU_CONFIG_PATH", str(tmp_path / "elsewhere"))
    client = KitaruClient()
    imported = client.executions.import_(tmp_path / "file.zip")
    assert imported.stack_name == "first"
    assert imported.result() == b"X" * LARGE
    assert [line.message for line in client.executions.logs(handle.exec_id)] == ["making x", "late"]
    assert len(list((tmp_path / "elsewhere" / "artifacts").rglob("sha256/*"))) == 2


def test_results_are_reused_across_stacks(stacks: Several) -> None:
    stacks.on_this_machine("first")
    stacks.on_this_machine("second")
    assert saving_then_fragile.run("x", stack="first", cache=True).wait() == b"X" * LARGE
    ran.clear()
    assert saving_then_fragile.run("x", stack="second", cache=True).wait() == b"X" * LARGE
    assert ran == []
    assert len(stacks.values("second")) == 1, "the flow's own result"


def test_importing_the_library_does_not_make_a_stack() -> None:
    code = "import sys, kitaru.stack.assembly; print('kitaru.stack.shipping' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False", "whoever keeps logs in files loads no shipping"


def grow_old(kernel: Kernel, exec_ids: list[str], *folders: Path) -> None:
    """Let executions, and the large values in some folders, be as old as after forty days."""
    then = time.time() - 40 * 86_400
    for exec_id in exec_ids:
        kernel.journal._connection.execute(  # type: ignore[attr-defined]
            "UPDATE executions SET ended_at = ? WHERE exec_id = ?", (int(then * 1e6), exec_id)
        )
    for folder in folders:
        for path in folder.rglob("sha256/*"):
            os.utime(path, (then, then))


def test_clean_sweeps_every_store(stacks: Several, kernel: Kernel, own_store: Path, tmp_path: Path) -> None:
    gone = stacks.on_this_machine("gone")
    stacks.on_this_machine("first")
    old = [saving_then_fragile.run("x", stack=name).exec_id for name in ("default", "first", "gone")]
    kept = saving_then_fragile.run("k", stack="first")
    for exec_id in [*old, kept.exec_id]:
        kitaru.FlowHandle(kernel, exec_id, kernel.runs.get(exec_id)).wait()
    stacks.delete(gone)
    logs = [assembly.open_log_store(kernel, kernel.journal.get(one)) for one in old]
    assert kernel.capture is not None
    kernel.capture.drain()
    grow_old(kernel, old, own_store, tmp_path / "first", tmp_path / "gone")
    done = KitaruClient().clean(older_than="30d")
    assert (sorted(done.removed), done.artifacts, done.note) == (sorted(old), 6, None)
    assert [store.read(exec_id) for store, exec_id in zip(logs, old, strict=True)] == [[], [], []]
    assert len(stacks.values("first")) == 2 and stacks.values("gone") == []
    assert kept.wait() == KitaruClient().executions.result(kept.exec_id)


def test_a_value_stays_as_long_as_any_stack_with_that_store_refers_to_it(
    stacks: Several, kernel: Kernel, tmp_path: Path
) -> None:
    uri = f"file://{tmp_path}/shared"
    components = [
        Component("artifact_store", "local", {"uri": uri, "sync": False}),
        Component("log_store", "artifact-store"),
        Component("orchestrator", "local"),
    ]
    first = stacks.add("first", components)
    stacks.add("second", components)
    old, kept = (saving_then_fragile.run("x", stack=name) for name in ("first", "second"))
    assert old.wait() == kept.wait()
    grow_old(kernel, [old.exec_id], tmp_path / "shared")
    done = KitaruClient().clean(older_than="30d")
    assert (done.removed, done.artifacts) == ([old.exec_id], 0)
    stacks.forget(first)
    assert KitaruClient().clean(older_than="30d").artifacts == 0
    assert KitaruClient().executions.result(kept.exec_id) == b"X" * LARGE
    grow_old(kernel, [kept.exec_id], tmp_path / "shared")
    assert KitaruClient().clean(older_than="30d").artifacts == 2


def test_a_store_that_does_not_answer_is_left_to_the_next_run(
    stacks: Several, kernel: Kernel, own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks.on_this_machine("first")
    handles = [saving_then_fragile.run("x", stack=name) for name in ("default", "first")]
    for handle in handles:
        handle.wait()
    assert kernel.capture is not None
    kernel.capture.drain()
    ids = [handle.exec_id for handle in handles]
    grow_old(kernel, ids, own_store, tmp_path / "first")
    where = tmp_path / "first"
    with monkeypatch.context() as patched:

        def away(self: Any, *_: Any, **__: Any) -> Any:
            if str(where) in str(vars(self)):
                raise kitaru.KitaruBackendError("the bucket does not answer")
            return original(self, *_, **__)

        from kitaru_local.artifact_store import LocalArtifactStore

        original = LocalArtifactStore.list
        patched.setattr(LocalArtifactStore, "list", away)
        done = KitaruClient().clean(older_than="30d")
    assert sorted(done.removed) == sorted(ids) and done.artifacts == 2
    assert done.note is not None
    assert "logs were left: the bucket does not answer" in done.note
    assert "large values of stack `first` were left: the bucket does not answer" in done.note
    assert kernel.journal.discarded() == [handles[1].exec_id]
    assembly.reset()
    again = KitaruClient().clean(older_than="30d")
    assert (again.removed, again.artifacts, again.note) == ([], 2, None)
    assert assembly.open_kernel().journal.discarded() == []
    assert stacks.values("first") == [] and list((where / "logs").rglob("*.jsonl")) == []

"""Removing old executions: what goes, what stays, and that no kill in between leaves anything wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import KitaruNotFoundError, KitaruUsageError, KitaruWaitingError
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly

DAY = 86_400
LETTERS = iter("abcdefghijklmnopqrstuvwxyz")


@checkpoint
def large(letter: str) -> str:
    print("writing", letter)
    kitaru.save("copy", letter * 40_000)
    return letter * 50_000


@flow
def writing(letter: str) -> int:
    return len(large(letter))


@flow
def inner(letter: str) -> int:
    return writing.run(letter).wait()


@flow
def failing() -> None:
    raise ValueError("no")


def blobs(store: Path) -> set[str]:
    return {path.name for path in store.rglob("sha256/*") if not path.name.startswith(".")}


def logs(store: Path) -> set[str]:
    return {path.stem for path in store.rglob("*.jsonl")}


def grow_old(kernel: Kernel, store: Path, *exec_ids: str, days: float = 40) -> None:
    """Let executions, and every large value, be as old as after so many days."""
    then = time.time() - days * DAY
    for exec_id in exec_ids:
        kernel.journal._connection.execute(  # type: ignore[attr-defined]
            "UPDATE executions SET ended_at = ? WHERE exec_id = ?", (int(then * 1e6), exec_id)
        )
    for path in store.rglob("sha256/*"):
        os.utime(path, (then, then))


def ran(letter: str) -> str:
    handle = writing.run(letter)
    handle.wait()
    return handle.exec_id


def test_an_old_execution_goes_with_all_it_stored(kernel: Kernel, own_store: Path) -> None:
    old, new = ran("a"), ran("b")
    assert len(blobs(own_store)) == 4 and logs(own_store) == {old, new}
    grow_old(kernel, own_store, old)
    client = KitaruClient()
    looked = client.clean(older_than="30d", dry_run=True)
    assert (looked.removed, looked.dry_run) == ([old], True) and client.executions.get(old)
    done = client.clean(older_than="30d")
    assert (done.removed, done.kept, done.artifacts) == ([old], [], 2)
    with pytest.raises(KitaruNotFoundError):
        client.executions.get(old)
    assert len(blobs(own_store)) == 2 and logs(own_store) == {new}
    assert [one.exec_id for one in client.executions.list()] == [new]
    assert client.executions.get(new).artifacts[0].load() == "b" * 40_000
    assert client.clean(older_than="30d").removed == []


def test_equal_values_stay_while_one_execution_refers_to_them(kernel: Kernel, own_store: Path) -> None:
    old, new = ran("a"), ran("a")
    grow_old(kernel, own_store, old)
    done = KitaruClient().clean(older_than="30d")
    assert (done.removed, done.artifacts) == ([old], 0)
    assert KitaruClient().executions.get(new).artifacts[1].load() == "a" * 50_000


def test_a_value_that_was_stored_again_lately_stays(kernel: Kernel, own_store: Path) -> None:
    """A flow stores a value that is there already, and commits what refers to it only after the sweep."""
    old = ran("a")
    grow_old(kernel, own_store, old)
    payload = kernel.encode("a" * 50_000)
    done = KitaruClient().clean(older_than="30d")
    assert done.removed == [old] and done.artifacts == 1
    assert kernel.decode(payload) == "a" * 50_000


def test_what_others_need_stays_and_children_go_with_their_parents(kernel: Kernel, own_store: Path) -> None:
    parent = inner.run("a")
    parent.wait()
    (child,) = KitaruClient().executions.get(parent.exec_id).children
    grow_old(kernel, own_store, child.exec_id)
    kept = KitaruClient().clean(older_than="30d")
    assert (kept.removed, kept.kept) == ([], [child.exec_id])
    grow_old(kernel, own_store, parent.exec_id)
    assert set(KitaruClient().clean(older_than="30d").removed) == {parent.exec_id, child.exec_id}


def test_the_original_of_a_replay_stays_until_the_replay_is_gone(kernel: Kernel, own_store: Path) -> None:
    original, replay = ran("a"), ran("b")
    connection = kernel.journal._connection  # type: ignore[attr-defined]
    connection.execute("UPDATE executions SET original_exec_id = ? WHERE exec_id = ?", (original, replay))
    grow_old(kernel, own_store, original)
    assert KitaruClient().clean(older_than="30d").kept == [original]
    grow_old(kernel, own_store, replay)
    assert set(KitaruClient().clean(older_than="30d").removed) == {original, replay}


def test_active_executions_and_those_above_them_are_never_touched(kernel: Kernel, own_store: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @checkpoint
    def stay() -> str:
        begun.set()
        assert go_on.wait(30)
        return "z" * 50_000

    @flow
    def running() -> str:
        return stay()

    handle = running.run()
    assert begun.wait(30)
    try:
        assert KitaruClient().clean(older_than="0s").removed == []
    finally:
        go_on.set()
    assert handle.wait() == "z" * 50_000


def test_selection_by_status_flow_and_number(kernel: Kernel, own_store: Path) -> None:
    done = [ran(letter) for letter in "abc"]
    failed = failing.run()
    with pytest.raises(kitaru.KitaruError):
        failed.wait()
    client = KitaruClient()
    assert client.clean(status="failed", older_than="0s", dry_run=True).removed == [failed.exec_id]
    assert client.clean(flow="failing", older_than="0s", dry_run=True).removed == [failed.exec_id]
    assert client.clean(keep_last=1, dry_run=True).removed == done[:2]
    assert client.clean(status=["completed", "failed"], keep_last=2, dry_run=True).removed == done[:1]
    for bad in ({}, {"older_than": "long"}, {"older_than": "1d", "status": "running"}, {"keep_last": -1}):
        with pytest.raises(KitaruUsageError):
            client.clean(**bad)  # type: ignore[arg-type]


def test_a_store_that_several_journals_use_is_not_swept(
    kernel: Kernel, own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = ran("a")
    monkeypatch.setenv("KITARU_JOURNAL_URL", f"sqlite:///{tmp_path}/other.db")
    ran("b")
    monkeypatch.delenv("KITARU_JOURNAL_URL")
    grow_old(kernel, own_store, old)
    done = KitaruClient().clean(older_than="30d")
    assert done.removed == [old] and done.artifacts is None
    assert done.note is not None and "other.db" in done.note
    assert len(blobs(own_store)) == 4
    assembly.reset()
    for path in tmp_path.glob("other.db*"):
        path.unlink()
    assert KitaruClient().clean(older_than="30d").artifacts == 4, "what a journal that is gone referred to, too"


# -- killed in between ------------------------------------------------------------------------------------------

_CLEANER = """
    import json, os, signal, sys
    from kitaru import KitaruClient

    client = KitaruClient()
    kill_at, passed = int(sys.argv[1]), []

    def pass_by(what):
        passed.append(what)
        if len(passed) == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return True

    client._kernel.journal._cursor.exec_trace = lambda *_: pass_by("statement")
    sys.addaudithook(lambda event, _: event == "os.remove" and pass_by("file"))
    client.clean(older_than="30d")
    print(json.dumps(passed))
"""


def _cleaned(script: Path, config: Path, kill_at: int = 0) -> subprocess.CompletedProcess[str]:
    """``clean`` in a process that is killed right before its n-th statement or deletion of a file; 0: it is not."""
    command = [sys.executable, str(script), str(kill_at)]
    environment = {**os.environ, "KITARU_CONFIG_PATH": str(config)}
    return subprocess.run(command, env=environment, timeout=60, check=False, capture_output=True, text=True)


def _killed_at(number: int, script: Path, config: Path) -> bool:
    ended = _cleaned(script, config, number)
    assert ended.returncode in (0, -9), ended.stderr
    return ended.returncode == -9


def _old_keyed_execution(kernel: Kernel, own_store: Path, number: int) -> str:
    handle = writing.run("k", idempotency_key="order-42")
    handle.wait()
    other = ran(f"n{number}")
    grow_old(kernel, own_store, handle.exec_id, other)
    return handle.exec_id


def _kill_and_continue(kernel: Kernel, own_store: Path, script: Path, number: int) -> bool:
    exec_id = _old_keyed_execution(kernel, own_store, number)
    killed = _killed_at(number, script, own_store)
    again = writing.run("k", idempotency_key="order-42")
    assert again.wait() == 50_000
    shown = KitaruClient().executions.get(again.exec_id)
    assert len(shown.checkpoints) == 1 and shown.artifacts[1].load() == "k" * 50_000
    still_there = again.exec_id == exec_id
    KitaruClient().clean(older_than="30d")
    with pytest.raises(KitaruNotFoundError):
        KitaruClient().executions.get(exec_id)
    if not still_there:
        assert KitaruClient().executions.get(again.exec_id).artifacts[0].load() == "k" * 40_000
        grow_old(kernel, own_store, again.exec_id)
        KitaruClient().clean(older_than="30d")
    connection = kernel.journal._connection  # type: ignore[attr-defined]
    for table in ("executions", "entries", "waits", "discarded"):
        assert connection.execute(f"SELECT count(*) FROM {table}").get == 0, table
    assert not blobs(own_store) and not logs(own_store)
    return killed


@pytest.fixture
def cleaner(tmp_path: Path) -> Path:
    script = tmp_path / "cleaner.py"
    script.write_text(textwrap.dedent(_CLEANER))
    return script


@pytest.mark.parametrize("number", [2, 4, 5, 8])
def test_killed_while_it_removes(kernel: Kernel, own_store: Path, cleaner: Path, number: int) -> None:
    assert _kill_and_continue(kernel, own_store, cleaner, number)


def test_killed_between_the_files(kernel: Kernel, own_store: Path, cleaner: Path) -> None:
    """Logs and large values go one by one, long after the execution itself is gone."""
    _old_keyed_execution(kernel, own_store, 0)
    passed = json.loads(_cleaned(cleaner, own_store).stdout)
    files = [number for number, what in enumerate(passed, 1) if what == "file"]
    assert len(files) == 6, "two logs, four values"
    for number in files:
        assert _kill_and_continue(kernel, own_store, cleaner, number)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_killed_at_every_statement_and_file(kernel: Kernel, own_store: Path, cleaner: Path) -> None:
    number = 1
    while _kill_and_continue(kernel, own_store, cleaner, number):
        number += 1
    assert number > 20


@pytest.mark.parametrize("number", [4, 7, 10, 14])
def test_an_import_under_the_id_of_what_was_being_removed(
    kernel: Kernel, own_store: Path, cleaner: Path, tmp_path: Path, number: int
) -> None:
    """The rest of the removal must not take what came back."""
    exec_id = _old_keyed_execution(kernel, own_store, number)
    client = KitaruClient()
    archive = tmp_path / "execution.zip"
    client.executions.export(exec_id, archive)
    assert _killed_at(number, cleaner, own_store)
    try:
        client.executions.get(exec_id)
    except KitaruNotFoundError:
        client.executions.import_(archive)
    for path in own_store.rglob("sha256/*"):
        os.utime(path, (1e9, 1e9))
    client.clean(older_than="10000d")
    shown = client.executions.get(exec_id)
    assert shown.result() == 50_000
    assert sorted(str(one.load())[:1] + str(len(one.load())) for one in shown.artifacts) == ["k40000", "k50000"]
    assert [one.message for one in client.executions.logs(exec_id)] == ["writing k"]


# -- beside others ----------------------------------------------------------------------------------------------


@flow
def asking(letter: str) -> str:
    kept = large(letter)
    return kept + str(kitaru.wait(schema=str, name="more"))


def test_an_execution_that_waits_keeps_all_it_has(kernel: Kernel, own_store: Path) -> None:
    kernel.hold_seconds = 0.0
    handle = asking.run("w")
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    for path in own_store.rglob("sha256/*"):
        os.utime(path, (1e9, 1e9))
    client = KitaruClient()
    assert client.clean(older_than="0s").removed == []
    assert len(blobs(own_store)) == 2 and logs(own_store) == {handle.exec_id}
    client.executions.input(handle.exec_id, value="!", resume=False)
    kernel.resume(handle.exec_id).done.wait(30)
    assert client.executions.result(handle.exec_id) == "w" * 50_000 + "!"


def test_a_parent_whose_child_still_runs_stays(kernel: Kernel, own_store: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    @checkpoint
    def stay() -> str:
        begun.set()
        assert go_on.wait(30)
        return "z" * 50_000

    @flow
    def child() -> str:
        return stay()

    @flow
    def parent() -> str:
        child.run()
        return "not waited for"

    handle = parent.run()
    assert handle.wait(timeout=30) == "not waited for" and begun.wait(30)
    (inside,) = KitaruClient().executions.get(handle.exec_id).children
    try:
        done = KitaruClient().clean(older_than="0s")
        assert (done.removed, done.kept) == ([], [handle.exec_id])
    finally:
        go_on.set()
    run = kernel.runs.get(inside.exec_id)
    assert run is None or run.done.wait(30)
    assert KitaruClient().executions.result(inside.exec_id) == "z" * 50_000


def test_two_that_clean_at_once_share_the_work(kernel: Kernel, own_store: Path, cleaner: Path) -> None:
    old = [ran(f"n{number}") for number in range(8)]
    kept = ran("kept")
    grow_old(kernel, own_store, *old)
    together = threading.Barrier(2)
    ended: list[subprocess.CompletedProcess[str]] = []

    def elsewhere() -> None:
        together.wait(30)
        ended.append(_cleaned(cleaner, own_store))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    together.wait(30)
    removed: list[str] = []
    while thread.is_alive():
        removed += KitaruClient().clean(older_than="30d").removed
    thread.join()
    assert ended[0].returncode == 0, ended[0].stderr
    assert len(removed) == len(set(removed)) and set(removed) <= set(old)
    assert KitaruClient().clean(older_than="30d").removed == []
    assert [one.exec_id for one in KitaruClient().executions.list()] == [kept]
    assert len(blobs(own_store)) == 2 and logs(own_store) == {kept}
    assert KitaruClient().executions.get(kept).artifacts[1].load() == "kept" * 50_000


# -- in journals ------------------------------------------------------------------------------------------------


def test_a_long_execution_is_purged_in_pieces(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, own_store: Path) -> None:
    @checkpoint
    def number(n: int) -> int:
        return n

    @flow
    def long() -> int:
        return sum(number(n) for n in range(50))

    handle = long.run()
    handle.wait()
    grow_old(kernel, own_store, handle.exec_id)
    monkeypatch.setattr("kitaru.client.retention._ENTRIES_A_BATCH", 20)
    pieces: list[bool] = []
    purge = kernel.journal.purge

    def counted(*arguments: Any) -> bool:
        pieces.append(purge(*arguments))
        return pieces[-1]

    monkeypatch.setattr(kernel.journal, "purge", counted)
    KitaruClient().clean(older_than="30d")
    assert pieces == [False, False, True]

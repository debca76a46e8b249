"""Executions whose stack has them run in other processes: started, continued, cancelled and looked at there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.core.stack.several import Several

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import configure, reset_configuration
from kitaru.errors import KitaruFeatureNotAvailableError, KitaruStateError, KitaruUsageError
from kitaru.journal.records import EntryKind
from kitaru.runtime import outcome
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.stack.components import OrchestratorStatus
from kitaru.testing.conformance import sample_flow

BOUND_SECONDS = 60.0


@pytest.fixture
def stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Several]:
    made = Several(tmp_path)
    made.on_this_machine("away", orchestrator="acme")
    yield made
    (tmp_path / "released").touch()
    orchestrator = assembly.assembled(assembly.open_kernel()).stacks.select("away").orchestrator
    for exec_id in list(orchestrator.processes):  # type: ignore[attr-defined]
        orchestrator.cancel(exec_id)
    reset_configuration()


@checkpoint
def where_am_i() -> int:
    print("said elsewhere")
    return os.getpid()


@flow
def located() -> int:
    return where_am_i()


@checkpoint
def fails_until(path: str) -> int:
    if not os.path.exists(path):
        raise OSError("not yet")
    return os.getpid()


@flow
def failing(path: str) -> int:
    return fails_until(path)


@flow
def asking(name: str) -> int:
    kitaru.wait(name=name, timeout=0)
    return os.getpid()


@flow
def parent() -> tuple[int, int]:
    return os.getpid(), located.run(stack="away").wait()


@flow
def asking_parent() -> tuple[int, int]:
    return os.getpid(), asking.run("go", stack="away").wait()


@checkpoint(runtime="isolated", retries=0)
def apart() -> int:
    return os.getpid()


@flow
def isolating() -> int:
    return apart()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def ended(exec_id: str) -> Any:
    client = KitaruClient()
    until(lambda: client.executions.status(exec_id).finished)
    return client.executions.result(exec_id)


def orchestrator_of(name: str) -> Any:
    return assembly.assembled(assembly.open_kernel()).stacks.select(name).orchestrator


def test_a_flow_runs_where_its_stack_has_it_run(stacks: Several) -> None:
    handle = located.run(stack="away")
    pid = handle.wait()
    assert pid != os.getpid()
    client = KitaruClient()
    until(lambda: [line.message for line in client.executions.logs(handle.exec_id)] == ["said elsewhere"])
    assert located.run().wait() == os.getpid(), "the default stack's place is this process"


def test_its_retry_runs_there_too(stacks: Several, tmp_path: Path) -> None:
    handle = failing.run(str(tmp_path / "ready"), stack="away")
    with pytest.raises(kitaru.KitaruUserCodeError):
        handle.wait()
    (tmp_path / "ready").touch()
    client = KitaruClient()
    with pytest.raises(KitaruStateError, match="is failed"):
        client.executions.resume(handle.exec_id)
    client.executions.retry(handle.exec_id)
    assert ended(handle.exec_id) != os.getpid()
    with pytest.raises(KitaruStateError, match="is completed"):
        client.executions.retry(handle.exec_id)


def test_an_answer_continues_it_there(stacks: Several) -> None:
    handle = asking.run("go", stack="away")
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait()
    KitaruClient().executions.input(handle.exec_id)
    assert ended(handle.exec_id) != os.getpid()


def test_a_dead_place_reads_interrupted_with_its_reason_and_is_recovered_there(stacks: Several, tmp_path: Path) -> None:
    handle = sample_flow.staying.run(str(tmp_path), stack="away")
    client = KitaruClient()
    until((tmp_path / "running").exists)
    assert client.recover().handed_over == []
    os.kill(int((tmp_path / "running").read_text()), 9)
    until(lambda: orchestrator_of("away").status(handle.exec_id) is OrchestratorStatus.FAILED)
    execution = client.executions.get(handle.exec_id)
    assert execution.status == "interrupted"
    assert (
        execution.status_reason is not None and "stack `away` says that its process failed" in execution.status_reason
    )
    (tmp_path / "running").unlink()
    (tmp_path / "released").touch()
    assert client.recover().handed_over == [handle.exec_id]
    until((tmp_path / "running").exists)
    assert int((tmp_path / "running").read_text()) != os.getpid()
    assert ended(handle.exec_id) == 2


def test_recovery_leaves_alone_what_its_place_is_about_to_run(
    stacks: Several, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = orchestrator_of("away")
    monkeypatch.setattr(orchestrator, "start", lambda exec_id, journal_url: None)
    handle = located.run(stack="away")
    monkeypatch.setattr(orchestrator, "status", lambda exec_id: OrchestratorStatus.PENDING)
    recovery = KitaruClient().recover_one(handle.exec_id)
    assert (recovery.handed_over, recovery.skipped) == ([], [handle.exec_id])
    assert handle.status == "pending"


def test_cancel_ends_the_process_that_does_not_notice(stacks: Several, tmp_path: Path) -> None:
    handle = sample_flow.staying.run(str(tmp_path), stack="away")
    until((tmp_path / "running").exists)
    begun = time.monotonic()
    assert KitaruClient().executions.cancel(handle.exec_id).status == "cancelled"
    assert time.monotonic() - begun < 30.0
    assert orchestrator_of("away").status(handle.exec_id) is OrchestratorStatus.FAILED
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "running").read_text()), 0)


def test_what_was_cancelled_before_its_process_came_stays_so_until_it_is_resumed(
    stacks: Several, monkeypatch: pytest.MonkeyPatch
) -> None:
    orchestrator = orchestrator_of("away")
    late: list[str] = []
    with monkeypatch.context() as slow:
        slow.setattr(orchestrator, "start", lambda exec_id, journal_url: late.append(journal_url))
        handle = located.run(stack="away")
        assert KitaruClient().executions.cancel(handle.exec_id).status == "cancelled"
    orchestrator.start(handle.exec_id, journal_url=late[0])
    until(lambda: orchestrator.status(handle.exec_id) is OrchestratorStatus.FAILED)
    assert "cancelled" in "".join(orchestrator.logs(handle.exec_id)) and handle.status == "cancelled"
    KitaruClient().executions.resume(handle.exec_id)
    assert ended(handle.exec_id) != os.getpid()


def test_the_places_own_lines_are_shown_while_nothing_was_captured(stacks: Several, kernel: Kernel) -> None:
    handle = located.run(stack="away")
    handle.wait()
    orchestrator = orchestrator_of("away")
    until(lambda: orchestrator.status(handle.exec_id) is OrchestratorStatus.COMPLETED)
    assembly.open_log_store(kernel, kernel.journal.get(handle.exec_id)).delete(handle.exec_id)
    client = KitaruClient()
    (line,) = client.executions.logs(handle.exec_id)
    assert (line.message, line.source, line.timestamp) == ("said elsewhere", "place", None)
    assert client.executions.logs(handle.exec_id, source="step") == []
    assert client.executions.logs(handle.exec_id, level="error") == []
    assert [one.message for one in client.executions.logs(handle.exec_id, follow=True)] == ["said elsewhere"]
    assert [one.message for one in client.executions.logs(located.run().exec_id, tail=1)] in ([], ["said elsewhere"])


def test_a_child_on_another_stack_runs_there(stacks: Several) -> None:
    own, other = parent.run().wait()
    assert own == os.getpid() and other != own


def test_an_answer_to_a_child_elsewhere_continues_both_where_they_belong(stacks: Several, kernel: Kernel) -> None:
    handle = asking_parent.run()
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait()
    client = KitaruClient()
    (child,) = client.executions.get(handle.exec_id).children
    client.executions.input(child.exec_id)
    own, other = ended(handle.exec_id)
    assert len({own, other, os.getpid()}) == 3, "the parent in a process of this machine, its child in its place"


def test_a_child_that_its_place_is_only_starting_is_waited_for(
    stacks: Several, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a pod takes its time: the answered child reads `waiting` until somebody drives it."""
    orchestrator = orchestrator_of("away")
    handle = asking_parent.run()
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait()
    client = KitaruClient()
    (child,) = client.executions.get(handle.exec_id).children
    client.executions.input(child.exec_id, resume=False)
    start, held = orchestrator.start, []
    asked: list[str] = []

    def status(exec_id: str) -> OrchestratorStatus:
        asked.append(exec_id)
        return OrchestratorStatus.PENDING

    monkeypatch.setattr(outcome, "_DUE_MICROSECONDS", 0)  # so long it is waited for without that
    with monkeypatch.context() as patched:
        patched.setattr(orchestrator, "start", lambda exec_id, journal_url: held.append((exec_id, journal_url)))
        patched.setattr(orchestrator, "status", status)
        client.executions.resume(handle.exec_id)
        until(lambda: held and len(asked) >= 3)
        assert client.executions.status(handle.exec_id) == "running"
        start(held[0][0], journal_url=held[0][1])
    assert ended(handle.exec_id)[0] == os.getpid()


def test_a_child_elsewhere_leaves_its_parent_to_this_installation(stacks: Several, kernel: Kernel) -> None:
    handle = asking_parent.run()
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait()
    client = KitaruClient()
    (child,) = client.executions.get(handle.exec_id).children
    client.executions.input(child.exec_id, resume=False)
    client.executions.resume(child.exec_id)
    other = ended(child.exec_id)
    until(lambda: orchestrator_of("away").status(child.exec_id) is OrchestratorStatus.COMPLETED)
    assert client.executions.status(handle.exec_id) == "waiting"
    assert client.recover().resumed == [handle.exec_id], "it is due"
    assert ended(handle.exec_id) == (os.getpid(), other)


def test_the_same_key_finds_what_runs_there(stacks: Several) -> None:
    first = located.run(stack="away", idempotency_key="k")
    pid = first.wait()
    again = located.run(stack="away", idempotency_key="k")
    assert (again.exec_id, again.wait()) == (first.exec_id, pid)


def test_a_place_that_cannot_start_leaves_a_pending_execution(
    stacks: Several, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(exec_id: str, journal_url: str) -> None:
        raise OSError("no room")

    orchestrator = orchestrator_of("away")
    with monkeypatch.context() as patched:
        patched.setattr(orchestrator, "start", full)
        with pytest.raises(kitaru.KitaruBackendError, match=r"stack `away` could not start it.*no room"):
            located.run(stack="away")
        (found,) = KitaruClient().executions.list()
        with pytest.raises(kitaru.KitaruBackendError, match="no room"):
            KitaruClient().executions.resume(found.exec_id)
    assert found.status == "pending"
    KitaruClient().executions.resume(found.exec_id)
    assert ended(found.exec_id) != os.getpid()


def test_a_journal_in_memory_cannot_be_seen_from_there(stacks: Several) -> None:
    configure(journal="memory:", durability="process")
    with pytest.raises(KitaruUsageError, match="cannot see a journal in memory"):
        located.run(stack="away")
    assert KitaruClient().executions.list() == []
    reset_configuration()


def test_isolated_calls_go_through_the_stacks_orchestrator(stacks: Several, monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru_local.orchestrator import LocalOrchestrator

    stacks.on_this_machine("here")
    handed: list[str] = []
    original = LocalOrchestrator.run_call

    def run_call(self: LocalOrchestrator, call: Any) -> Any:
        handed.append(call.name)
        return original(self, call)

    monkeypatch.setattr(LocalOrchestrator, "run_call", run_call)
    assert isolating.run(stack="here").wait() != os.getpid()
    assert handed == ["apart"]


def test_an_orchestrator_that_runs_no_single_calls_is_said_before_anything_runs(
    stacks: Several, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kitaru.stack.components import OrchestratorCapability
    from kitaru_local.orchestrator import LocalOrchestrator

    monkeypatch.setattr(
        LocalOrchestrator, "capabilities", property(lambda _: frozenset({OrchestratorCapability.IN_PROCESS}))
    )
    handle = isolating.run()
    with pytest.raises(kitaru.KitaruExecutionError, match="orchestrator of stack `default` cannot run single calls"):
        handle.wait()
    entries = kernel.journal.entries(handle.exec_id)
    assert [one.kind for one in entries if one.kind is EntryKind.COMPLETED] == []
    assert issubclass(KitaruFeatureNotAvailableError, kitaru.KitaruError)

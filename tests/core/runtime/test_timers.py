"""kitaru.sleep(): a timer that is journaled, held for a while, then let go."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import KitaruContextError, KitaruStateError, KitaruUserCodeError, KitaruWaitingError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel

ran: list[Any] = []


@pytest.fixture(autouse=True)
def fresh_ran() -> None:
    ran.clear()


@checkpoint
def work(n: Any) -> Any:
    ran.append(n)
    return n


@flow
def naps(seconds: float) -> float:
    work("before")
    started = time.monotonic()
    kitaru.sleep(seconds)
    work("after")
    return time.monotonic() - started


def test_a_short_sleep_is_slept_through() -> None:
    assert naps.run(0.05).wait() >= 0.05
    with pytest.raises(KitaruContextError, match=r"kitaru\.sleep\(\)"):
        kitaru.sleep(1)


def test_bad_durations_are_refused() -> None:
    for seconds in (-1, float("nan"), float("inf")):
        with pytest.raises(KitaruUserCodeError, match="finite number of seconds"):
            naps.run(seconds).wait()


def test_a_long_sleep_lets_go_of_the_execution_and_is_continued_when_due(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.02
    handle = naps.run(0.4)
    with pytest.raises(KitaruWaitingError, match=r"a timer \(kitaru.sleep\).*kitaru executions resume"):
        handle.wait(timeout=10)
    assert handle.status == "waiting"
    record = kernel.journal.get(handle.exec_id)
    assert record.wake_at is not None
    assert kernel.journal.recoverable(record.wake_at - 1, kernel.alive) == []
    assert [one.exec_id for one in kernel.journal.recoverable(record.wake_at + 1, kernel.alive)] == [handle.exec_id]
    kernel.hold_seconds = 600
    again = FlowHandle(kernel, handle.exec_id, kernel.recover(handle.exec_id))
    assert again.wait(timeout=10) >= 0
    assert ran == ["before", "after"]
    timers = [entry for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.TIMER]
    assert len(timers) == 1, "the timer that was recorded is the one that is waited for"
    assert kernel.clock.now() >= timers[0].ended_at


def test_a_running_sibling_finishes_before_the_execution_is_let_go(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.01

    @checkpoint
    def slow() -> str:
        time.sleep(0.15)
        ran.append("slow")
        return "slow"

    @flow
    def both() -> Any:
        future = slow.submit()
        kitaru.sleep(30)
        return future.result()

    handle = both.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=10)
    assert ran == ["slow"]
    assert any(entry.kind == EntryKind.COMPLETED for entry in kernel.journal.entries(handle.exec_id))


@flow
async def gathers_sleeps() -> Any:
    results = await asyncio.gather(kitaru.sleep(30), kitaru.sleep(60), return_exceptions=True)
    ran.append("swallowed")
    return results


def test_suspension_is_kernel_state_that_a_gather_cannot_turn_into_a_value(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.02
    handle = gathers_sleeps.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=10)
    record = kernel.journal.get(handle.exec_id)
    assert record.status == "waiting"
    assert record.wake_at is not None
    assert record.wake_at - kernel.clock.now() < 30.5e6


@flow
def swallows() -> str:
    try:
        kitaru.sleep(30)
    except Exception:
        ran.append("swallowed")
    return "not reached"


def test_except_exception_does_not_swallow_a_suspension(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.02
    with pytest.raises(KitaruWaitingError):
        swallows.run().wait(timeout=10)
    assert ran == []


@flow
def child_naps() -> str:
    kitaru.sleep(0.3)
    return "rested"


@flow
def parent_naps() -> str:
    work("parent")
    return child_naps.run().wait()


def test_waiting_for_a_suspended_child_suspends_the_parent(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.02
    handle = parent_naps.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=10)
    due = kernel.journal.get(handle.exec_id).wake_at
    assert due is not None
    found = kernel.journal.recoverable(due + 1, kernel.alive)
    assert [one.exec_id for one in found] == [handle.exec_id], "the parent continues its child"
    kernel.hold_seconds = 600
    again = FlowHandle(kernel, handle.exec_id, kernel.recover(handle.exec_id))
    assert again.wait(timeout=10) == "rested"
    assert ran == ["parent"]


@flow
def child_asks() -> Any:
    return kitaru.wait(name="go", schema=int, timeout=0)


@checkpoint
def held() -> str:
    ran.append("held")
    while "let go" not in ran:
        time.sleep(0.002)
    return "done"


@flow
async def parent_beside() -> Any:
    child = child_asks.run()
    return await asyncio.gather(child, asyncio.to_thread(held))


@flow
def parent_submits() -> Any:
    beside = held.submit()
    return [child_asks.run().wait(), beside.result()]


def until(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def children_of(handle: FlowHandle) -> list[str]:
    return [one.exec_id for one in KitaruClient().executions.get(handle.exec_id).children]


@pytest.mark.parametrize("definition", [parent_beside, parent_submits])
def test_what_runs_beside_a_suspended_child_ends_and_is_recorded_first(kernel: Kernel, definition: Any) -> None:
    handle = definition.run()
    until(lambda: "held" in ran and children_of(handle))
    (child,) = children_of(handle)
    until(lambda: kernel.journal.get(child).status == "waiting")
    until(lambda: any(hold.child == child for hold in kernel.runs[handle.exec_id].holds))
    assert kernel.journal.get(handle.exec_id).status == "running"
    ran.append("let go")
    with pytest.raises(KitaruWaitingError, match="--wait go"):
        handle.wait(timeout=30)
    outcomes = [entry.name for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.COMPLETED]
    assert outcomes == ["held"]
    KitaruClient().executions.input(child, value=7, resume=False)
    again = FlowHandle(kernel, handle.exec_id, kernel.recover(handle.exec_id))
    assert again.wait(timeout=30) == [7, "done"]
    assert ran.count("held") == 1


@pytest.mark.parametrize("definition", [parent_beside, parent_submits])
def test_a_child_that_is_answered_while_its_parent_is_busy_goes_on_there(kernel: Kernel, definition: Any) -> None:
    handle = definition.run()
    until(lambda: "held" in ran and children_of(handle))
    (child,) = children_of(handle)
    until(lambda: kernel.journal.get(child).status == "waiting")
    until(lambda: any(hold.child == child for hold in kernel.runs[handle.exec_id].holds))
    KitaruClient().executions.input(child, value=7, resume=False)
    until(lambda: kernel.journal.get(child).status == "completed")
    assert kernel.journal.get(handle.exec_id).status == "running"
    ran.append("let go")
    assert handle.wait(timeout=30) == [7, "done"]
    assert kernel.journal.get(handle.exec_id).fence == 2, "it was never let go of before its end"


@flow
async def parent_asks_beside() -> Any:
    child = child_naps.run()
    return await asyncio.gather(child, kitaru.wait(name="sign", schema=int, timeout=0))


def test_an_owner_stays_for_a_child_as_long_as_the_childs_own_owner(kernel: Kernel) -> None:
    """Its own wait would let it go at once; its child sleeps for a moment, and is driven meanwhile."""
    handle = parent_asks_beside.run()
    with pytest.raises(KitaruWaitingError, match="--wait sign"):
        handle.wait(timeout=30)
    (child,) = children_of(handle)
    assert kernel.journal.get(child).status == "completed"
    assert [entry.kind for entry in kernel.journal.entries(handle.exec_id)] == [EntryKind.CHILD, EntryKind.VALUE]


@checkpoint
def sleeps_inside() -> str:
    ran.append("body")
    kitaru.sleep(0.2)
    return "woke"


@flow
def sleeps_in_checkpoint() -> str:
    return sleeps_inside()


def test_sleeping_inside_a_checkpoint_runs_its_body_again_with_the_timer_kept(kernel: Kernel) -> None:
    kernel.hold_seconds = 0.02
    handle = sleeps_in_checkpoint.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=10)
    kernel.hold_seconds = 600
    again = FlowHandle(kernel, handle.exec_id, kernel.recover(handle.exec_id))
    assert again.wait(timeout=10) == "woke"
    assert ran == ["body", "body"]


def test_interrupting_wakes_a_sleeper(kernel: Kernel) -> None:
    handle = naps.run(30)
    deadline = time.monotonic() + 10
    while not ran and time.monotonic() < deadline:
        time.sleep(0.001)
    kernel.interrupt_all()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait(timeout=5)

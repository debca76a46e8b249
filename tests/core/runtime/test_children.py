"""Flows inside flows: found again on resume, cancelled and retried with their parent."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from tests.core.runtime.world import ran, resume, world

from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import KitaruExecutionError, KitaruStateError, KitaruUserCodeError
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


@checkpoint
def work(n: Any) -> Any:
    ran.append(n)
    if world.get("stop after") == n:
        del world["stop after"]
        world["kernel"].interrupt_all()
    if world.get("break") == n:
        raise ConnectionError(f"broken at {n}")
    return n


@flow
def child(n: int) -> int:
    work(f"child {n}.1")
    world.setdefault("children", []).append(n)
    work(f"child {n}.2")
    return n * 10


@flow
def parent() -> int:
    first = child.run(1)
    total = first.wait()
    work("between")
    total += child.run(2).wait()
    work("end")
    return total


def test_a_child_is_an_execution_with_a_parent_link(kernel: Kernel) -> None:
    handle = parent.run()
    assert handle.wait() == 30
    entries = [entry for entry in kernel.journal.entries(handle.exec_id) if entry.detail and "exec_id" in entry.detail]
    children = [kernel.journal.get(entry.detail["exec_id"]) for entry in entries]
    assert [one.parent_exec_id for one in children] == [handle.exec_id] * 2
    assert [one.status for one in children] == ["completed"] * 2


@pytest.mark.parametrize("stop", ["child 1.1", "child 1.2", "between", "child 2.1", "child 2.2"])
def test_children_are_found_again_wherever_the_parent_stopped(stop: str) -> None:
    world["stop after"] = stop
    handle = parent.run()
    with pytest.raises(KitaruStateError):
        handle.wait(timeout=10)
    assert resume(handle).wait(timeout=10) == 30
    assert ran == ["child 1.1", "child 1.2", "between", "child 2.1", "child 2.2", "end"]


@flow
def catching_parent() -> Any:
    try:
        child.run(1).wait()
    except KitaruUserCodeError as error:
        return f"caught: {error.exec_id is not None}"
    return "fine"


def test_a_childs_failure_can_be_caught() -> None:
    world["break"] = "child 1.1"
    assert catching_parent.run().wait() == "caught: True"


def test_retry_of_a_parent_retries_the_failed_child_in_place(kernel: Kernel) -> None:
    world["break"] = "child 1.2"
    handle = parent.run()
    with pytest.raises(KitaruUserCodeError, match=r"broken at child 1\.2"):
        handle.wait()
    del world["break"]
    again = FlowHandle(kernel, handle.exec_id, kernel.retry(handle.exec_id))
    assert again.wait(timeout=10) == 30
    assert ran.count("child 1.1") == 1
    assert ran.count("child 1.2") == 2
    starts = [e for e in kernel.journal.entries(handle.exec_id) if e.detail and "exec_id" in e.detail]
    assert len({entry.detail["exec_id"] for entry in starts if entry.detail}) == 2


@checkpoint
def cancels(exec_id: str) -> None:
    world["kernel"].cancel(exec_id)


@flow
def stuck_child() -> None:
    work("in child")
    world["cancel"]()
    work("never")


@flow
def parent_of_stuck() -> None:
    stuck_child.run().wait()


def test_cancelling_a_parent_cancels_its_children(kernel: Kernel) -> None:
    world["cancel"] = lambda: kernel.cancel(handle.exec_id)
    import threading

    started = threading.Event()
    original = world["cancel"]

    def cancel_when_known() -> None:
        started.wait(10)
        original()

    world["cancel"] = cancel_when_known
    handle = parent_of_stuck.run()
    started.set()
    with pytest.raises(KitaruExecutionError, match="cancelled"):
        handle.wait(timeout=10)
    (link,) = [e for e in kernel.journal.entries(handle.exec_id) if e.detail and "exec_id" in e.detail]
    child_handle = FlowHandle(kernel, link.detail["exec_id"], kernel.runs.get(link.detail["exec_id"]))
    with pytest.raises(KitaruExecutionError, match="cancelled"):
        child_handle.wait(timeout=10)
    assert "never" not in ran


@flow
async def async_parent() -> list[int]:
    handles = [child.run(n) for n in (1, 2)]
    return [await handle for handle in handles]


def test_children_of_an_async_flow_are_awaited() -> None:
    assert async_parent.run().wait(timeout=10) == [10, 20]


def test_children_of_an_async_flow_are_found_again() -> None:
    world["stop after"] = "child 2.1"
    handle = async_parent.run()
    with pytest.raises(KitaruStateError):
        handle.wait(timeout=10)
    assert resume(handle).wait(timeout=10) == [10, 20]
    assert sorted(ran) == ["child 1.1", "child 1.2", "child 2.1", "child 2.2"]


@flow
def polls_child() -> Any:
    handle = child.run(1)
    result = handle.wait()
    return str(handle.status), handle.get(), result


def test_a_childs_handle_has_status_and_get() -> None:
    assert polls_child.run().wait(timeout=10) == ("completed", 10, 10)


HELD, LET_GO = threading.Event(), threading.Event()


@checkpoint
def hold() -> int:
    HELD.set()
    assert LET_GO.wait(30)
    return 7


@flow
def holding_child() -> str:
    hold()
    result: str = work("after hold")
    return result


@flow
def parent_of_holding() -> Any:
    return holding_child.run().wait()


def test_a_parent_that_stops_first_does_not_make_its_child_look_ended() -> None:
    HELD.clear()
    LET_GO.clear()
    kernel: Kernel = world["kernel"]
    handle = parent_of_holding.run()
    assert HELD.wait(30)
    kernel.interrupt_all()
    with pytest.raises(KitaruStateError, match="is interrupted"):
        handle.wait(timeout=10)
    (child_run,) = kernel.runs.values()  # its body runs on until its next checkpoint
    assert not child_run.done.is_set()
    resumed = resume(handle)
    LET_GO.set()
    assert resumed.wait(timeout=10) == "after hold"

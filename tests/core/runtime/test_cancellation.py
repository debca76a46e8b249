"""Cancelled at every point of a flow: never recorded as a call's outcome, and resume completes it.

Assurance section 1, test 16, in short form: the points are every step of every body, sync and async, around
checkpoints, gathered branches, waits, sleeps and submitted calls.
"""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.core.test_waits import until

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import KitaruExecutionError, KitaruStateError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel


class Points:
    """Counts the points that the flow passes, and cancels the execution at one of them."""

    def __init__(self) -> None:
        self.number = 0
        self.cancel_at: int | None = None
        self.kernel: Kernel | None = None
        self.lock = threading.Lock()

    def arm(self, kernel: Kernel, cancel_at: int | None) -> None:
        self.number, self.cancel_at, self.kernel = 0, cancel_at, kernel

    def reach(self) -> None:
        with self.lock:
            self.number += 1
            here = self.number == self.cancel_at
        if here:
            assert self.kernel is not None
            self.kernel.cancel(kitaru.current().exec_id)


points = Points()
ran: list[str] = []


@checkpoint
def step(label: str) -> str:
    points.reach()
    ran.append(label)
    points.reach()
    return label


@checkpoint
async def astep(label: str) -> str:
    points.reach()
    await asyncio.sleep(0)
    points.reach()
    ran.append(label)
    await asyncio.sleep(0.001)
    points.reach()
    return label


@checkpoint
async def outer(label: str) -> str:
    points.reach()
    return "+".join(await asyncio.gather(astep(f"{label}.1"), astep(f"{label}.2")))


@flow
def in_line() -> list[Any]:
    points.reach()
    found: list[Any] = [step("a")]
    points.reach()
    future = step.submit("b")
    points.reach()
    kitaru.sleep(0.001)
    points.reach()
    found.append(kitaru.wait(name="w", expires_in=0.002, on_expiry="nobody"))
    points.reach()
    found.append(future.result())
    points.reach()
    return [*found, step("c")]


@flow
async def in_branches() -> list[Any]:
    points.reach()
    found: list[Any] = list(await asyncio.gather(astep("a"), astep("b"), outer("o")))
    points.reach()
    await kitaru.sleep(0.001)
    points.reach()
    found.append(await kitaru.wait(name="w", expires_in=0.002, on_expiry="nobody"))
    points.reach()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(astep(f"t{n}")) for n in range(2)]
    points.reach()
    return [*found, *(task.result() for task in tasks)]


SHAPES = {
    "line": (in_line, ["a", "nobody", "b", "c"]),
    "branches": (in_branches, ["a", "b", "o.1+o.2", "nobody", "t0", "t1"]),
}


def cancel_once(kernel: Kernel, name: str, point: int) -> bool:
    """Cancel at one point, look at what was recorded, resume to the end. False: the flow has no such point."""
    definition, expected = SHAPES[name]
    ran.clear()
    points.arm(kernel, point)
    handle = definition.run()
    try:
        assert handle.wait(timeout=60) == expected
        # The last points lie behind the last call: the result may be quicker than the cancellation.
        return points.number >= point
    except KitaruExecutionError as error:
        assert error.status == "cancelled", error
    entries = kernel.journal.entries(handle.exec_id)
    kinds = {entry.kind for entry in entries}
    assert not kinds & {EntryKind.CANCELLED, EntryKind.FAILED, EntryKind.ATTEMPT_FAILED}, (point, entries)
    recorded = [entry.key for entry in entries if entry.kind is EntryKind.COMPLETED]
    before = list(ran)
    points.arm(kernel, None)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, definition.spec))
    assert again.wait(timeout=60) == expected, point
    entries = kernel.journal.entries(handle.exec_id)
    assert {entry.kind for entry in entries}.isdisjoint({EntryKind.CANCELLED, EntryKind.FAILED})
    done = [entry.key for entry in entries if entry.kind is EntryKind.COMPLETED]
    assert len(set(done)) == len(done) and done[: len(recorded)] == recorded
    # What was recorded before did not run again; a body that was cancelled may.
    assert len(ran) <= len(before) + len(done) - len(recorded)
    return True


@pytest.mark.parametrize("name", SHAPES)
def test_cancelled_at_every_point_it_resumes(kernel: Kernel, name: str) -> None:
    point = 1
    while cancel_once(kernel, name, point):
        point += 1
        assert point < 200, "it never got past its last point"
    assert point > 10


def test_a_waiting_execution_is_cancelled_at_once_and_waits_again_when_resumed(kernel: Kernel) -> None:
    @flow
    def asks() -> Any:
        return kitaru.wait(schema=int, name="n")

    handle = asks.run()
    client = KitaruClient()
    until(lambda: client.executions.pending_waits(handle.exec_id))
    client.executions.cancel(handle.exec_id)
    with pytest.raises(KitaruExecutionError, match="cancelled"):
        handle.wait(timeout=30)
    assert client.executions.pending_waits(handle.exec_id) == []
    with pytest.raises(KitaruStateError, match="it is cancelled"):
        client.executions.input(handle.exec_id, value=1)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, asks.spec))
    until(lambda: client.executions.pending_waits(handle.exec_id))
    client.executions.input(handle.exec_id, value=1)
    assert again.wait(timeout=30) == 1

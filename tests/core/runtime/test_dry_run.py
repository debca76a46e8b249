"""Dry runs: records answer, nothing runs, nothing is written, and the first contradiction is named."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from tests.core.runtime.world import ran, world

import kitaru
from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import KitaruStateError, KitaruUserCodeError
from kitaru.runtime.dry_run import Finding, dry_run
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


def interrupted(handle: FlowHandle) -> FlowHandle:
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait(timeout=20)
    ran.clear()
    return handle


def failed(handle: FlowHandle) -> FlowHandle:
    with pytest.raises(KitaruUserCodeError):
        handle.wait(timeout=20)
    ran.clear()
    return handle


def look(handle: FlowHandle) -> Finding:
    """A dry run; whatever it finds, no body ran and the journal is as it was."""
    kernel: Kernel = world["kernel"]
    before = (kernel.journal.get(handle.exec_id), kernel.journal.entries(handle.exec_id))
    found = dry_run(kernel, before[0])
    assert ran == []
    assert (kernel.journal.get(handle.exec_id), kernel.journal.entries(handle.exec_id)) == before
    return found


@checkpoint
def work(x: Any) -> Any:
    ran.append(x)
    if world.get("stop at") == x:
        world["kernel"].interrupt_all()
    if world.get("fail at") == x:
        raise ValueError(f"no {x}")
    return x


@flow
def line() -> int:
    total = 0
    for n in range(4):
        total += work(n + world.get("more", 0))
    kitaru.now()
    return work(total)


def test_where_it_would_continue() -> None:
    world["stop at"] = 1
    found = look(interrupted(line.run()))
    assert (found.verdict, found.place) == ("continues", "work#3")


def test_a_mismatch_is_the_divergence_it_would_be() -> None:
    world["stop at"] = 1
    handle = interrupted(line.run())
    world["more"] = 10
    found = look(handle)
    assert (found.verdict, found.key) == ("diverges", "work#1")
    (difference,) = found.differences
    assert (difference.argument, difference.recorded, difference.now) == ("x", "0", "10")
    kernel: Kernel = world["kernel"]
    real = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id))
    with pytest.raises(kitaru.KitaruDivergenceError, match="divergence") as caught:
        real.wait(timeout=20)
    assert found.message in str(caught.value)


def test_a_failed_execution_is_looked_at_as_retry_would_continue_it() -> None:
    world["fail at"] = 2
    found = look(failed(line.run()))
    assert (found.verdict, found.place) == ("continues", "work#3")


@flow(on_divergence="rerun")
def lenient() -> int:
    return work(world.get("from", 0)) + work(7)


def test_a_flow_that_runs_changed_calls_again_does_not_diverge() -> None:
    world["stop at"] = 0
    handle = interrupted(lenient.run())
    world["from"] = 5
    assert (look(handle).verdict, look(handle).place) == ("continues", "work")


@flow
def ending() -> int:
    work(1)
    if world.get("raise"):
        raise KeyError("changed")
    if not world.get("ok"):
        raise RuntimeError("broken")
    return 1


def test_code_that_would_end_on_records_alone() -> None:
    handle = failed(ending.run())
    world["ok"] = True
    assert look(handle).verdict == "completes"
    world["raise"] = True
    found = look(handle)
    assert (found.verdict, found.message) == ("fails", "its code raises KeyError: 'changed'")


@flow
def sleeping() -> int:
    work(1)
    kitaru.sleep(3600)
    return work(world.get("then", 2))


def test_timers_are_not_waited_for() -> None:
    kernel: Kernel = world["kernel"]
    kernel.hold_seconds = 0.0
    handle = sleeping.run()
    with pytest.raises(kitaru.KitaruWaitingError):
        handle.wait(timeout=20)
    ran.clear()
    assert (look(handle).verdict, look(handle).place) == ("continues", "work#2")


@flow
def parent() -> int:
    return work(child.run().wait() + world.get("more", 0))


@flow
def child() -> int:
    work("in child")
    return 5


def test_children_answer_from_their_records() -> None:
    world["stop at"] = 5
    handle = interrupted(parent.run())
    assert look(handle).verdict == "completes"
    world["more"] = 1
    assert (look(handle).verdict, look(handle).differences[0].now) == ("diverges", "6")


def test_a_child_that_has_not_ended_ends_the_dry_run() -> None:
    world["stop at"] = "in child"
    handle = interrupted(parent.run())
    kernel: Kernel = world["kernel"]
    for run in list(kernel.runs.values()):
        run.done.wait(20)
    assert look(handle).verdict == "continues"


@checkpoint
async def awork(x: Any) -> Any:
    ran.append(x)
    if world.get("stop at") == x:
        world["kernel"].interrupt_all()
    return x


@flow
async def gathering() -> Any:
    await awork("first")
    items = ["a", "b", world.get("third", "c")]
    await asyncio.gather(*(awork(item) for item in items), return_exceptions=True)
    return await awork("last")


def test_what_a_dry_run_raises_is_not_taken_for_values() -> None:
    """gather(return_exceptions=True) would hand its end on as results, which no record has."""
    world["stop at"] = "first"
    handle = interrupted(gathering.run())
    assert look(handle).verdict == "continues"


def test_async_calls_that_are_made_together_are_all_compared() -> None:
    world["stop at"] = "last"
    handle = interrupted(gathering.run())
    assert look(handle).verdict == "completes"
    world["third"] = "other"
    assert (look(handle).verdict, look(handle).differences[0].now) == ("diverges", '"other"')


@flow
def submitting() -> list[Any]:
    return [future.result() for future in work.map([1, 2, world.get("third", 3)])] + [work("last")]


def test_submitted_calls_are_compared_too() -> None:
    world["stop at"] = "last"
    handle = interrupted(submitting.run())
    assert look(handle).verdict == "completes"
    world["third"] = 30
    found = look(handle)
    assert (found.verdict, found.differences[0].now) == ("diverges", "30")


def test_a_replay_is_checked_with_what_it_reuses() -> None:
    source = ending.run()
    failed(source)
    world["ok"] = True
    assert ending.replay(source.exec_id).wait(timeout=20) == 1
    world["stop at"] = 1
    replay = interrupted(ending.replay(source.exec_id, from_="work"))
    assert look(replay).verdict == "completes"


def test_a_running_execution_does_not_notice() -> None:
    world["gate"], world["reached"] = threading.Event(), threading.Event()
    handle = gated.run()
    assert world["reached"].wait(20)
    kernel: Kernel = world["kernel"]
    found = dry_run(kernel, kernel.journal.get(handle.exec_id))
    assert (found.verdict, found.place) == ("continues", "hold")
    world["gate"].set()
    assert handle.wait(timeout=20) == 3


@checkpoint
def hold() -> int:
    world["reached"].set()
    world["gate"].wait(20)
    return 3


@flow
def gated() -> int:
    work(1)
    return hold()


def test_code_that_cannot_be_loaded() -> None:
    world["stop at"] = 1
    handle = interrupted(line.run())
    kernel: Kernel = world["kernel"]
    record = kernel.journal.get(handle.exec_id)
    record.entrypoint = {**record.entrypoint, "qualname": "gone"}
    found = dry_run(kernel, record)
    assert found.verdict == "unloadable"
    assert "gone" in found.message

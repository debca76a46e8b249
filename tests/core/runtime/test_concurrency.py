"""Calls that run beside each other: .submit, .map, .product, futures, the bounded pool, async flows."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from tests.core.runtime.world import ran, resume, world

import kitaru
from kitaru import CheckpointFuture, checkpoint, flow, unmapped
from kitaru.errors import (
    KitaruContextError,
    KitaruExecutionError,
    KitaruStateError,
    KitaruTimeoutError,
    KitaruUserCodeError,
)
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


@checkpoint
def add(a: int, b: int) -> int:
    ran.append((a, b))
    return a + b


@flow
def fan_out() -> Any:
    first = add.submit(1, 2)
    second = add.submit(first, 10)  # a future as an argument is resolved
    mapped = add.map([1, 2, 3], unmapped(5))
    crossed = add.product([10, 20], [1, 2])
    return (
        first.result(),
        second.load(),
        [one.result() for one in mapped],
        [one.result() for one in crossed],
        add(mapped[0], second),
    )


def test_submit_map_product_and_futures() -> None:
    assert fan_out.run().wait() == (3, 13, [6, 7, 8], [11, 12, 21, 22], 19)


def test_mapped_sequences_must_have_one_length_and_empty_ones_give_nothing() -> None:
    @flow
    def unequal() -> None:
        add.map([1], [1, 2])

    @flow
    def empty() -> list[Any]:
        return add.map([], [])

    with pytest.raises(KitaruUserCodeError, match=r"lengths differ \(argument 0: 1, argument 1: 2\)"):
        unequal.run().wait()
    assert empty.run().wait() == []


def test_texts_bytes_and_mappings_are_not_walked() -> None:
    @checkpoint
    def join(a: Any, b: Any, c: Any) -> Any:
        return [a, b, c]

    @flow
    def broadcast() -> Any:
        return [one.result() for one in join.map([1, 2], "text", {"a": 1})]

    assert broadcast.run().wait() == [[1, "text", {"a": 1}], [2, "text", {"a": 1}]]


def test_at_least_ten_bodies_run_at_once_by_default_and_a_limit_holds() -> None:
    lock = threading.Lock()
    seen = {"now": 0, "most": 0}
    gate = threading.Barrier(10, timeout=20)

    @checkpoint
    def meets(_: int) -> None:
        gate.wait()

    @flow
    def ten() -> None:
        for one in meets.map(list(range(10))):
            one.result()

    ten.run().wait()

    @checkpoint
    def counts(n: int) -> int:
        with lock:
            seen["now"] += 1
            seen["most"] = max(seen["most"], seen["now"])
        time.sleep(0.005)
        with lock:
            seen["now"] -= 1
        return n

    @flow(max_concurrency=3)
    def bounded() -> list[int]:
        return [one.result() for one in counts.map(list(range(12)))]

    assert bounded.run().wait() == list(range(12))
    assert seen["most"] <= 3


def test_a_pool_of_one_does_not_deadlock_on_nested_submits() -> None:
    @checkpoint
    def outer(n: int) -> int:
        return add.submit(n, 1).result() + add.submit(n, 2).result()

    @flow(max_concurrency=1)
    def nesting() -> list[int]:
        return [one.result() for one in outer.map([1, 2, 3])]

    assert nesting.run().wait(timeout=20) == [5, 7, 9]


def test_after_orders_calls() -> None:
    done: list[str] = []

    @checkpoint
    def note(what: str) -> None:
        if what == "first":
            time.sleep(0.03)
        done.append(what)

    @flow
    def ordered() -> None:
        first = note.submit("first")
        note.submit("second", after=[first])

    ordered.run().wait()
    assert done == ["first", "second"]

    @flow
    def wrong() -> None:
        note.submit("x", after=3)

    with pytest.raises(KitaruUserCodeError, match="after=3"):
        wrong.run().wait()


def test_a_failure_nobody_looked_at_fails_the_execution() -> None:
    @checkpoint
    def broken() -> None:
        raise OSError("unseen")

    @flow
    def careless() -> str:
        broken.submit()
        return "fine"

    with pytest.raises(KitaruUserCodeError, match="unseen"):
        careless.run().wait()

    @flow
    def careful() -> str:
        future = broken.submit()
        return type(future.exception()).__name__

    assert careful.run().wait() == "OSError"


def test_waiting_for_a_future_can_time_out() -> None:
    release = threading.Event()

    @checkpoint
    def slow() -> str:
        release.wait(20)
        return "done"

    @flow
    def impatient() -> Any:
        future = slow.submit()
        try:
            future.result(timeout=0.01)
        except KitaruTimeoutError as error:
            assert isinstance(error, TimeoutError)
            assert not future.done()
            release.set()
        return future.result()

    assert impatient.run().wait() == "done"


def test_a_handle_can_time_out_and_the_execution_goes_on() -> None:
    release = threading.Event()

    @checkpoint
    def slow() -> str:
        release.wait(20)
        return "done"

    @flow
    def waiting() -> str:
        return slow()

    handle = waiting.run()
    with pytest.raises(KitaruTimeoutError, match=handle.exec_id):
        handle.wait(timeout=0.01)
    with pytest.raises(KitaruStateError, match=f"{handle.exec_id} has not finished: its status is running"):
        handle.get()
    assert handle.status == "running"
    release.set()
    assert handle.wait() == "done"
    assert handle.get() == "done"


def test_outcomes_that_arrive_together_are_committed_once_each(kernel: Kernel) -> None:
    @flow(max_concurrency=16)
    def many() -> int:
        return sum(one.result() for one in add.map(list(range(200)), unmapped(1)))

    handle = many.run()
    assert handle.wait() == sum(range(200)) + 200
    entries = kernel.journal.entries(handle.exec_id)
    ended = [entry.key for entry in entries if entry.kind == EntryKind.COMPLETED]
    assert len(ended) == len(set(ended)) == 200
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))


# -- async ------------------------------------------------------------------------------------------------------


@checkpoint
async def aadd(a: int, b: int) -> int:
    ran.append((a, b))
    await asyncio.sleep(0)
    return a + b


@flow
async def aflow() -> Any:
    one = await aadd(1, 2)
    two = add(one, 1)  # a sync checkpoint runs inline
    three, four = await asyncio.gather(aadd(two, 1), aadd(two, 2))
    future = add.submit(1, 1)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(aadd(n, n)) for n in range(3)]
    return one, two, three, four, await future, [task.result() for task in tasks]


def test_async_flows_and_checkpoints() -> None:
    assert aflow.run().wait() == (3, 4, 5, 6, 2, [0, 2, 4])


def test_a_handle_is_awaitable() -> None:
    async def main() -> Any:
        return await aflow.run()

    assert asyncio.run(main()) == (3, 4, 5, 6, 2, [0, 2, 4])


def test_an_async_checkpoint_blocks_in_a_def_flow() -> None:
    @flow
    def sync_flow() -> Any:
        futures = [aadd.submit(n, 1) for n in range(3)]
        return aadd(1, 2), [one.result() for one in futures]

    assert sync_flow.run().wait() == (3, [1, 2, 3])


async def branch(name: str, delay: float) -> int:
    total = 0
    for step in range(3):
        await asyncio.sleep(delay)
        total += await aadd(len(name), step)
    return total


@flow
async def branching() -> list[int]:
    order = world.get("delays", (0.01, 0.0))
    return list(await asyncio.gather(branch("left", order[0]), branch("rightmost", order[1])))


def test_gathered_branches_have_keys_of_their_own(kernel: Kernel) -> None:
    handle = branching.run()
    expected = handle.wait()
    keys = {entry.key for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.COMPLETED}
    assert keys == {f"{number}:aadd#{n}" for number in (1, 2) for n in (1, 2, 3)}
    world["delays"] = (0.0, 0.01)
    assert branching.run().wait() == expected


@checkpoint
async def slowly(n: int) -> int:
    ran.append(n)
    await asyncio.sleep(0.03 * n)
    return n


@flow
async def race() -> Any:
    calls = [asyncio.create_task(slowly(n)) for n in (2, 1)]
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    winner = done.pop().result()
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if world.pop("stop", False):
        world["kernel"].interrupt_all()
    await slowly(0)
    return winner


def test_a_race_replays_as_it_went() -> None:
    world["stop"] = True
    handle = race.run()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait()
    ran.clear()
    assert resume(handle).wait() == 1
    assert ran == [0], "both racers are answered from the journal, the lost one as cancelled"


@flow
async def times_out() -> str:
    try:
        async with asyncio.timeout(0.02):
            await slowly(20)
    except TimeoutError:
        ended = "timed out"
    else:
        ended = "finished"
    if world.pop("stop", False):
        world["kernel"].interrupt_all()
    await slowly(0)
    return ended


def test_a_call_cancelled_by_the_flows_own_timeout_is_cancelled_again_on_resume(kernel: Kernel) -> None:
    world["stop"] = True
    handle = times_out.run()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait()
    kinds = [entry.kind for entry in kernel.journal.entries(handle.exec_id) if entry.key == "slowly#1"]
    assert kinds[-1] == EntryKind.CANCELLED
    ran.clear()
    assert resume(handle).wait() == "timed out"
    assert ran == [0]


@flow
async def swallows() -> str:
    try:
        await asyncio.gather(slowly(30), return_exceptions=True)
    except BaseException:
        ran.append("swallowed")
    await slowly(31)
    return "not reached"


@flow
async def numbered() -> list[str]:
    await asyncio.gather(*(once(n) for n in range(3)))
    if world.pop("stop", False):
        world["kernel"].interrupt_all()
    await slowly(0)
    return [await once(n) for n in (3, 4)]


async def once(n: int) -> str:
    await asyncio.sleep(0)
    return await whoami(n)


@checkpoint
async def whoami(n: int) -> str:
    return str(kitaru.current().invocation_id)


def test_calls_are_numbered_on_where_the_recorded_ones_end() -> None:
    world["stop"] = True
    handle = numbered.run()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait()
    assert resume(handle).wait() == ["whoami#4", "whoami#5"]


def test_cancelling_an_execution_reaches_async_work_at_once_and_cannot_be_swallowed() -> None:
    handle = swallows.run()
    deadline = time.monotonic() + 10
    while not ran and time.monotonic() < deadline:
        time.sleep(0.001)
    started = time.monotonic()
    world["kernel"].cancel(handle.exec_id)
    with pytest.raises(KitaruExecutionError, match="cancelled"):
        handle.wait()
    assert time.monotonic() - started < 0.5
    assert 31 not in ran


def test_an_async_attempt_that_passes_its_deadline_fails() -> None:
    @checkpoint(timeout=0.02)
    async def stuck() -> None:
        await asyncio.sleep(30)

    @flow
    async def hasty() -> str:
        try:
            await stuck()
        except KitaruTimeoutError as error:
            return str(error)
        return "not reached"

    assert "timed out" in hasty.run().wait()


def test_blocking_on_the_event_loop_is_refused_with_the_way_out() -> None:
    @flow
    async def blocking() -> Any:
        return aadd.submit(1, 2).result()

    with pytest.raises(KitaruUserCodeError, match="await future"):
        blocking.run().wait()

    @checkpoint
    def sync_inside() -> Any:
        return aadd(1, 2)

    @flow
    async def inline() -> Any:
        return sync_inside()

    with pytest.raises((KitaruUserCodeError, KitaruContextError), match="async def"):
        inline.run().wait()


def test_two_hundred_concurrent_calls_share_their_time() -> None:
    @checkpoint
    async def pause(n: int) -> int:
        await asyncio.sleep(0.02)
        return n

    @flow
    async def wide() -> int:
        return sum(await asyncio.gather(*(pause(n) for n in range(200))))

    assert wide.run().wait() == sum(range(200))


def test_a_future_prints_what_it_is() -> None:
    @flow
    def printing() -> str:
        future: CheckpointFuture[int] = add.submit(1, 2)
        future.wait()
        return repr(future)

    assert printing.run().wait() == "<CheckpointFuture of 'add': done>"


def test_the_current_frame_is_the_calls_own_in_threads_and_branches() -> None:
    @checkpoint
    def whoami(_: int) -> Any:
        return kitaru.current().invocation_id

    @flow
    def asking() -> list[Any]:
        return [one.result() for one in whoami.map([1, 2, 3])]

    assert asking.run().wait() == ["whoami", "whoami#2", "whoami#3"]

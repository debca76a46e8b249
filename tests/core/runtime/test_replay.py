"""Replays as they run: what is reused, what runs, what is recorded, and what survives a crash."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.core.runtime.world import ran, world

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import (
    KitaruBackendError,
    KitaruContextError,
    KitaruStateError,
    KitaruUsageError,
    KitaruUserCodeError,
)
from kitaru.models import CheckpointCall
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


def calls_of(handle: FlowHandle) -> dict[str, CheckpointCall]:
    return {call.invocation_id: call for call in KitaruClient().executions.get(handle.exec_id).checkpoints}


def result(handle: FlowHandle) -> Any:
    return handle.wait(timeout=20)


def id_of(handle: FlowHandle, invocation_id: str) -> str:
    """The call id: the bare name of a call that was made several times is ambiguous."""
    return calls_of(handle)[invocation_id].call_id


def started(handle: FlowHandle) -> FlowHandle:
    """The execution, ended; what it ran is forgotten."""
    result(handle)
    ran.clear()
    return handle


@checkpoint
def work(x: Any) -> Any:
    ran.append(x)
    if world.get("stop at") == x:
        del world["stop at"]
        world["kernel"].interrupt_all()
    if world.get("fail at") == x:
        raise ValueError(f"no {x}")
    return x * world.get("factor", 1)


@checkpoint
def join(parts: list[Any]) -> Any:
    ran.append("join")
    return sum(parts)


@flow
def chain(start: int = 1) -> int:
    first = work(start)
    second = work(first + 10)
    return work(second + 100)


@flow
def spread(items: list[int]) -> int:
    return join([work(item) for item in items])


def test_from_runs_the_frontier_and_what_was_called_after_it() -> None:
    source = started(chain.run(1))
    replay = chain.replay(source.exec_id, from_="work#2")
    assert result(replay) == 111
    assert ran == [11, 111]
    assert replay.exec_id != source.exec_id
    execution = KitaruClient().executions.get(replay.exec_id)
    assert execution.original_exec_id == source.exec_id
    before, after = calls_of(source), calls_of(replay)
    assert [call.original_call_id for call in after.values()] == [before["work"].call_id, None, None]
    assert {call.status for call in after.values()} == {"completed"}
    assert after["work"].artifacts[0].load() == 1


def test_without_from_nothing_runs_that_is_unchanged() -> None:
    source = started(chain.run(1))
    assert result(chain.replay(source.exec_id)) == 111
    assert ran == []


def test_only_what_depends_on_a_changed_input_runs() -> None:
    source = started(spread.run([1, 2, 3]))
    assert result(spread.replay(source.exec_id, items=[1, 20, 3])) == 24
    assert ran == [20, "join"]


def test_calls_that_moved_are_found_by_their_inputs() -> None:
    source = started(spread.run([1, 2, 3]))
    replay = spread.replay(source.exec_id, items=[9, 1, 2, 3])
    assert result(replay) == 15
    assert ran == [9, "join"]
    assert list(calls_of(replay)) == ["work", "work#2", "work#3", "work#4", "join"]
    assert calls_of(replay)["work#2"].original_call_id == calls_of(source)["work"].call_id


def test_a_call_after_the_frontier_is_not_answered_by_an_equal_one_before_it() -> None:
    source = started(spread.run([1, 2, 1]))
    assert result(spread.replay(source.exec_id, from_="work#3", items=[5, 2, 1])) == 8
    assert ran == [5, 1, "join"]


def test_an_override_stands_in_for_a_result_and_the_call_does_not_run() -> None:
    source = started(chain.run(1))
    replay = chain.replay(source.exec_id, overrides={"checkpoint.work#2": 50})
    assert result(replay) == 150
    assert ran == [150]
    call = calls_of(replay)["work#2"]
    assert (call.artifacts[0].load(), call.original_call_id) == (50, calls_of(source)["work#2"].call_id)


def test_an_override_holds_at_and_after_the_frontier_and_whatever_the_inputs() -> None:
    source = started(chain.run(1))
    replay = chain.replay(source.exec_id, from_=id_of(source, "work"), overrides={"checkpoint.work#2": 7}, start=5)
    assert result(replay) == 107
    assert ran == [5, 107]


def test_a_large_override_and_large_results_are_referred_to() -> None:
    @checkpoint
    def big(n: int) -> str:
        ran.append(n)
        return "x" * n

    @flow
    def sizes() -> int:
        return len(big(100_000)) + len(big(200_000))

    with pytest.warns(UserWarning, match="inside a function"):
        source = started(sizes.run())
    replay = sizes.replay(source.exec_id, overrides={"checkpoint.big#2": "y" * 300_000})
    assert result(replay) == 400_000
    assert ran == []
    digests = [call.artifacts[0].metadata["digest"] for call in calls_of(replay).values()]
    assert digests[0] == calls_of(source)["big"].artifacts[0].metadata["digest"]


def test_the_source_stays_as_it_is() -> None:
    source = started(chain.run(1))
    client = KitaruClient()
    before = client.executions.get(source.exec_id)
    result(chain.replay(source.exec_id, from_="work#2", start=1))
    assert client.executions.get(source.exec_id) == before


@flow
def drawing(more: int = 0) -> list[Any]:
    drawn = [kitaru.uuid4(), kitaru.random(), kitaru.now()]
    work(1)
    late = kitaru.now()
    return [*drawn, work(2), kitaru.uuid4(), late, more]


def test_drawn_values_and_times_before_the_frontier_are_those_of_the_original() -> None:
    source = drawing.run()
    first = result(source)
    again = result(drawing.replay(source.exec_id, more=1))
    assert again == [*first[:-1], 1]
    from_start = result(drawing.replay(source.exec_id, from_=id_of(source, "work")))
    assert from_start[:5] == first[:5]
    assert from_start[5] > first[5]


def test_a_failed_execution_is_replayed_past_its_failure_with_its_results() -> None:
    world["fail at"] = 11
    source = chain.run(1)
    with pytest.raises(KitaruUserCodeError, match="no 11"):
        result(source)
    del world["fail at"]
    ran.clear()
    assert result(chain.replay(source.exec_id)) == 111
    assert ran == [11, 111]
    ran.clear()
    assert result(chain.replay(source.exec_id, overrides={"checkpoint.work#2": 3})) == 103
    assert ran == [103]


@flow
def catching() -> list[Any]:
    found = []
    for n in (1, 2, 3):
        try:
            found.append(work(n))
        except ValueError as error:
            found.append(str(error))
    return found


def test_failures_that_the_flow_caught_are_reused_too() -> None:
    world["fail at"] = 2
    source = started(catching.run())
    del world["fail at"]
    assert result(catching.replay(source.exec_id, from_="work#3")) == [1, "no 2", 3]
    assert ran == [3]


@checkpoint
def outer(x: int) -> int:
    ran.append("outer")
    return work(x) + work(x + 1) + world.get("more", 0)


@flow
def nesting(x: int = 1) -> int:
    return work(outer(x))


def test_nested_calls() -> None:
    source = started(nesting.run())
    whole = nesting.replay(source.exec_id, from_=id_of(source, "work"))
    assert result(whole) == 3
    assert ran == [3]
    assert set(calls_of(whole)) == {"outer/work", "outer/work#2", "outer", "work"}
    assert calls_of(whole)["outer/work#2"].original_call_id == calls_of(source)["outer/work#2"].call_id
    ran.clear()
    assert result(nesting.replay(source.exec_id, from_="outer/work#2")) == 3
    assert ran == ["outer", 2, 3]
    ran.clear()
    assert result(nesting.replay(source.exec_id, overrides={"checkpoint.outer/work": 40})) == 42
    assert ran == ["outer", 42]


def test_a_replay_can_be_replayed() -> None:
    first = started(chain.run(1))
    second = started(chain.replay(first.exec_id, from_="work#3"))
    third = chain.replay(second.exec_id, from_="work#2")
    assert result(third) == 111
    assert ran == [11, 111]
    assert calls_of(third)["work"].original_call_id == calls_of(second)["work"].call_id
    ran.clear()
    fourth = chain.replay(second.exec_id, from_="work#3", overrides={f"checkpoint.{id_of(second, 'work')}": 5})
    assert result(fourth) == 115
    assert ran == [15, 115]


class Opaque:
    """Only pickle can encode it: it has a slot and no annotations."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __reduce__(self) -> Any:
        return Opaque, (self.n,)


@checkpoint
def look(thing: Any) -> int:
    ran.append("look")
    return int(thing.n)


@flow
def opaque(n: int = 1, before: int = 0) -> int:
    work(before)
    return look(Opaque(n))


def test_inputs_that_cannot_be_compared_count_as_unchanged_only_while_nothing_else_changed() -> None:
    source = started(opaque.run())
    assert result(opaque.replay(source.exec_id)) == 1
    assert ran == []
    assert result(opaque.replay(source.exec_id, n=2)) == 2
    assert ran == ["look"]
    ran.clear()
    assert result(opaque.replay(source.exec_id, from_="work")) == 1
    assert ran == [0, "look"]


@flow
def parent() -> int:
    return work(child.run(4).wait())


@flow
def child(x: int) -> int:
    return work(x) + 1


def test_a_replay_makes_new_children() -> None:
    source = started(parent.run())
    replay = parent.replay(source.exec_id)
    assert result(replay) == 5
    assert ran == [4]  # the new child's; what the parent made of it is unchanged
    ids = [KitaruClient().executions.get(one.exec_id).children[0].exec_id for one in (source, replay)]
    assert ids[0] != ids[1]


@checkpoint
async def awork(x: int, delay: float = 0.0) -> int:
    ran.append(x)
    await asyncio.sleep(delay)
    return x


@flow
async def gathering(items: list[int]) -> list[int]:
    order: list[int] = []

    async def one(item: int, place: int) -> None:
        order.append(await awork(item, 0.03 - 0.01 * place))

    await asyncio.gather(*(one(item, place) for place, item in enumerate(items)))
    await awork(sum(items))
    return order


def test_async_calls_are_answered_in_the_order_in_which_they_ended() -> None:
    source = gathering.run([1, 2, 3])
    order = result(source)
    ran.clear()
    replay = gathering.replay(source.exec_id, from_="awork#4")
    assert result(replay) == order == [3, 2, 1]
    assert ran == [6]
    ran.clear()
    changed = result(gathering.replay(source.exec_id, items=[1, 20, 3]))
    assert sorted(changed) == [1, 3, 20]
    assert changed[:2] == [3, 1]
    assert ran == [20, 24]


@flow
def submitting(items: list[int]) -> int:
    return sum(future.result() for future in work.map(items))


def test_submitted_calls() -> None:
    source = started(submitting.run(list(range(30))))
    assert result(submitting.replay(source.exec_id)) == sum(range(30))
    assert ran == []
    assert result(submitting.replay(source.exec_id, items=[*range(29), 100])) == sum(range(29)) + 100
    assert ran == [100]


# -- crashes ------------------------------------------------------------------------------------------------------


def test_an_interrupted_replay_continues_where_it_was() -> None:
    source = started(spread.run([1, 2, 3, 4, 5]))
    world["stop at"] = 30
    replay = spread.replay(source.exec_id, items=[1, 2, 30, 4, 50])
    with pytest.raises(KitaruStateError, match="interrupted"):
        result(replay)
    assert ran == [30]
    kernel: Kernel = world["kernel"]
    resumed = FlowHandle(kernel, replay.exec_id, kernel.resume(replay.exec_id))
    assert result(resumed) == 87
    assert ran == [30, 50, "join"]
    assert [call.original_call_id is not None for call in calls_of(replay).values()] == [
        True, True, False, True, False, False,
    ]  # fmt: skip


def test_a_resumed_replay_uses_no_record_of_its_original_twice() -> None:
    source = started(spread.run([1, 2]))
    world["stop at"] = 9
    replay = spread.replay(source.exec_id, items=[9, 1, 1])
    with pytest.raises(KitaruStateError, match="interrupted"):
        result(replay)
    kernel: Kernel = world["kernel"]
    assert result(FlowHandle(kernel, replay.exec_id, kernel.resume(replay.exec_id))) == 11
    assert ran == [9, 1, "join"]


def test_a_replay_of_an_interrupted_execution_does_not_follow_what_becomes_of_it() -> None:
    world["stop at"] = 11
    source = chain.run(1)
    with pytest.raises(KitaruStateError, match="interrupted"):
        result(source)
    world["stop at"] = 11
    replay = chain.replay(source.exec_id, from_="work#2")
    with pytest.raises(KitaruStateError, match="interrupted"):
        result(replay)
    kernel: Kernel = world["kernel"]
    assert result(FlowHandle(kernel, source.exec_id, kernel.resume(source.exec_id))) == 111
    ran.clear()
    assert result(FlowHandle(kernel, replay.exec_id, kernel.resume(replay.exec_id))) == 111
    assert ran == [111]  # the source has a record of it now, made after the replay was planned


# -- refusals -----------------------------------------------------------------------------------------------------


def nothing_new() -> int:
    return len(KitaruClient().executions.list())


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ({"from_": "nope"}, KitaruStateError, "Unknown checkpoint selector"),
        ({"from_": "work"}, KitaruStateError, "ambiguous"),
        ({"from_": ""}, KitaruUsageError, "from_"),
        ({"overrides": {"x.y": 1}}, KitaruUsageError, "Override keys must start"),
        ({"overrides": ["checkpoint.work"]}, KitaruUsageError, "mapping"),
        ({"nope": 1}, KitaruUsageError, "do not fit flow `chain`.*start"),
        ({"retries": -1}, KitaruUsageError, "retries"),
    ],
)
def test_bad_replays_start_nothing(asked: dict[str, Any], error: type[Exception], text: str) -> None:
    source = started(chain.run(1))
    with pytest.raises(error, match=text):
        chain.replay(source.exec_id, **asked)
    assert nothing_new() == 1


def test_an_original_that_cannot_be_loaded() -> None:
    with pytest.raises(KitaruBackendError, match="no-such-id"):
        chain.replay("no-such-id")
    with pytest.raises(KitaruBackendError, match="no-such-id"):
        KitaruClient().executions.replay("no-such-id", from_="work")


def test_an_original_of_another_flow() -> None:
    source = started(chain.run(1))
    with pytest.raises(KitaruUsageError, match=r"one of flow `chain`, not of `spread`.*chain.replay"):
        spread.replay(source.exec_id)


@flow
def replaying(exec_id: str) -> Any:
    return chain.replay(exec_id).wait()


def test_a_flow_cannot_replay() -> None:
    source = started(chain.run(1))
    with pytest.raises(KitaruUserCodeError) as caught:
        result(replaying.run(source.exec_id))
    assert isinstance(caught.value.__cause__, KitaruContextError)


@flow
def held() -> None:
    work(1)
    world["reached"].set()
    world["go on"].wait(20)


def test_a_running_execution_is_refused() -> None:
    import threading

    world["reached"], world["go on"] = threading.Event(), threading.Event()
    handle = held.run()
    assert world["reached"].wait(20)
    try:
        with pytest.raises(KitaruStateError, match="is running"):
            held.replay(handle.exec_id)
        with pytest.raises(KitaruStateError, match="is running"):
            KitaruClient().executions.replay(handle.exec_id)
    finally:
        world["go on"].set()
    result(handle)


# -- through the client -------------------------------------------------------------------------------------------


def test_the_client_and_snapshots_replay() -> None:
    source = started(chain.run(1))
    client = KitaruClient()
    replay = client.executions.replay(source.exec_id, from_="work#3", retries=2)
    assert replay.original_exec_id == source.exec_id
    assert replay.frozen_execution_spec["resolved_execution"]["retries"] == 2
    while not (now := replay.refresh()).status.finished:
        pass
    assert now.result() == 111
    assert ran == [111]
    again = now.replay(overrides={"checkpoint.work#3": 5}, start=1)
    while not (now := again.refresh()).status.finished:
        pass
    assert now.result() == 5
    assert ran == [111]


def test_one_changed_input_among_a_thousand_calls() -> None:
    source = started(spread.run(list(range(1000))))
    items = list(range(1000))
    items[437] = -5
    replay = spread.replay(source.exec_id, items=items)
    assert result(replay) == sum(items)
    assert ran == [-5, "join"]
    found = calls_of(replay)
    assert len(found) == 1001
    assert [name for name, call in found.items() if call.original_call_id is None] == ["work#438", "join"]

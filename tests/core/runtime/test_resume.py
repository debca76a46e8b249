"""What an execution's next owner finds: reuse, divergence, retry of failures, idempotent starts."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.core.runtime.world import ran, resume, world

import kitaru
from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import (
    KitaruDivergenceError,
    KitaruExecutionError,
    KitaruLeaseError,
    KitaruStateError,
    KitaruUserCodeError,
)
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


def pull_the_plug() -> None:
    """Let go of every execution of this process, as Ctrl-C does: before its next call."""
    world["kernel"].interrupt_all()


def interrupted(handle: FlowHandle) -> FlowHandle:
    with pytest.raises(KitaruStateError, match=f"interrupted.*kitaru executions resume {handle.exec_id}"):
        handle.wait(timeout=10)
    assert handle.status == "interrupted"
    return handle


@checkpoint
def work(n: Any) -> Any:
    ran.append(n)
    if world.get("stop after") == n:
        del world["stop after"]
        pull_the_plug()
    return n


@flow
def three() -> list[int]:
    return [work(n) for n in range(3)]


def test_resume_runs_only_what_was_not_recorded() -> None:
    world["stop after"] = 1
    handle = interrupted(three.run())
    assert ran == [0, 1]
    assert resume(handle).wait() == [0, 1, 2]
    assert ran == [0, 1, 2]


def test_what_is_finished_or_running_cannot_be_resumed() -> None:
    handle = three.run()
    handle.wait()
    with pytest.raises(KitaruStateError, match=f"execution {handle.exec_id} is completed"):
        world["kernel"].resume(handle.exec_id)
    with pytest.raises(KitaruStateError, match="'nothing'"):
        world["kernel"].resume("nothing")


@flow
def asks_world() -> Any:
    first = work("first")
    second = work(world.get("argument", "as recorded"))
    return first, second


@flow(on_divergence="rerun")
def rerunning() -> Any:
    return work("first"), work(world.get("argument", "as recorded"))


@flow(on_divergence="reuse")
def reusing() -> Any:
    return work("first"), work(world.get("argument", "as recorded"))


def test_changed_inputs_diverge_and_the_message_shows_both() -> None:
    world["stop after"] = "as recorded"
    handle = interrupted(asks_world.run())
    world["argument"] = "changed"
    with pytest.raises(KitaruDivergenceError) as caught:
        resume(handle).wait()
    text = str(caught.value)
    for part in ("`work`", "`n`", "as recorded", "changed", 'on_divergence="rerun"', 'on_divergence="reuse"'):
        assert part in text
    assert caught.value.failure_origin == "divergence"
    world["argument"] = "as recorded"
    kernel: Kernel = world["kernel"]
    assert FlowHandle(kernel, handle.exec_id, kernel.retry(handle.exec_id)).wait() == ("first", "as recorded")
    assert ran == ["first", "as recorded"], "a divergence loses nothing"


def test_the_other_divergence_policies() -> None:
    world["stop after"] = "as recorded"
    handle = interrupted(rerunning.run())
    world["argument"] = "changed"
    assert resume(handle).wait() == ("first", "changed")
    del world["argument"]
    world["stop after"] = "as recorded"
    handle = interrupted(reusing.run())
    world["argument"] = "changed"
    assert resume(handle).wait() == ("first", "as recorded")


@flow
def in_worlds_order() -> list[Any]:
    return [work(n) for n in world["order"]]


def test_calls_that_come_back_in_another_order_find_their_own_records() -> None:
    world.update({"order": [1, 2, 3], "stop after": 3})
    handle = interrupted(in_worlds_order.run())
    world["order"] = [3, 1, 2]
    assert resume(handle).wait() == [3, 1, 2]
    assert ran == [1, 2, 3]


@checkpoint
def fails_for_now(n: int) -> int:
    ran.append(f"try {n}")
    if world.get("broken"):
        raise ConnectionError("for now")
    return n


@checkpoint
def around(n: int) -> int:
    return fails_for_now(n) + 10


@flow
def with_failure() -> Any:
    caught = None
    try:
        fails_for_now(0)
    except ConnectionError as error:
        caught = str(error)
    return caught, around(1)


def test_retry_reopens_what_the_execution_failed_with_and_keeps_what_was_caught() -> None:
    world["broken"] = True
    handle = with_failure.run()
    with pytest.raises(KitaruUserCodeError, match="for now"):
        handle.wait()
    kernel: Kernel = world["kernel"]
    with pytest.raises(KitaruStateError, match=f"kitaru executions retry {handle.exec_id}"):
        kernel.resume(handle.exec_id)
    world["broken"] = False
    again = FlowHandle(kernel, handle.exec_id, kernel.retry(handle.exec_id))
    assert again.wait() == ("for now", 11)
    assert ran == ["try 0", "try 1", "try 1"]


class Odd(Exception):
    def __init__(self, code: int, *, why: str) -> None:
        super().__init__(f"{code}: {why}")
        self.code = code


@checkpoint
def raises_odd() -> None:
    ran.append("odd")
    raise Odd(7, why="because")


@flow
def catches_odd() -> Any:
    try:
        raises_odd()
    except Odd as error:
        told = type(error).__name__, str(error), getattr(error, "code", None)
    work("after")
    work("end")
    return told


def test_a_caught_failure_is_raised_again_without_running() -> None:
    world["stop after"] = "after"
    handle = interrupted(catches_odd.run())
    assert resume(handle).wait() == ("Odd", "7: because", 7)
    assert ran == ["odd", "after", "end"]


@flow
def keeps_time() -> Any:
    values = kitaru.now(), kitaru.uuid4(), kitaru.random()
    work("middle")
    work("end")
    world.setdefault("values", []).append(values)
    return values


def test_time_ids_and_random_numbers_are_the_same_when_code_runs_again() -> None:
    world["stop after"] = "middle"
    handle = interrupted(keeps_time.run())
    first = resume(handle).wait()
    assert first[0].tzinfo is not None
    assert first[1].version == 4
    assert 0 <= first[2] < 1
    other = keeps_time.run().wait()
    assert other[0] != first[0]
    assert other[1] != first[1]
    assert other[2] != first[2]
    world["stop after"] = "middle"
    handle = interrupted(keeps_time.run())
    recorded = [entry for entry in world["kernel"].journal.entries(handle.exec_id) if entry.name == "now"]
    assert len(recorded) == 1
    assert resume(handle).wait()[0].timestamp() * 1e6 == pytest.approx(recorded[0].started_at, abs=1)


@checkpoint(retries=1)
def parent(n: int) -> int:
    got = work(n)
    if world.pop("fail parent", False):
        raise OSError
    return work(got + 100)


@flow
def nested() -> int:
    return parent(1)


def test_a_parents_next_attempt_reuses_its_inner_successes() -> None:
    world["fail parent"] = True
    assert nested.run().wait() == 101
    assert ran == [1, 101]


def test_a_crash_between_a_parents_attempts_keeps_its_inner_successes() -> None:
    world.update({"fail parent": True, "stop after": 101})
    handle = interrupted(nested.run())
    assert resume(handle).wait() == 101
    assert ran == [1, 101]


counter = itertools.count()


@checkpoint
def nondeterministic() -> int:
    got = work(f"inner {next(counter)}")
    if world.pop("crash", False):
        pull_the_plug()
        work("never")
    return len(got)


@flow
def bodies_may_vary() -> int:
    return nondeterministic()


def test_inside_a_checkpoint_other_inputs_are_a_new_call_not_a_divergence() -> None:
    world["crash"] = True
    handle = interrupted(bodies_may_vary.run())
    assert resume(handle).wait() > 0
    assert len(ran) == 2


# -- idempotent starts ------------------------------------------------------------------------------------------


@flow
def order(n: int) -> int:
    return work(n)


def test_one_key_is_one_execution() -> None:
    first = order.run(1, idempotency_key="order-1")
    assert first.wait() == 1
    again = order.run(1, idempotency_key="order-1")
    assert again.exec_id == first.exec_id
    assert again.wait() == 1
    assert ran == [1]
    other = order.run(1, idempotency_key="order-2")
    assert other.exec_id != first.exec_id
    assert other.wait() == 1


def test_other_inputs_under_one_key_are_refused_and_named() -> None:
    order.run(1, idempotency_key="order-1").wait()
    with pytest.raises(KitaruStateError, match="another `n`"):
        order.run(2, idempotency_key="order-1")


def test_an_interrupted_execution_is_continued_under_its_key() -> None:
    world["stop after"] = 0
    handle = interrupted(three.run(idempotency_key="three"))
    again = three.run(idempotency_key="three")
    assert again.exec_id == handle.exec_id
    assert again.wait() == [0, 1, 2]
    assert ran == [0, 1, 2]


def test_a_failed_execution_is_returned_as_recorded() -> None:
    world["broken"] = True
    with pytest.raises(KitaruUserCodeError):
        with_failure.run(idempotency_key="failing").wait()
    world["broken"] = False
    with pytest.raises(KitaruUserCodeError, match="for now"):
        with_failure.run(idempotency_key="failing").wait()


# -- cancelling -------------------------------------------------------------------------------------------------


@checkpoint
def cancels_itself(n: int) -> int:
    ran.append(n)
    if world.pop("cancel", False):
        world["kernel"].cancel(kitaru.current().exec_id)
    return n


@flow
def cancellable() -> int:
    return sum(cancels_itself(n) for n in range(3))


def test_cancelling_stops_before_the_next_checkpoint_and_can_be_resumed() -> None:
    world["cancel"] = True
    handle = cancellable.run()
    with pytest.raises(KitaruExecutionError, match=f"cancelled.*kitaru executions resume {handle.exec_id}") as caught:
        handle.wait()
    assert caught.value.status == "cancelled"
    assert handle.status == "cancelled"
    assert ran == [0]
    assert resume(handle).wait() == 3
    assert ran == [0, 1, 2]


def test_two_resumes_have_one_winner() -> None:
    world["stop after"] = 0
    handle = interrupted(three.run())
    winner = resume(handle)
    with pytest.raises((KitaruLeaseError, KitaruStateError), match=handle.exec_id):
        resume(handle)
    assert winner.wait() == [0, 1, 2]


@flow
def settings_flow() -> Any:
    work("first")
    fails_for_now(1)
    return work("last")


def test_settings_of_the_run_hold_after_a_resume() -> None:
    world.update({"broken": True, "stop after": "first"})
    handle = interrupted(settings_flow.run(retries=2))
    with pytest.raises(KitaruUserCodeError):
        resume(handle).wait()
    assert ran == ["first", "try 1", "try 1", "try 1"]


def test_an_execution_that_takes_its_owners_down_is_parked() -> None:
    kernel: Kernel = world["kernel"]
    world["stop after"] = 0
    handle = interrupted(three.run())
    assert kernel.recover(handle.exec_id, owners_lost_max=0) is None
    with pytest.raises(KitaruExecutionError, match="parked") as caught:
        handle.wait()
    assert caught.value.failure_origin == "runtime"
    assert FlowHandle(kernel, handle.exec_id, kernel.retry(handle.exec_id)).wait() == [0, 1, 2]
    assert ran == [0, 1, 2]

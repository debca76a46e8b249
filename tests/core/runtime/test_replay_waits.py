"""Waits and effects in replays: answers are reused or overridden, nothing that happened once happens again unasked."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.runtime.world import ran, world

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import KitaruStateError, KitaruUserCodeError, KitaruWaitingError, KitaruWaitValidationError
from kitaru.runtime.dry_run import dry_run
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.usefixtures("fresh_world")


@pytest.fixture(autouse=True)
def at_once(fresh_world: None, kernel: Kernel) -> None:
    """Owners let go of an execution that waits."""
    kernel.hold_seconds = 0.0


def result(handle: FlowHandle) -> Any:
    return handle.wait(timeout=20)


def answered(handle: FlowHandle, **answers: Any) -> FlowHandle:
    """Let the flow suspend on each wait in turn, answer it, and continue it here."""
    kernel: Kernel = world["kernel"]
    for name, value in answers.items():
        with pytest.raises(KitaruWaitingError, match=name):
            result(handle)
        KitaruClient().executions.input(handle.exec_id, wait=name, value=value, resume=False)
        handle = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id))
    return handle


def started(handle: FlowHandle) -> FlowHandle:
    result(handle)
    ran.clear()
    return handle


@checkpoint
def work(x: Any) -> Any:
    ran.append(x)
    return x


@flow
def approving(topic: str = "rust") -> str:
    draft = work(topic)
    first = kitaru.wait(name="approve", schema=bool)
    text = work(f"{draft}:{first}")
    second = kitaru.wait(name="sign", schema=str)
    return work(f"{text}:{second}")


def test_answers_before_the_frontier_are_reused() -> None:
    source = started(answered(approving.run(), approve=True, sign="me"))
    assert result(approving.replay(source.exec_id)) == "rust:True:me"
    assert ran == []
    assert result(approving.replay(source.exec_id, from_="work#3")) == "rust:True:me"
    assert ran == ["rust:True:me"]
    assert result(approving.replay(source.exec_id, topic="go")) == "go:True:me"


def test_waits_after_the_frontier_ask_again() -> None:
    source = started(answered(approving.run(), approve=True, sign="me"))
    replay = answered(approving.replay(source.exec_id, from_="work#2"), sign="you")
    assert result(replay) == "rust:True:you"
    assert ran == ["rust:True", "rust:True:you"]
    assert [one.name for one in KitaruClient().executions.pending_waits(source.exec_id)] == []


def test_an_override_stands_in_for_an_answer_also_after_the_frontier() -> None:
    source = started(answered(approving.run(), approve=True, sign="me"))
    assert result(approving.replay(source.exec_id, overrides={"wait.approve": False})) == "rust:False:me"
    assert ran == ["rust:False", "rust:False:me"]
    ran.clear()
    first = KitaruClient().executions.get(source.exec_id).checkpoints[0].call_id
    assert result(approving.replay(source.exec_id, from_=first, overrides={"wait.approve": False, "wait.sign": "x"}))
    assert ran == ["rust", "rust:False", "rust:False:x"]


def test_a_waiting_execution_is_replayed_with_an_answer_that_it_has_not_got() -> None:
    source = approving.run()
    with pytest.raises(KitaruWaitingError):
        result(source)
    ran.clear()
    replay = approving.replay(source.exec_id, overrides={"wait.approve": False})
    with pytest.raises(KitaruWaitingError, match="sign"):
        result(replay)
    assert ran == ["rust:False"]
    assert source.status == "waiting"
    again = answered(approving.replay(replay.exec_id), sign="me")
    assert result(again) == "rust:False:me"


def test_an_answer_that_came_after_its_owner_had_left_is_reused() -> None:
    source = approving.run()
    with pytest.raises(KitaruWaitingError):
        result(source)
    KitaruClient().executions.input(source.exec_id, wait="approve", value=True, resume=False)
    with pytest.raises(KitaruWaitingError, match="sign"):
        result(approving.replay(source.exec_id))
    assert ran == ["rust", "rust:True"]


@pytest.mark.parametrize(
    ("overrides", "error", "text"),
    [
        ({"wait.nope": 1}, KitaruStateError, "recorded no wait `nope`. Available: approve, sign"),
        ({"wait.approve": "perhaps"}, KitaruWaitValidationError, "approve"),
    ],
)
def test_bad_answers_start_nothing(overrides: dict[str, Any], error: type[Exception], text: str) -> None:
    source = started(answered(approving.run(), approve=True, sign="me"))
    with pytest.raises(error, match=text):
        approving.replay(source.exec_id, overrides=overrides)
    assert len(KitaruClient().executions.list()) == 1


@checkpoint
def confirmed(x: int) -> str:
    ran.append("confirmed")
    return f"{x}:{kitaru.wait(name='inside', schema=str)}"


@flow
def nested(x: int = 1) -> str:
    return work(confirmed(x))


def test_waits_inside_checkpoints() -> None:
    source = started(answered(nested.run(), inside="yes"))
    assert result(nested.replay(source.exec_id, from_="work")) == "1:yes"
    assert ran == ["1:yes"]
    ran.clear()
    assert result(nested.replay(source.exec_id, overrides={"wait.inside": "no"})) == "1:no"
    assert ran == ["confirmed", "1:no"]


# -- effects ------------------------------------------------------------------------------------------------------


@checkpoint(effect="once")
def pay(cents: int) -> str:
    ran.append(("pay", cents))
    if world.get("line is bad"):
        raise ConnectionError("lost")
    return f"receipt {cents}"


@checkpoint(effect="once", in_doubt="fail")
def strict(cents: int) -> str:
    ran.append(("strict", cents))
    return f"strict {cents}"


@flow
def order(cents: int = 5) -> str:
    work("before")
    return work(pay(cents))


@flow
def strict_order(cents: int = 5) -> str:
    return strict(cents)


def test_an_effect_with_the_same_inputs_does_not_happen_again_wherever_the_frontier_is() -> None:
    source = started(order.run())
    for from_ in (None, "pay", "work"):
        selector = from_ if from_ != "work" else KitaruClient().executions.get(source.exec_id).checkpoints[0].call_id
        assert result(order.replay(source.exec_id, from_=selector)) == "receipt 5"
        assert ("pay", 5) not in ran


def test_an_effect_with_other_inputs_asks() -> None:
    source = started(order.run())
    replay = order.replay(source.exec_id, cents=7)
    with pytest.raises(KitaruWaitingError, match="pay"):
        result(replay)
    assert ran == []
    client = KitaruClient()
    (wait,) = client.executions.pending_waits(replay.exec_id)
    assert "recorded with other inputs" in str(wait.question)
    replay = answered(replay, **{wait.name: {"decision": "run_again"}})
    assert result(replay) == "receipt 7"
    assert ran == [("pay", 7), "receipt 7"]
    ran.clear()
    # The decision held for that time: a replay of the replay with yet another amount asks anew.
    again = order.replay(replay.exec_id, cents=9)
    with pytest.raises(KitaruWaitingError, match="pay"):
        result(again)
    assert ran == []


def test_the_policy_decides() -> None:
    source = started(strict_order.run())
    with pytest.raises(KitaruUserCodeError, match="recorded with other inputs"):
        result(strict_order.replay(source.exec_id, cents=7))
    assert ran == []
    assert result(strict_order.replay(source.exec_id, from_="strict")) == "strict 5"


def test_an_effect_in_doubt_stays_in_doubt_in_a_replay() -> None:
    world["line is bad"] = True
    source = order.run()
    with pytest.raises(KitaruUserCodeError):
        result(source)
    world["line is bad"] = False
    ran.clear()
    replay = order.replay(source.exec_id)
    with pytest.raises(KitaruWaitingError, match="pay"):
        result(replay)
    assert ran == []
    assert result(order.replay(source.exec_id, overrides={"checkpoint.pay": "receipt from the bank"}))
    assert ran == ["receipt from the bank"]


# -- dry runs -----------------------------------------------------------------------------------------------------


def test_dry_runs_end_at_open_waits_and_go_through_answered_ones() -> None:
    kernel: Kernel = world["kernel"]
    source = approving.run()
    with pytest.raises(KitaruWaitingError):
        result(source)
    found = dry_run(kernel, kernel.journal.get(source.exec_id))
    assert (found.verdict, found.place) == ("continues", "wait approve")
    KitaruClient().executions.input(source.exec_id, wait="approve", value=True, resume=False)
    found = dry_run(kernel, kernel.journal.get(source.exec_id))
    assert (found.verdict, found.place) == ("continues", "work#2")


def test_a_dry_run_decides_nothing_about_a_call_in_doubt() -> None:
    kernel: Kernel = world["kernel"]
    world["line is bad"] = True
    source = order.run()
    with pytest.raises(KitaruUserCodeError):
        result(source)
    found = dry_run(kernel, kernel.journal.get(source.exec_id))
    assert found.verdict == "continues"
    assert "pay, which is in doubt" in str(found.place)
    assert KitaruClient().executions.pending_waits(source.exec_id) == []

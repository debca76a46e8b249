"""Budgets: charged from the journal, over resumes and child flows."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.model_calls.conftest import MODEL, result_of
from tests.emulators.models import ModelServer

from kitaru import Budget, KitaruBudgetExceededError, KitaruClient, KitaruUsageError, checkpoint, flow, llm
from kitaru.config import register_model_alias
from kitaru.errors import KitaruUserCodeError, KitaruWaitValidationError

state: dict[str, Any] = {}


@flow(budget=Budget(calls=2))
def two_calls(count: int) -> int:
    for number in range(count):
        llm(f"{number}", model=MODEL)
    if state.get("fail"):
        raise ValueError("no")
    return count


@flow(budget=Budget(tokens=15))
def few_tokens() -> None:
    llm("a", model=MODEL)
    llm("b", model=MODEL)


@flow(budget=Budget(usd=6e-06))
def little_money(count: int) -> None:
    for number in range(count):
        llm(f"{number}", model=MODEL)


@flow(budget=Budget(calls=1, on_exhausted="wait"))
def waits(count: int) -> int:
    for number in range(count):
        llm(f"{number}", model=MODEL)
    return count


@flow(budget=Budget(calls=1, on_exhausted="cheap"))
def goes_on_cheaply() -> list[str]:
    return [llm("a", model=MODEL), llm("b", model=MODEL)]


@flow
def child(count: int) -> int:
    for number in range(count):
        llm(f"child {number}", model=MODEL)
    return count


@flow(budget=Budget(calls=3))
def parent() -> int:
    llm("parent", model=MODEL)
    done: int = child.run(2).wait()
    llm("one too many", model=MODEL)
    return done


@checkpoint
def one(number: int) -> str:
    found: str = llm(f"{number}", model=MODEL)
    return found


@flow(budget=Budget(calls=3))
def at_once() -> int:
    done = 0
    for future in one.map(list(range(6))):
        try:
            future.result()
            done += 1
        except KitaruBudgetExceededError:
            continue
    return done


@pytest.mark.parametrize(
    ("start", "asked", "told"),
    [
        (lambda: two_calls.run(3), 2, "2 of 2 calls"),
        (lambda: few_tokens.run(), 1, "15 of 15 tokens"),
        (lambda: little_money.run(3), 2, r"8\.4e-06 of 6e-06 USD are spent"),
        (lambda: parent.run(), 3, "3 of 3 calls"),
    ],
)
def test_it_is_exhausted(provider: ModelServer, start: Any, asked: int, told: str) -> None:
    handle = start()
    with pytest.raises(KitaruUserCodeError, match=told) as caught:
        handle.wait()
    assert isinstance(caught.value.__cause__, KitaruBudgetExceededError)
    assert f"kitaru executions retry {handle.exec_id}" in str(caught.value.__cause__)
    assert len(provider.asked) == asked


def test_a_retried_execution_has_spent_what_it_spent(provider: ModelServer) -> None:
    state["fail"] = True
    handle = two_calls.run(2)
    with pytest.raises(KitaruUserCodeError, match="no"):
        handle.wait()
    state["fail"] = False
    KitaruClient().executions.retry(handle.exec_id)
    assert result_of(handle.exec_id) == 2, "recorded calls cost nothing, and no new one is made"
    assert len(provider.asked) == 2


def test_calls_at_once_stay_within_it(provider: ModelServer) -> None:
    from tests.emulators.models import Answer

    provider.answers = [Answer(pause=0.2)]
    assert at_once.run().wait() == 3
    assert len(provider.asked) == 3


def test_a_higher_limit_lets_a_waiting_execution_go_on(provider: ModelServer) -> None:
    handle = waits.run(4)
    client = KitaruClient()
    for number, limit in enumerate((2, 3, None)):
        wait = _pending(client, handle.exec_id, number)
        assert f"{number + 1} of {number + 1} calls" in str(wait.question)
        with pytest.raises(KitaruWaitValidationError):
            client.executions.input(handle.exec_id, wait=wait.name, value={"calls": -1})
        client.executions.input(handle.exec_id, wait=wait.name, value={"calls": limit})
    assert handle.wait() == 4
    assert len(provider.asked) == 4


def _pending(client: KitaruClient, exec_id: str, number: int) -> Any:
    import time

    deadline = time.monotonic() + 30
    while True:
        found = client.executions.pending_waits(exec_id)
        if found and str(number + 1) in str(found[0].question):
            return found[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_cheaper_model_takes_over(provider: ModelServer) -> None:
    register_model_alias("cheap", model="openai/gpt-4.1-nano")
    assert goes_on_cheaply.run().wait() == ["Hello", "Hello"]
    assert [body["model"] for body in provider.asked] == ["gpt-4o-mini", "gpt-4.1-nano"]


def test_it_is_in_the_frozen_spec(provider: ModelServer) -> None:
    handle = two_calls.run(1)
    handle.wait()
    spec = KitaruClient().executions.get(handle.exec_id).frozen_execution_spec
    assert spec is not None and spec["resolved_execution"]["budget"] == {"calls": 2, "on_exhausted": "fail"}


@pytest.mark.parametrize(
    "options", [{}, {"usd": 0}, {"usd": "1"}, {"tokens": 1.5}, {"calls": True}, {"calls": 1, "on_exhausted": " "}]
)
def test_what_is_no_budget(options: dict[str, Any]) -> None:
    with pytest.raises(KitaruUsageError, match="Budget"):
        Budget(**options)
    with pytest.raises(KitaruUsageError, match=r"takes a kitaru\.Budget"):
        flow(budget=5)  # type: ignore[call-overload]

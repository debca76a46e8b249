"""``effect="once"``: a body that may have run is not run again without a decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from tests.core.test_waits import asked, until

import kitaru
from kitaru import FlowHandle, InDoubt, KitaruClient, checkpoint, flow
from kitaru.errors import (
    KitaruContextError,
    KitaruInDoubtError,
    KitaruUsageError,
    KitaruUserCodeError,
    KitaruWaitValidationError,
)
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel
from kitaru.statuses import CallStatus
from kitaru.testing.crash import CrashingJournal

ran: list[Any] = []
keys: list[str | None] = []
broken: list[BaseException] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    for one in (ran, keys, broken, told):
        one.clear()


told: list[InDoubt] = []


def pay(amount: int) -> dict[str, int]:
    ran.append(amount)
    keys.append(kitaru.current().idempotency_key)
    if broken:
        raise broken.pop()
    return {"paid": amount}


class NotSentError(Exception):
    """The request never left."""


def look_up(doubt: InDoubt) -> Any:
    told.append(doubt)
    answer = answers.pop()
    if isinstance(answer, BaseException):
        raise answer
    return (
        {"again": doubt.run_again, "ask": doubt.ask}.get(answer, lambda: answer)()
        if isinstance(answer, str)
        else answer
    )


answers: list[Any] = []


async def look_up_async(doubt: InDoubt) -> Any:
    await asyncio.sleep(0)
    return look_up(doubt)


def shop(in_doubt: Any = None, **options: Any) -> Any:
    """A flow around one effect; with ``is_async`` the whole of it is async."""
    is_async = options.pop("is_async", False)
    if is_async:

        async def pay_async(amount: int) -> dict[str, int]:
            return pay(amount)

        charge_async = checkpoint(effect="once", in_doubt=in_doubt, **options)(pay_async)

        async def sale(amount: int) -> Any:
            return await charge_async(amount)

        return flow(sale)
    charge = checkpoint(effect="once", in_doubt=in_doubt, **options)(pay)

    def sold(amount: int) -> Any:
        return charge(amount)

    return flow(sold)


def lost(kernel: Kernel, definition: Any, broken_with: BaseException) -> str:
    """The id of an execution whose effect's body ran and raised, and which failed with it."""
    broken.append(broken_with)
    handle = definition.run(5)
    with pytest.raises(KitaruUserCodeError):
        handle.wait(timeout=30)
    return str(handle.exec_id)


def retry(kernel: Kernel, definition: Any, exec_id: str) -> FlowHandle:
    return FlowHandle(kernel, exec_id, kernel.retry(exec_id, definition.spec))


def status(exec_id: str) -> CallStatus:
    return KitaruClient().executions.get(exec_id).checkpoints[0].status


def test_an_effect_that_returns_is_an_ordinary_call_with_an_intent_before_it(kernel: Kernel) -> None:
    handle = shop().run(3)
    assert handle.wait(timeout=30) == {"paid": 3}
    intent, done = kernel.journal.entries(handle.exec_id)
    assert (intent.kind, done.kind) == (EntryKind.INTENT, EntryKind.COMPLETED)
    assert intent.detail is not None and intent.detail["idempotency_key"] == keys[0]
    call = KitaruClient().executions.get(handle.exec_id).checkpoints[0]
    assert call.status == "completed" and len(call.attempts) == 1


def test_the_intent_is_durable_and_committed_before_the_body(kernel: Kernel) -> None:
    seen: list[str] = []
    kernel.journal = journal = CrashingJournal(kernel.journal, None)

    @checkpoint(effect="once")
    def charge() -> None:
        seen.extend(journal.log)

    @flow
    def one() -> None:
        charge()

    one.run().wait(timeout=30)
    assert seen[-1] == "append_durably"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_failed_effect_is_in_doubt_and_asks(kernel: Kernel, is_async: bool) -> None:
    definition = shop(is_async=is_async)
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    assert status(exec_id) == "in_doubt"
    handle = retry(kernel, definition, exec_id)
    (name,) = asked(handle)
    (pending,) = KitaruClient().executions.pending_waits(exec_id)
    assert (
        name.startswith("in_doubt:pay")
        and pending.question is not None
        and "ConnectionError: cut off" in pending.question
    )
    assert pending.metadata["idempotency_key"] == keys[0]
    with pytest.raises(KitaruWaitValidationError, match=r"\$.decision: 'maybe' is not one of .*rule: enum"):
        KitaruClient().executions.input(exec_id, value={"decision": "maybe"})
    KitaruClient().executions.input(exec_id, value={"decision": "done", "result": {"paid": 5, "by": "hand"}})
    assert handle.wait(timeout=30) == {"paid": 5, "by": "hand"}
    assert ran == [5] and status(exec_id) == "completed"


def test_a_decision_to_run_again_holds_once(kernel: Kernel) -> None:
    definition = shop()
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    handle = retry(kernel, definition, exec_id)
    asked(handle)
    broken.append(ConnectionError("again"))
    KitaruClient().executions.input(exec_id, value={"decision": "run_again"})
    with pytest.raises(KitaruUserCodeError, match="again"):
        handle.wait(timeout=30)
    assert len(ran) == 2 and keys[0] == keys[1]
    handle = retry(kernel, definition, exec_id)
    asked(handle)
    KitaruClient().executions.input(exec_id, value={"decision": "fail"})
    with pytest.raises(KitaruUserCodeError, match=r"KitaruInDoubtError.*decided to fail"):
        handle.wait(timeout=30)
    handle = retry(kernel, definition, exec_id)
    assert asked(handle), "a new doubt is a new question"
    KitaruClient().executions.input(exec_id, value={"decision": "done"})
    assert handle.wait(timeout=30) is None and len(ran) == 2


def test_the_policy_retry_runs_again_with_the_same_key(kernel: Kernel) -> None:
    definition = shop("retry")
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    assert retry(kernel, definition, exec_id).wait(timeout=30) == {"paid": 5}
    assert len(ran) == 2 and keys[0] == keys[1]


def test_the_policy_fail_fails_with_a_typed_error_every_time(kernel: Kernel) -> None:
    definition = shop("fail")
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    for _ in range(2):
        with pytest.raises(KitaruUserCodeError, match="may have happened") as caught:
            retry(kernel, definition, exec_id).wait(timeout=30)
        assert isinstance(caught.value.__cause__, KitaruInDoubtError)
        assert keys[0] is not None and keys[0] in str(caught.value.__cause__)
    assert len(ran) == 1 and status(exec_id) == "in_doubt"


@pytest.mark.parametrize("is_async", [False, True])
def test_a_reconcile_function_decides(kernel: Kernel, is_async: bool) -> None:
    definition = shop(look_up_async if is_async else look_up, is_async=is_async)
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    answers.append(LookupError("the bank is closed"))
    with pytest.raises(KitaruUserCodeError, match="the bank is closed"):
        retry(kernel, definition, exec_id).wait(timeout=30)
    answers.append("again")
    broken.append(ConnectionError("cut off again"))
    with pytest.raises(KitaruUserCodeError, match="cut off again"):
        retry(kernel, definition, exec_id).wait(timeout=30)
    answers.append({"found": True})
    assert retry(kernel, definition, exec_id).wait(timeout=30) == {"found": True}
    assert len(ran) == 2 and {one.idempotency_key for one in told} == set(keys)
    assert told[0].args == (5,) and "cut off" in told[0].reason and told[0].exec_id == exec_id


def test_a_reconcile_function_may_ask(kernel: Kernel) -> None:
    definition = shop(look_up)
    exec_id = lost(kernel, definition, ConnectionError("cut off"))
    answers.append("ask")
    handle = retry(kernel, definition, exec_id)
    asked(handle)
    KitaruClient().executions.input(exec_id, value={"decision": "done", "result": 1})
    assert handle.wait(timeout=30) == 1


def test_only_types_that_retry_on_names_are_tried_again(kernel: Kernel) -> None:
    definition = shop(retries=2, retry_on=(NotSentError,))
    broken.append(NotSentError("first"))
    handle = definition.run(1)
    assert handle.wait(timeout=30) == {"paid": 1} and len(ran) == 2
    kinds = [entry.kind for entry in kernel.journal.entries(handle.exec_id)]
    assert kinds == [EntryKind.INTENT, EntryKind.ATTEMPT_FAILED, EntryKind.INTENT, EntryKind.COMPLETED]
    ran.clear()
    lost(kernel, definition, ConnectionError("not named"))
    assert len(ran) == 1


def test_a_flows_retries_do_not_apply_to_an_effect(kernel: Kernel) -> None:
    broken.append(ConnectionError("cut off"))
    with pytest.raises(KitaruUserCodeError, match="cut off"):
        shop().run(1, retries=3).wait(timeout=30)
    assert len(ran) == 1


def test_a_named_type_says_that_it_did_not_happen_also_when_no_try_is_left(kernel: Kernel) -> None:
    definition = shop("fail", retries=0, retry_on=(NotSentError,))
    exec_id = lost(kernel, definition, NotSentError("no line"))
    assert status(exec_id) == "failed"
    assert retry(kernel, definition, exec_id).wait(timeout=30) == {"paid": 5}


def test_a_caught_failure_stays_what_it_was(kernel: Kernel) -> None:
    charge = checkpoint(effect="once", in_doubt="retry")(pay)

    @flow
    def careful() -> str:
        try:
            charge(1)
        except ConnectionError as error:
            kitaru.wait(timeout=0)
            return f"did not work: {error}"
        return "worked"

    broken.append(ConnectionError("cut off"))
    handle = careful.run()
    asked(handle)
    until(lambda: kernel.journal.get(handle.exec_id).status == "waiting")
    KitaruClient().executions.input(handle.exec_id, resume=False)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, careful.spec))
    assert again.wait(timeout=30) == "did not work: cut off" and ran == [1]


@pytest.mark.parametrize("how", ["timeout", "unencodable", "cancelled"])
def test_every_other_end_is_in_doubt_too(kernel: Kernel, how: str) -> None:
    @checkpoint(effect="once", in_doubt="fail", timeout=0.05 if how == "timeout" else None)
    async def charge() -> Any:
        ran.append(1)
        if how == "unencodable":
            return (one for one in ())
        return await asyncio.sleep(30)

    @flow
    async def sale() -> Any:
        async with asyncio.timeout(0.05 if how == "cancelled" else None):
            return await charge()

    handle = sale.run()
    with pytest.raises(KitaruUserCodeError if how != "unencodable" else Exception):
        handle.wait(timeout=30)
    assert status(handle.exec_id) == "in_doubt"
    if how == "cancelled":
        return  # recorded as the flow's own doing: it is raised again, not decided about
    with pytest.raises(KitaruUserCodeError, match="KitaruInDoubtError"):
        FlowHandle(kernel, handle.exec_id, kernel.retry(handle.exec_id, sale.spec)).wait(timeout=30)
    assert ran == [1]


def test_other_inputs_under_rerun_ask_instead_of_running(kernel: Kernel) -> None:
    amounts = [1, 2]
    charge = checkpoint(effect="once", in_doubt="fail")(pay)

    @flow(on_divergence="rerun")
    def sale() -> Any:
        charge(amounts.pop(0))
        return kitaru.wait(timeout=0)

    handle = sale.run()
    until(lambda: kernel.journal.get(handle.exec_id).status == "waiting")
    KitaruClient().executions.input(handle.exec_id, resume=False)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, sale.spec))
    with pytest.raises(KitaruUserCodeError, match="recorded with other inputs"):
        again.wait(timeout=30)
    assert ran == [1]


@pytest.mark.parametrize("primitive", [lambda: kitaru.wait(), lambda: kitaru.sleep(1)], ids=["wait", "sleep"])
def test_waiting_inside_an_effect_is_refused(kernel: Kernel, primitive: Callable[[], Any]) -> None:
    @checkpoint
    def inner() -> None:
        primitive()

    @checkpoint(effect="once")
    def outer(nested: bool) -> None:
        inner() if nested else primitive()

    @flow
    def sale(nested: bool) -> None:
        outer(nested)

    for nested in (False, True):
        with pytest.raises(KitaruUserCodeError, match="does not work inside `outer`") as caught:
            sale.run(nested).wait(timeout=30)
        assert isinstance(caught.value.__cause__, KitaruContextError)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": "twice"}, "the only effect is"),
        ({"in_doubt": "ask"}, "in_doubt= belongs to it"),
        ({"effect": "once", "in_doubt": "hope"}, "allowed are"),
        ({"effect": "once", "cache": True}, "not answered by another execution"),
        ({"effect": "once", "retry_on": lambda error: True}, "name the exception types"),
        ({"effect": "once", "in_doubt": look_up_async}, "must be one too"),
    ],
)
def test_bad_declarations_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(KitaruUsageError, match=message):
        checkpoint(**options)(pay)


def test_a_flows_cache_does_not_answer_an_effect() -> None:
    charge = checkpoint(effect="once")(pay)

    @flow(cache=True)
    def sale() -> Any:
        return charge(1)

    sale.run().wait(timeout=30)
    sale.run().wait(timeout=30)
    assert ran == [1, 1]

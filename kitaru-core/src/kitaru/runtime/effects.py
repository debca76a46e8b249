"""``effect="once"``: calls whose body must not run a second time without a decision.

Before the body runs, an *intent* is committed with full durability. Whatever ends the attempt but a recorded return (an
exception, a timeout, a cancellation, a result that cannot be stored, the death of the process) leaves the call *in
doubt*: it may have happened. When the call comes up again, on resume or on retry, its policy decides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kitaru.errors import FailureOrigin, KitaruInDoubtError
from kitaru.journal.records import Entry, EntryKind
from kitaru.runtime import calls, identity, waiting
from kitaru.runtime.context import Frame, current_frame, idempotency_key, invocation_id
from kitaru.runtime.control import ExecutionStopped
from kitaru.runtime.run import call_detail

if TYPE_CHECKING:
    from kitaru.runtime.history import Recorded

#: Answer of :func:`settle` when the body is to run (again).
RUN: Any = object()
_ASK: Any = object()

#: What the answer to "did it happen?" looks like.
DECISION_SCHEMA: dict[str, Any] = {
    "type": "object",
    "title": "Did it happen?",
    "properties": {
        "decision": {
            "enum": ["done", "run_again", "fail"],
            "description": "done: it happened, go on with `result`; run_again: run the body again; fail: give up",
        },
        "result": {"description": "What the call returned, as JSON; only with `done`"},
    },
    "required": ["decision"],
    "additionalProperties": False,
}


@dataclass(slots=True, frozen=True)
class InDoubt:
    """What a ``reconcile`` function is told of a call in doubt, and the answers it may give besides the call's value.

    ``return value``: it happened, and this is its result. ``return doubt.run_again()``: it did not happen, run the body
    (``idempotency_key`` is the same again). ``return doubt.ask()``: nobody knows, ask a human. Raising leaves the call
    in doubt and fails it with that exception; ``retry`` of the execution asks the function once more.
    """

    exec_id: str
    flow_name: str
    call_id: str
    invocation_id: str
    attempt: int
    idempotency_key: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    reason: str

    def run_again(self) -> Any:
        """The answer that runs the body again."""
        return RUN

    def ask(self) -> Any:
        """The answer that asks a human, as ``in_doubt="ask"`` does."""
        return _ASK


def begin(frame: Frame) -> None:
    """Commit the intent of one attempt, durably and before its body runs."""
    inputs = frame.inputs
    frame.written = True  # the intent says that it started
    detail = call_detail(frame) or {}
    detail["idempotency_key"] = idempotency_key(frame)
    digest, data = (inputs.digest, inputs.data) if inputs is not None else (None, None)
    frame.run.commit_durably(
        Entry(EntryKind.INTENT, frame.key, frame.name, frame.attempt, frame.started_at, 0, digest, data, None, detail)
    )


def settle(frame: Frame, recorded: Recorded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Decide about a call in doubt: its value (recorded by now), or :data:`RUN`.

    Raises KitaruInDoubtError, or what a ``reconcile`` function raised, recorded as the call's failure.
    """
    policy = _prepare(frame, recorded)
    if callable(policy):
        value = _reconciled(frame, recorded, policy, args, kwargs)
        if value is not _ASK:
            return value if value is RUN else calls.completed(frame, value, args, kwargs)
        policy = "ask"
    if policy == "ask":
        value = _decided(frame, recorded, waiting.answer_of(_asked(frame, recorded))[1])
        return value if value is RUN else calls.completed(frame, value, args, kwargs)
    return RUN if policy == "retry" else _fail(frame, recorded, 'in_doubt="fail" forbids to run it again')


async def settle_async(frame: Frame, recorded: Recorded, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The async twin of :func:`settle`."""
    loop = frame.run.require_loop()
    policy = _prepare(frame, recorded)
    if callable(policy):
        value = _reconciled(frame, recorded, policy, args, kwargs)
        if inspect.isawaitable(value):
            value = await _reconciled_async(frame, value)
        if value is not _ASK:
            return value if value is RUN else await loop.completed(frame, value, args, kwargs)
        policy = "ask"
    if policy == "ask":
        value = _decided(frame, recorded, (await waiting.answer_of_async(_asked(frame, recorded)))[1])
        return value if value is RUN else await loop.completed(frame, value, args, kwargs)
    return RUN if policy == "retry" else _fail(frame, recorded, 'in_doubt="fail" forbids to run it again')


def _prepare(frame: Frame, recorded: Recorded) -> Any:
    assert frame.spec is not None and recorded.doubt is not None
    frame.run.before_decision(frame)
    frame.attempt = max(recorded.last_attempt, 1)  # what is decided now is the end of the attempt in doubt
    frame.started_at = recorded.doubt.started_at
    return frame.spec.in_doubt


def _reconciled(
    frame: Frame, recorded: Recorded, policy: Callable[[InDoubt], Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    run = frame.run
    doubt = InDoubt(
        exec_id=run.exec_id,
        flow_name=run.flow_name,
        call_id=identity.call_id(run.exec_id, frame.key),
        invocation_id=invocation_id(frame),
        attempt=frame.attempt,
        idempotency_key=idempotency_key(frame),
        args=args,
        kwargs=dict(kwargs),
        reason=_reason(recorded),
    )
    token = current_frame.set(frame)
    try:
        return policy(doubt)
    except ExecutionStopped:
        raise
    except BaseException as error:
        _still_in_doubt(frame, error)
        raise
    finally:
        current_frame.reset(token)


async def _reconciled_async(frame: Frame, answer: Any) -> Any:
    import asyncio

    try:
        return await answer
    except (ExecutionStopped, GeneratorExit, asyncio.CancelledError):
        raise
    except BaseException as error:
        _still_in_doubt(frame, error)
        raise


def _asked(frame: Frame, recorded: Recorded) -> waiting.Asked:
    """Ask a human. One wait for each time the call comes into doubt: a decision holds for that time only."""
    run = frame.run
    assert recorded.doubt is not None
    name = invocation_id(frame)
    metadata = {
        "in_doubt": True,
        "call_id": identity.call_id(run.exec_id, frame.key),
        "invocation_id": name,
        "idempotency_key": idempotency_key(frame),
        "reason": _reason(recorded),
    }
    question = (
        f"`{name}` may have happened: {_reason(recorded)}. Did it? Its idempotency key is "
        f"{metadata['idempotency_key']}. The answer is a decision: "
        '{"decision": "done", "result": ...}, {"decision": "run_again"} or {"decision": "fail"}.'
    )
    asked = waiting.Question(f"in_doubt:{name}", question, DECISION_SCHEMA, metadata)
    return waiting.ask(frame, asked, f"{frame.key}/!in_doubt#{recorded.doubt.seq}")


def _decided(frame: Frame, recorded: Recorded, answer: dict[str, Any]) -> Any:
    decision = answer["decision"]
    if decision == "run_again":
        return RUN
    if decision == "done":
        return answer.get("result")
    return _fail(frame, recorded, "somebody was asked and decided to fail it")


def _fail(frame: Frame, recorded: Recorded, why: str) -> Any:
    exec_id = frame.run.exec_id
    error = KitaruInDoubtError(
        f"checkpoint `{invocation_id(frame)}` of execution {exec_id} is in doubt: {_reason(recorded)}, so its "
        f"effect may have happened, and {why}. Look it up under its idempotency key {idempotency_key(frame)}. `kitaru "
        f"executions retry {exec_id}` decides anew, by the policy that the code has then."
    )
    _still_in_doubt(frame, error)
    raise error


def _still_in_doubt(frame: Frame, error: BaseException) -> None:
    entry = calls.failure_entry(frame, error, EntryKind.FAILED, FailureOrigin.USER_CODE)
    frame.run.commit(entry)
    frame.run.kernel.emit_call(frame.run, entry)
    calls.remember_call(error, frame.key)


def _reason(recorded: Recorded) -> str:
    doubt = recorded.doubt
    assert doubt is not None
    if doubt.kind is EntryKind.INTENT:
        return "the process that ran it was lost before a result was recorded"
    if doubt.kind is EntryKind.COMPLETED:
        return "it was recorded with other inputs"
    failure = (doubt.detail or {}).get("failure") or {}
    told = (failure.get("message") or "").strip().partition("\n")[0][:200]
    how = "it was cancelled while it ran" if doubt.kind is EntryKind.CANCELLED else "it failed"
    return f"{how} ({failure.get('exception_type') or 'error'}{': ' + told if told else ''})"

"""One checkpoint call, from its key to its committed outcome. The sequential path is the hot path of the project.

The sync and the async driver differ only in how they wait; every decision is made in the functions they share.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    FailureOrigin,
    KitaruContextError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.journal.records import Entry, EntryKind
from kitaru.runtime import apart, failures, identity, matching
from kitaru.runtime.context import Frame, current_frame
from kitaru.runtime.control import ExecutionStopped
from kitaru.runtime.inputs import changed_arguments, encode_inputs
from kitaru.runtime.run import call_detail

if TYPE_CHECKING:
    from kitaru.runtime.history import Recorded
    from kitaru.runtime.specs import CheckpointSpec


def prepare(frame: Frame, spec: CheckpointSpec, explicit: str | None) -> Frame:
    """Give a call its key, at call time and on the caller's side, and return the frame its body will run in."""
    run = frame.run
    if run.stopping is not None or frame.root.fenced:
        run.check(frame)
    name = spec.name
    if explicit is None:
        counters = frame.counters
        if counters is None:
            counters = frame.counters = {}
        number = counters[name] = counters.get(name, 0) + 1
        key = f"{frame.prefix}{spec.key_name}#{number}"
    else:
        run.claim_id(frame, explicit)
        key = f"{frame.base}@{identity.escape(explicit)}"
    child = Frame(run, frame, key, name, spec.is_async)
    child.spec = spec
    if explicit is not None:
        child.explicit = explicit
    elif frame.branch or frame.root.labels is not None:
        child.label = run.label(frame, name, number, key)
    return child


def perform(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one call to its end on the calling thread and return its value (or raise what the body raised)."""
    run = frame.run
    spec = frame.spec
    assert spec is not None
    recorded = recall(frame, spec, args, kwargs)
    if recorded is not None:
        if recorded.outcome is not None:
            return deliver(frame, recorded)
        if recorded.doubt is not None and spec.effect:
            from kitaru.runtime import effects

            value = effects.settle(frame, recorded, args, kwargs)
            if value is not effects.RUN:
                return value
        frame.attempt = recorded.last_attempt + 1
    failed = recorded.failed_attempts if recorded is not None else 0
    if spec.cache or (spec.cache is None and run.spec.cache):
        hit = find_cached(frame)
        if hit is not None:
            run.commit(hit)
            return deliver_cached(frame, hit)
    plain = spec.plain
    while True:
        run.before_body(frame)
        token = current_frame.set(frame)
        try:
            value = spec.function(*args, **kwargs) if plain else apart.run_apart(frame, args, kwargs)
        except ExecutionStopped:
            run.inflight.pop(frame.key, None)
            raise
        except BaseException as error:
            pause = attempt_failed(frame, error, failed)
        else:
            return completed(frame, value, args, kwargs)
        finally:
            current_frame.reset(token)
        run.pause(pause)
        failed += 1
        frame = next_attempt(frame)


async def perform_async(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The async twin of :func:`perform`, on the execution's event loop."""
    import asyncio

    run = frame.run
    spec = frame.spec
    assert spec is not None
    loop = run.require_loop()
    recorded = recall(frame, spec, args, kwargs)
    if recorded is not None:
        if recorded.outcome is not None:
            return await deliver_in_turn(frame, recorded)
        if recorded.doubt is not None and spec.effect:
            from kitaru.runtime import effects

            value = await effects.settle_async(frame, recorded, args, kwargs)
            if value is not effects.RUN:
                return value
        frame.attempt = recorded.last_attempt + 1
    failed = recorded.failed_attempts if recorded is not None else 0
    if spec.cache or (spec.cache is None and run.spec.cache):
        hit = find_cached(frame)
        if hit is not None:
            await loop.commit(hit)
            return deliver_cached(frame, hit)
    while True:
        run.before_body(frame)
        token = current_frame.set(frame)
        try:
            value = await loop.run_body(frame, args, kwargs)
        except (ExecutionStopped, GeneratorExit):
            run.inflight.pop(frame.key, None)
            raise
        except asyncio.CancelledError as error:
            loop.cancelled(frame, error)  # unless the execution stops, the flow's own code did it: the call's outcome
            raise
        except BaseException as error:
            entry, wanted = failed_attempt(frame, error, failed)
            await loop.commit(entry)  # in its turn, like a completion: races end with failures too
            pause = after_failure(frame, entry, error, wanted)
        else:
            try:
                return await loop.completed(frame, value, args, kwargs)
            except asyncio.CancelledError as error:
                loop.cancelled(frame, error)  # it came between the return and the commit: the flow met the cancellation
                raise
        finally:
            current_frame.reset(token)
        await loop.pause(pause)
        failed += 1
        frame = next_attempt(frame)


# -- what both drivers share ------------------------------------------------------------------------------------


def recall(frame: Frame, spec: CheckpointSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Recorded | None:
    """Encode the inputs and find what the journal knows of this call; the frame takes the recorded key over.

    Raises ExecutionDiverged when the journal contradicts the call and the flow's policy is ``error``.
    """
    run = frame.run
    try:
        inputs = frame.inputs = encode_inputs(spec.parameters, args, kwargs, run.codec)
    except KitaruSerializationError as error:
        raise KitaruSerializationError(
            f"checkpoint `{spec.name}` cannot be called with these arguments: {error}"
        ) from error
    if not run.lineage.empty:
        found = run.lineage.parents(args, kwargs, inputs)
        if found:
            frame.parents = list(dict.fromkeys((*frame.parents, *found)))
    parent = frame.parent
    assert parent is not None
    if inputs.digest is not None:
        frame.duplicate = parent.root.count_digest(spec.name, inputs.digest)
    recorded = None
    if run.history is not None:
        recorded = matching.match(frame)
        if recorded is not None:
            frame.label = ((recorded.outcome or recorded.first).detail or {}).get("label")
    return recorded


def deliver(frame: Frame, recorded: Recorded) -> Any:
    """Give the flow what a recorded call ended with: its value, or its exception once more."""
    outcome = recorded.outcome
    assert outcome is not None
    if recorded.copies is not None:
        keep_copies(frame, recorded)
    if outcome.kind == EntryKind.COMPLETED:
        assert outcome.output is not None
        value = frame.run.kernel.decode(outcome.output)
        frame.run.lineage.note(frame, value, outcome.output)
        return value
    failure = (outcome.detail or {}).get("failure", {})
    error = failures.exception_from(failure, frame.run.codec)
    remember_call(error, frame.key)
    raise error


async def deliver_in_turn(frame: Frame, recorded: Recorded) -> Any:
    """:meth:`deliver` to async code: when it is the turn of this outcome."""
    loop = frame.run.require_loop()
    outcome = recorded.outcome
    assert outcome is not None
    await loop.turns.take(outcome.seq)
    if outcome.kind == EntryKind.CANCELLED:
        if recorded.copies is not None:
            keep_copies(frame, recorded)
        await loop.cancelled_again(outcome)
    return deliver(frame, recorded)


def keep_copies(frame: Frame, recorded: Recorded) -> None:
    """A replay's call was answered by its original: its record becomes one of the replay, with the next commit."""
    from kitaru.runtime import replay_source

    replay_source.keep(frame.run, recorded)


def completed_entry(frame: Frame, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry:
    """The entry of a call that returned; raises KitaruError when its outcome cannot stand."""
    run = frame.run
    inputs = frame.inputs
    assert inputs is not None and frame.spec is not None
    ended_at = run.clock.now()
    if inputs.mutable:
        changed = changed_arguments(inputs, frame.spec.parameters, args, kwargs, run.codec)
        if changed:
            raise KitaruUsageError(
                f"checkpoint `{frame.name}` changed its argument `{changed[0]}` while it ran. Its result would not be "
                "found again under the inputs it was called with: work on a copy and return it."
            )
    try:
        output = run.encode(value)
    except KitaruSerializationError as error:
        raise KitaruSerializationError(f"the result of checkpoint `{frame.name}` cannot be stored: {error}") from error
    return Entry(
        EntryKind.COMPLETED,
        frame.key,
        frame.name,
        frame.attempt,
        frame.started_at,
        ended_at,
        inputs.digest,
        inputs.data,
        output,
        call_detail(frame),
        cache_key(frame) if caching(frame) else None,
    )


def completed(frame: Frame, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Commit the outcome of a call that returned, before the flow body sees its value."""
    run = frame.run
    run.inflight.pop(frame.key, None)
    if frame.root.fenced:
        run.check(frame)
    try:
        entry = completed_entry(frame, value, args, kwargs)
    except (KitaruSerializationError, KitaruUsageError) as error:
        raise reject(frame, error) from error.__cause__
    run.commit(entry)
    assert entry.output is not None
    run.lineage.note(frame, value, entry.output)
    run.kernel.emit_call(run, entry)
    return value


def reject(frame: Frame, error: KitaruSerializationError | KitaruUsageError) -> BaseException:
    """Record that a call's outcome cannot stand. Not retried: the body would only run (and pay) again."""
    origin = FailureOrigin.RUNTIME if isinstance(error, KitaruSerializationError) else FailureOrigin.USER_CODE
    entry = failure_entry(frame, error, EntryKind.FAILED, origin)
    frame.run.commit(entry)
    frame.run.kernel.emit_call(frame.run, entry)
    remember_call(error, frame.key)
    return error


def attempt_failed(frame: Frame, error: BaseException, failed: int) -> float:
    """Record a failed attempt; returns the pause before the next one, or raises ``error`` when none is left."""
    entry, pause = failed_attempt(frame, error, failed)
    frame.run.commit(entry)
    return after_failure(frame, entry, error, pause)


def failed_attempt(frame: Frame, error: BaseException, failed: int) -> tuple[Entry, float | None]:
    """The entry of a failed attempt, and the pause before the next one; None: no further one follows.

    Raises what stops the execution, if it stops: what a stopping body raises says nothing about the call.
    """
    run = frame.run
    spec = frame.spec
    assert spec is not None
    run.inflight.pop(frame.key, None)
    if run.stopping is not None:
        raise run.stopping.with_traceback(None) from error
    policy = spec.retry
    retries = policy.retries if policy.retries is not None else (run.spec.retries or 0)
    origin = getattr(error, "kitaru_origin", None) or FailureOrigin.USER_CODE
    if failed < retries and policy.applies(error):
        return failure_entry(frame, error, EntryKind.ATTEMPT_FAILED, origin), policy.pause(failed + 1)
    # A type that the checkpoint's own `retry_on` names says for certain that the effect has not happened.
    certain = spec.effect and policy.applies(error)
    return failure_entry(frame, error, EntryKind.FAILED, origin, certain=certain), None


def after_failure(frame: Frame, entry: Entry, error: BaseException, pause: float | None) -> float:
    """Once the failure is committed: the pause before the next attempt, or ``error`` itself, raised."""
    frame.run.kernel.emit_call(frame.run, entry)
    if pause is None:
        remember_call(error, frame.key)
        raise error
    return pause


def failure_entry(
    frame: Frame, error: BaseException, kind: EntryKind, origin: FailureOrigin, *, certain: bool = False
) -> Entry:
    """The entry of one attempt's failure, with its traceback.

    ``certain``: an effect that ended this way has not happened; otherwise one that has no further attempt is in doubt.
    """
    run = frame.run
    inputs = frame.inputs
    detail = call_detail(frame) or {}
    detail["failure"] = failures.failure_from(error, origin=origin, codec=run.codec)
    if frame.spec is not None and frame.spec.effect and kind != EntryKind.ATTEMPT_FAILED and not certain:
        detail["in_doubt"] = True
    return Entry(
        kind,
        frame.key,
        frame.name,
        frame.attempt,
        frame.started_at,
        run.clock.now(),
        inputs.digest if inputs is not None else None,
        inputs.data if inputs is not None else None,
        None,
        detail,
    )


def cancelled(frame: Frame, error: BaseException) -> Entry:
    """The entry of a single call that the flow's own code cancelled."""
    return failure_entry(frame, error, EntryKind.CANCELLED, FailureOrigin.USER_CODE)


def next_attempt(frame: Frame) -> Frame:
    """The frame of the next attempt: fresh counters, so inner calls get the same keys again."""
    run = frame.run
    again = Frame(run, frame.parent, frame.key, frame.name, frame.is_async)
    again.spec, again.inputs, again.explicit = frame.spec, frame.inputs, frame.explicit
    again.label, again.duplicate, again.parents = frame.label, frame.duplicate, frame.parents
    again.attempt = frame.attempt + 1
    again.gated = frame.gated
    if frame.counters is not None:
        matching.reopen_inner(frame)
    return again


_CALL_ATTRIBUTE = "_kitaru_call_key"


def remember_call(error: BaseException, key: str) -> None:
    """Note on an exception which call it came out of, so that ``retry`` knows which calls to reopen."""
    try:
        if not hasattr(error, _CALL_ATTRIBUTE):
            setattr(error, _CALL_ATTRIBUTE, key)
    except AttributeError:  # an exception class with __slots__: its execution's retry reopens by ancestry only
        return


def failed_calls(error: BaseException) -> list[str]:
    """Keys of the calls whose failures are in the chain or group of ``error``."""
    keys: list[str] = []
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        key = getattr(one, _CALL_ATTRIBUTE, None)
        if key is not None and key not in keys:
            keys.append(key)
        todo += [one.__cause__, one.__context__, *getattr(one, "exceptions", ())]
    return keys


# -- reuse across executions ------------------------------------------------------------------------------------


def caching(frame: Frame) -> bool:
    """Whether this call may answer, and be answered by, calls of other executions."""
    assert frame.spec is not None
    wanted = frame.spec.cache if frame.spec.cache is not None else frame.run.spec.cache
    # A digest that leaves an argument out says nothing about calls of other executions.
    return bool(wanted) and frame.inputs is not None and frame.inputs.complete and frame.inputs.digest is not None


def cache_key(frame: Frame) -> bytes:
    """Key of result reuse: the checkpoint's source, its encoded inputs, and the store they live in."""
    assert frame.spec is not None and frame.inputs is not None and frame.inputs.digest is not None
    return hashlib.sha256(frame.spec.source_digest + frame.inputs.digest).digest()


def find_cached(frame: Frame) -> Entry | None:
    """An entry that completes this call with the newest equal call's result, or None.

    Never in a replay: what its original does not answer was asked to run.
    """
    if not caching(frame) or frame.run.record.original_exec_id is not None:
        return None
    output = frame.run.journal.find_cached(cache_key(frame))
    if output is None:
        return None
    inputs = frame.inputs
    assert inputs is not None
    now = frame.run.clock.now()
    detail = {**(call_detail(frame) or {}), "cached": True}
    return Entry(EntryKind.COMPLETED, frame.key, frame.name, 1, now, now, inputs.digest, inputs.data, output, detail)


def deliver_cached(frame: Frame, hit: Entry) -> Any:
    """The value of an entry that :func:`find_cached` gave, once it is committed."""
    assert hit.output is not None
    value = frame.run.kernel.decode(hit.output)
    frame.run.lineage.note(frame, value, hit.output)
    return value


def outside(frame: Frame | None, name: str) -> Frame:
    """The frame a checkpoint is called in. Raises KitaruContextError outside a flow."""
    if frame is None:
        raise KitaruContextError(
            f"checkpoint `{name}` was called outside a flow: there is no execution to record it in. Call it from a "
            f"function decorated with @flow, or call the undecorated function as `{name}.__wrapped__(...)`."
        )
    return frame

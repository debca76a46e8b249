"""Child flows: ``.run()`` inside a flow is a call of the parent, and what is read from its handle is journaled."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from typing import Any

from kitaru.errors import (
    FailureOrigin,
    KitaruError,
    KitaruExecutionError,
    KitaruStateError,
    KitaruTimeoutError,
)
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord
from kitaru.runtime import calls, failures, identity, inputs, matching, outcome, suspension
from kitaru.runtime.context import Frame
from kitaru.runtime.run import Run
from kitaru.runtime.specs import FlowSpec, stack_of
from kitaru.statuses import ExecutionStatus

_FOLLOW_SECONDS = 0.1

#: What the frozen spec of an execution says of where it belongs.
HOME = ("stack", "stack_id", "artifact_store", "log_store")


class Child:
    """A child execution as its parent's code holds it."""

    __slots__ = ("exec_id", "frame", "key", "reads", "run", "spec")

    def __init__(self, frame: Frame, key: str, exec_id: str, run: Run | None, spec: FlowSpec) -> None:
        self.frame = frame
        self.key = key
        self.exec_id = exec_id
        self.run = run
        self.spec = spec
        self.reads = 0


def start_child(
    frame: Frame, spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], home: Mapping[str, Any] | None
) -> Child:
    """Start ``spec`` as a child of the running flow, or find the child that an earlier owner started here.

    The call and the child's execution are committed in one fenced transaction. ``home``: what the frozen spec of a
    start says of its stack; None: the parent's. A child on its parent's stack runs in its parent's process, one on
    another stack where that has it.
    """
    run = frame.run
    kernel = run.kernel
    run.check(frame)
    name = f">{spec.name}"
    if frame.counters is None:
        frame.counters = {}
    number = frame.counters[name] = frame.counters.get(name, 0) + 1
    child_frame = Frame(run, frame, f"{frame.prefix}>{identity.escape(spec.name)}#{number}", spec.name, spec.is_async)
    child_frame.inputs = inputs.encode_inputs(spec.parameters, args, kwargs, run.codec)
    recorded = matching.match(child_frame) if run.history is not None else None
    if recorded is not None and recorded.first.detail is not None:
        exec_id = recorded.first.detail["exec_id"]
        known = _continue(run, exec_id, spec, reopened=recorded.outcome is None)
        return Child(frame, child_frame.key, exec_id, known, spec)
    record = kernel.new_record(spec, args, kwargs)
    record.stack_name = run.record.stack_name if home is None else home["stack"]
    record.parent_exec_id, record.parent_call_key = run.exec_id, child_frame.key
    # The parent's own settings are not its children's: theirs come from their `.run()` and decorator.
    inherited = run.record.spec.get("resolved_execution") or {}
    if home is not None:
        inherited = {name: value for name, value in inherited.items() if name not in HOME}
        inherited.update((name, value) for name, value in home.items() if value is not None)
    resolved = {**inherited, "cache": spec.cache, "retries": spec.retries, "budget": spec.budget}
    record.spec = {**run.record.spec, "resolved_execution": resolved}
    now = run.clock.now()
    entry = Entry(
        EntryKind.CHILD,
        child_frame.key,
        spec.name,
        1,
        now,
        now,
        child_frame.inputs.digest,
        child_frame.inputs.data,
        None,
        {"exec_id": record.exec_id},
    )
    away = lives_elsewhere(run, record)
    if run.buffered or run.notes or run.inflight:
        run.flush()
    owner = None if away else kernel.owner
    asked_at = run.clock.elapsed()
    created = run.written(lambda: run.journal.create_child(run.lease, entry, record, owner, kernel.lease_seconds))
    if created.lease is None:
        assert kernel.places is not None
        kernel.places.start(created.record)
        return Child(frame, child_frame.key, record.exec_id, None, spec)
    child_run = Run(kernel, created.record, created.lease, spec, None, asked_at)
    kernel.prepare(child_run, args, kwargs)
    return Child(frame, child_frame.key, record.exec_id, kernel.start(record.exec_id), spec)


def lives_elsewhere(run: Run, record: ExecutionRecord) -> bool:
    """Whether an execution that belongs to ``run`` (its child, its parent) runs in another place than ``run`` does."""
    places = run.kernel.places
    return places is not None and stack_of(record.spec) != run.stack and places.elsewhere(record)


def is_away(run: Run, record: ExecutionRecord) -> bool:
    """Whether ``run`` is in the place of its own stack and ``record`` in another, whose stores may be elsewhere."""
    places = run.kernel.places
    return places is not None and stack_of(record.spec) != run.stack and places.elsewhere(run.record)


def _continue(run: Run, exec_id: str, spec: FlowSpec, *, reopened: bool) -> Run | None:
    kernel = run.kernel
    known = kernel.runs.get(exec_id)
    if known is not None and known.stopping is None:
        return known
    if known is not None:  # an earlier owner in this process is letting go of it: continue once it has
        _wait_run(run, known, None)
    record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    try:
        if lives_elsewhere(run, record):
            _continue_elsewhere(run, record, status, reopened=reopened)
            return None
        if status == "failed" and reopened:
            return kernel.retry(exec_id, spec)
        if not status.finished:
            return kernel.resume(exec_id, spec)
    except KitaruStateError:  # somebody else drives it: its journal will say how it ends
        return None
    return None


def _continue_elsewhere(run: Run, record: ExecutionRecord, status: ExecutionStatus, *, reopened: bool) -> None:
    places = run.kernel.places
    assert places is not None
    if status == "failed" and reopened:
        run.kernel.reopen(record.exec_id)
    elif status.finished or status is ExecutionStatus.RUNNING:
        return
    places.start(record)


def result(child: Child, timeout: float | None) -> Any:
    """The child's result, journaled in the parent. Blocks the calling body.

    While the child's owner stays with it, so does this one. A child that was let go of is waited for as long as
    anything else is left to run here; then this execution is suspended too.

    Raises what :func:`outcome.value_of` raises; a failure is journaled too, so the parent meets it again on resume.
    """
    run = child.frame.run
    run.check(child.frame)
    child.reads += 1
    key = f"{child.key}/!result#{child.reads}"
    recorded = run.history.values.pop(key, None) if run.history is not None else None
    if recorded is not None:
        return _recorded(child, recorded)
    try:
        record = _ended(child, timeout)
    except KitaruTimeoutError:
        child.reads -= 1  # nothing was read
        raise
    return _journal_end(child, key, record)


def _ended(child: Child, timeout: float | None) -> ExecutionRecord | None:
    """Block until the child has ended; its record, or None where its run in this process says it all."""
    run = child.frame.run
    kernel = run.kernel
    end = math.inf if timeout is None else time.monotonic() + timeout
    while True:
        left = None if timeout is None else max(end - time.monotonic(), 0.0)
        if child.run is not None:
            if not _wait_run(run, child.run, left):
                raise outcome.still_running(child.exec_id, timeout)
            if child.run.status not in ("lost", "waiting"):
                return None
            child.run = kernel.runs.get(child.exec_id)
            if child.run is not None:  # it goes on in another run of this process
                continue
        with run.blocked():
            record = _stopped(child, left)
        assert record is not None
        if record.status != "waiting":
            return record
        hold = _let_go_of(child, record)
        due = math.inf if record.wake_at is None else (record.wake_at - run.clock.now()) / 1e6
        stay = min(due, math.inf if left is None else left, threading.TIMEOUT_MAX)
        suspension.open_hold(run, hold)
        try:
            if _suspended(child) and due > 0 and not run.wait_event(hold.event, stay) and stay < due:
                raise outcome.still_running(child.exec_id, timeout)
        finally:
            suspension.close_hold(run, hold)
        child.run = _go_on(child)


def _stopped(child: Child, timeout: float | None) -> ExecutionRecord | None:
    """The child's record once it has ended or is suspended, without its place being about to continue it."""
    record = _suspended(child)
    places = child.frame.run.kernel.places
    if record is not None and (places is None or not places.starting(record)):
        return record
    return _followed(child, timeout)


def _suspended(child: Child) -> ExecutionRecord | None:
    """The child's record if it is suspended."""
    record = child.frame.run.journal.get(child.exec_id)
    return record if record.status == "waiting" else None


def _go_on(child: Child) -> Run | None:
    """Continue a child that is due while its parent is still here; its run, if it is driven in this process."""
    run = child.frame.run
    run.check(child.frame)
    record = _suspended(child)
    if record is None or record.wake_at is None or record.wake_at > run.clock.now():
        return run.kernel.runs.get(child.exec_id)
    return _continue(run, child.exec_id, child.spec, reopened=False)


def _let_go_of(child: Child, record: ExecutionRecord) -> suspension.Hold:
    what = f"child execution {child.exec_id} of flow `{record.flow_name}`"
    now = child.frame.run.clock.elapsed()
    return suspension.Hold(what, None, now, child=child.exec_id, wake_at=record.wake_at)


def _owned(child_run: Run) -> suspension.Hold:
    what = f"child execution {child_run.exec_id} of flow `{child_run.flow_name}`"
    return suspension.Hold(what, None, math.inf, child_run=child_run)


def _followed(child: Child, timeout: float | None) -> ExecutionRecord | None:
    """Follow a child that another process drives to its end or suspension. One that nobody drives, but that its place
    is about to run, has not come to that yet. Raises like ``outcome.wait_end``."""
    run = child.frame.run
    kernel = run.kernel
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
        record = outcome.wait_end(kernel, child.exec_id, None, left, run.check)
        if record is None or kernel.places is None or record.status not in ("waiting", "running"):
            return record
        if not kernel.places.starting(record) or left == 0.0:
            again, status = outcome.looked_at(kernel, kernel.journal.get(child.exec_id))
            if again.fence == record.fence or status.finished:  # nobody has driven it since
                return again
        run.check()
        time.sleep(_FOLLOW_SECONDS)


def _wait_run(run: Run, child_run: Run, timeout: float | None) -> bool:
    """Wait on a body's thread for the end of a child; False when ``timeout`` seconds passed.

    Not on ``child_run.done`` itself: stopping ``run`` wakes its waiters by setting what they wait for, and that event
    says to everybody that the child has ended.
    """
    if child_run.done.is_set():
        return True
    ended = threading.Event()
    child_run.on_done(ended.set)
    hold = _owned(child_run)
    suspension.open_hold(run, hold)
    try:
        return run.wait_event(ended, timeout)
    finally:
        suspension.close_hold(run, hold)


async def result_async(child: Child) -> Any:
    """The async twin of :func:`result`."""
    import asyncio

    run = child.frame.run
    run.check(child.frame)
    child.reads += 1
    key = f"{child.key}/!result#{child.reads}"
    recorded = run.history.values.pop(key, None) if run.history is not None else None
    if recorded is not None:
        return _recorded(child, recorded)
    async with run.gate_released():
        record = await _ended_async(child)
    return (
        await asyncio.to_thread(_journal_end, child, key, record)
        if record is not None
        else _journal_end(child, key, None)
    )


async def _ended_async(child: Child) -> ExecutionRecord | None:
    """The async twin of :func:`_ended`."""
    import asyncio

    run = child.frame.run
    kernel = run.kernel
    while True:
        if child.run is not None:
            hold = _owned(child.run)
            suspension.open_hold(run, hold)
            try:
                await _run_ended(child.run)
            finally:
                suspension.close_hold(run, hold)
            if child.run.status not in ("lost", "waiting"):
                return None
            child.run = kernel.runs.get(child.exec_id)
            if child.run is not None:
                continue
        record = await asyncio.to_thread(_stopped, child, None)
        assert record is not None
        if record.status != "waiting":
            return record
        goes_on = asyncio.Event()
        hold = _let_go_of(child, record)
        loop = asyncio.get_running_loop()
        hold.woken = lambda: suspension.call_on(loop, goes_on.set)  # noqa: B023  this turn's event
        due = 3600.0 if record.wake_at is None else (record.wake_at - run.clock.now()) / 1e6
        suspension.open_hold(run, hold)
        try:
            if _suspended(child) and due > 0:
                await asyncio.wait_for(goes_on.wait(), min(due, 3600.0))
        except TimeoutError:
            pass
        finally:
            suspension.close_hold(run, hold)
        child.run = _go_on(child)


async def ended_async(kernel: Any, exec_id: str, run: Run | None) -> ExecutionRecord | None:
    """Await the end of an execution without blocking the event loop; answers like ``outcome.wait_end``."""
    import asyncio

    if run is not None:
        await _run_ended(run)
        if run.status not in ("lost", "waiting"):
            return None
    return await asyncio.to_thread(outcome.wait_end, kernel, exec_id, run, None)


async def _run_ended(run: Run) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def ended() -> None:
        def wake() -> None:
            if not future.done():
                future.set_result(None)

        loop.call_soon_threadsafe(wake)

    run.on_done(ended)
    await future


def _journal_end(child: Child, key: str, record: ExecutionRecord | None) -> Any:
    run = child.frame.run
    now = run.clock.now()
    entry = Entry(EntryKind.VALUE, key, "result", 1, now, now)
    try:
        value = outcome.value_of(run.kernel, child.exec_id, child.run, record)
    except KitaruExecutionError as error:
        origin = error.failure_origin
        entry.detail = {
            "failure": failures.failure_from(error, origin=origin or FailureOrigin.UNKNOWN, codec=run.codec)
        }
        run.commit(entry)
        calls.remember_call(error, child.key)
        raise
    entry.output = run.encode(value)
    run.commit(entry)
    return value


def _recorded(child: Child, recorded: Entry) -> Any:
    run = child.frame.run
    if recorded.output is not None:
        return run.kernel.decode(recorded.output)
    error = failures.exception_from((recorded.detail or {}).get("failure", {}), run.codec)
    calls.remember_call(error, child.key)
    if isinstance(error, KitaruError):
        raise error
    raise KitaruStateError(str(error)) from error

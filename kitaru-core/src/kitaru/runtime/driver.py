"""The thread that runs one flow body, and the end it commits."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    FailureOrigin,
    KitaruBackendError,
    KitaruDivergenceError,
    KitaruError,
    KitaruExecutionError,
    KitaruJournalError,
    KitaruLeaseError,
    KitaruSerializationError,
)
from kitaru.journal.records import Payload
from kitaru.runtime import calls, children, failures
from kitaru.runtime.context import current_frame
from kitaru.runtime.control import (
    ExecutionCancelled,
    ExecutionDiverged,
    ExecutionInterrupted,
    ExecutionLost,
    ExecutionStopped,
    ExecutionSuspended,
)

if TYPE_CHECKING:
    from kitaru.runtime.run import Run

_DRAIN_SECONDS = 5.0
_log = logging.getLogger("kitaru.runtime")


def drive(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Run the flow body to its end, commit that end, then publish it. Never raises."""
    current_frame.set(run.frame)
    value: Any = None
    error: BaseException | None = None
    try:
        if run.spec.is_async:
            value = run_async(run, args, kwargs)
        else:
            value = run.spec.function(*args, **kwargs)
            if run.submitted is not None:
                run.submitted.join()
    except BaseException as raised:
        error = raised
    if run.submitted is not None:
        if error is not None or run.stopping is not None:
            run.submitted.abandon()
        else:
            error = run.submitted.uncollected_failure()
    try:
        status, value, error = _conclude(run, value, error)
    except BaseException as bug:  # whoever waits for this run must not wait for ever because of a mistake of ours
        _log.exception("the end of execution %s could not be recorded; it can be resumed", run.exec_id)
        status, value, error = "interrupted", None, bug
    run.kernel.forget(run)
    run.close_pool()
    if run.kernel.capture is not None:
        run.kernel.capture.leave(run)
    if run.kernel.events is not None:
        run.kernel.events.execution_finished(run.exec_id)
    if status == "lost" and isinstance(error, ExecutionSuspended):
        _go_on(run)
    elif run.record.parent_exec_id is not None and status in ("completed", "failed", "cancelled"):
        _continue_parent(run, run.record.parent_exec_id)
    run.ended(status, value, error)
    # After the end is published: a slow log store or observer holds up the exit of the program, never a result.
    if run.kernel.capture is not None:
        run.kernel.capture.drain()
    if run.kernel.events is not None:
        run.kernel.events.drain(_DRAIN_SECONDS)


def _go_on(run: Run) -> None:
    """Continue an execution that was answered while this owner let go of it; whoever is first does."""
    try:
        run.kernel.resume(run.exec_id, run.spec, ("waiting",))
    except KitaruError:  # somebody else was faster, or the journal does not answer: it is due, and `recover` finds it
        return


def _continue_parent(run: Run, parent: str) -> None:
    """Continue the execution that was suspended on this child; one that runs, or cannot be loaded here, is let be."""
    try:
        record = run.journal.get(parent)
        if record.status == "waiting":
            if children.lives_elsewhere(run, record):
                assert run.kernel.places is not None
                run.kernel.places.start(record)
            elif not children.is_away(run, record):
                run.kernel.resume(parent, accept=("waiting",))
    except KitaruError:  # it is due: `recover` continues it
        return


def run_async(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an ``async def`` flow body to its end, on an event loop of its own."""
    import asyncio

    from kitaru.runtime.event_loop import FlowLoop

    loop = asyncio.new_event_loop()
    run.loop = FlowLoop(run, loop)
    asyncio.set_event_loop(loop)
    try:
        return run.loop.run_main(run.spec.function(*args, **kwargs))
    finally:
        asyncio.set_event_loop(None)


def _conclude(run: Run, value: Any, error: BaseException | None) -> tuple[str, Any, BaseException | None]:
    """Commit the end of the run; gives what to publish. ``lost`` and ``interrupted`` end this process's part only."""
    reason = run.stopping
    try:
        if reason is None and error is None:
            try:
                result = run.encode(value)
            except KitaruSerializationError as refused:
                error = KitaruSerializationError(f"the result of flow `{run.flow_name}` cannot be stored: {refused}")
                error.__cause__ = refused.__cause__
            else:
                _finish(run, "completed", result=result)
                return "completed", value, None
        if reason is None and isinstance(error, ExecutionStopped):
            reason = error
        if reason is None and error is not None:
            return _fail(run, error)
        assert reason is not None
        return _let_go(run, reason)
    except ExecutionLost as lost:
        return "lost", None, lost
    except (ExecutionInterrupted, KitaruBackendError) as trouble:
        return "interrupted", None, trouble


def _fail(run: Run, error: BaseException) -> tuple[str, Any, BaseException | None]:
    failure = failures.failure_from(error, origin=origin_of(error), codec=run.codec)
    failure["calls"] = calls.failed_calls(error)
    _finish(run, "failed", failure=failure)
    return "failed", None, error


def _let_go(run: Run, reason: ExecutionStopped) -> tuple[str, Any, BaseException | None]:
    if isinstance(reason, ExecutionLost):
        return "lost", None, reason
    if isinstance(reason, ExecutionDiverged):
        error = KitaruDivergenceError(
            str(reason), exec_id=run.exec_id, status="failed", failure_origin=FailureOrigin.DIVERGENCE
        )
        return _fail(run, error)
    if isinstance(reason, ExecutionCancelled):
        _finish(run, "cancelled", reason=str(reason))
        return "cancelled", None, reason
    if isinstance(reason, ExecutionSuspended):
        return ("lost" if _suspend(run, reason) else "waiting"), None, reason
    if not isinstance(reason, ExecutionInterrupted):
        return _fail(run, KitaruExecutionError(str(reason), exec_id=run.exec_id))
    run.journal.release(run.lease, run.take_buffered(0))
    return "interrupted", None, reason


def _suspend(run: Run, reason: ExecutionSuspended) -> bool:
    """Let go of the execution. True when what it waited for happened in that very moment: it must go on at once."""
    due = False
    entries = run.take_buffered(0)

    def commit() -> None:
        nonlocal due
        due = run.journal.suspend(
            run.lease, wake_at=reason.wake_at, entries=entries, waits=reason.wait_ids, children=reason.children
        )

    _patiently(run, commit)
    return due


def _finish(
    run: Run,
    status: str,
    *,
    result: Payload | None = None,
    failure: dict[str, Any] | None = None,
    reason: str | None = None,
) -> None:
    entries = run.take_buffered(0) if run.buffered or run.notes else ()
    ended_at = run.clock.now()
    _patiently(
        run,
        lambda: run.journal.finish(
            run.lease,
            status,
            ended_at=ended_at,
            result=result,
            failure=failure,
            status_reason=reason,
            entries=entries,
            parent=run.record.parent_exec_id,
        ),
    )


def _patiently(run: Run, commit: Callable[[], None]) -> None:
    """Commit the end; journal trouble is waited out until the lease ends."""
    try:
        commit()
    except KitaruLeaseError as error:
        raise ExecutionLost(str(error)) from error
    except KitaruJournalError as error:
        try:
            run.resend(commit, error)
        except ExecutionStopped as stopped:
            if isinstance(stopped, ExecutionLost):
                raise
            raise KitaruJournalError(f"the end of execution {run.exec_id} could not be recorded: {error}") from error


def origin_of(error: BaseException) -> FailureOrigin:
    """The origin of a flow's failure: as recorded on the way, else that of the flow's own code."""
    known = getattr(error, "kitaru_origin", None) or getattr(error, "failure_origin", None)
    if isinstance(known, FailureOrigin):
        return known
    return FailureOrigin.RUNTIME if isinstance(error, KitaruSerializationError) else FailureOrigin.USER_CODE

"""How an execution ended, read from the run in this process or from the journal, as a value or a typed error."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    FailureOrigin,
    KitaruExecutionError,
    KitaruStateError,
    KitaruTimeoutError,
    KitaruWaitingError,
    execution_error_from_failure,
    traceback_last_line,
)
from kitaru.journal.records import ExecutionQuery, ExecutionRecord, WaitRecord
from kitaru.runtime import failures
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

_FOLLOW_SECONDS = 0.02
# A suspended execution that is due is about to be continued by somebody: so long it is waited for.
_DUE_MICROSECONDS = 2_000_000


def owner_status(kernel: Kernel, record: ExecutionRecord) -> ExecutionStatus:
    """What is done with an execution: its stored status, or ``interrupted`` where it has no living owner.

    People are shown :func:`shown_status` instead.
    """
    if record.status != "running":
        return ExecutionStatus(record.status)
    owner = record.owner
    if owner is None:
        return ExecutionStatus.INTERRUPTED
    alive = kernel.alive(owner)
    expired = record.lease_expires_at is not None and record.lease_expires_at < kernel.clock.now()
    return ExecutionStatus.INTERRUPTED if alive is False or expired else ExecutionStatus.RUNNING


def shown_status(kernel: Kernel, exec_id: str) -> ExecutionStatus:
    """The status as people see it: a running execution with an open wait is ``waiting``, also while its owner stays."""
    return shown(*looked_at(kernel, kernel.journal.get(exec_id)))


def shown(record: ExecutionRecord, status: ExecutionStatus) -> ExecutionStatus:
    """What people see in place of an :func:`owner_status`."""
    return ExecutionStatus.WAITING if status is ExecutionStatus.RUNNING and record.open_waits else status


def looked_at(kernel: Kernel, record: ExecutionRecord) -> tuple[ExecutionRecord, ExecutionStatus]:
    """A record that was just read, and its :func:`owner_status`.

    When the owner turns out to be gone the record is read again: the owner may have ended the execution, and its
    process, between that read and this look at the process. A dead owner writes nothing more, so once is enough.
    """
    status = owner_status(kernel, record)
    if status is ExecutionStatus.INTERRUPTED and record.owner is not None:
        record = kernel.journal.get(record.exec_id)
        status = owner_status(kernel, record)
    return record, status


def wait_end(
    kernel: Kernel, exec_id: str, run: Run | None, timeout: float | None, check: Callable[[], None] | None = None
) -> ExecutionRecord | None:
    """Wait until the execution has ended or suspended; None when ``run`` ended in this process and says it all.

    Notified when the run is in this process; otherwise the journal is followed, and ``check`` called with every look.

    Raises:
        KitaruTimeoutError: ``timeout`` seconds passed; the execution goes on.
        KitaruStateError: the execution is interrupted: nobody drives it, so waiting would never end.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    if run is not None:
        if not run.done.wait(timeout):
            raise still_running(exec_id, timeout)
        # One that was let go of may have been continued by another process meanwhile.
        if run.status not in ("lost", "waiting"):
            return None
    journal = kernel.journal
    version = heard = None
    look_at = 0.0
    while True:
        if time.monotonic() >= look_at or journal.heard() != heard:
            heard, look_at = journal.heard(), time.monotonic() + journal.polling_seconds
            seen = journal.version()
            if seen != version:
                version = seen
                record = journal.get(exec_id)
        record, status = looked_at(kernel, record)
        if status.finished or status is ExecutionStatus.INTERRUPTED:
            return record
        if status is ExecutionStatus.WAITING and not _about_to_go_on(kernel, record):
            return record
        if deadline is not None and time.monotonic() >= deadline:
            raise still_running(exec_id, timeout)
        if check is not None:
            check()
        time.sleep(_FOLLOW_SECONDS)


def _about_to_go_on(kernel: Kernel, record: ExecutionRecord) -> bool:
    due = record.wake_at
    return due is not None and due <= kernel.clock.now() <= due + _DUE_MICROSECONDS


def value_of(kernel: Kernel, exec_id: str, run: Run | None, record: ExecutionRecord | None) -> Any:
    """The result of an ended execution, or the typed error that says why there is none.

    ``record`` None: ``run`` ended in this process.
    """
    if record is None:
        assert run is not None
        if run.status == "completed":
            return run.value
        record = kernel.journal.get(exec_id)
    cause = run.error if run is not None and run.status == "failed" else None
    record, status = looked_at(kernel, record)
    if status is ExecutionStatus.COMPLETED:
        return kernel.decode(record.result) if record.result is not None else None
    if status is ExecutionStatus.FAILED:
        raise failed_error(record) from (cause or _recorded_cause(kernel, record))
    if run is not None and run.status == "interrupted" and not status.finished:
        # Said here, not read from the journal: that may be what could not be written (a full disk).
        raise KitaruStateError(
            f"execution {exec_id} is interrupted: {run.error}. What it recorded is kept. Run "
            f"`kitaru executions resume {exec_id}` to continue it."
        )
    raise _without_result(kernel, record, status)


def failed_error(record: ExecutionRecord) -> KitaruExecutionError:
    """The typed error of a failed execution: id, status, reason, last traceback line, and the next command."""
    failure = record.failure or {}
    origin = FailureOrigin(failure.get("origin", FailureOrigin.UNKNOWN))
    parts = [f"execution {record.exec_id} failed:", record.status_reason, _told(failure, origin)]
    text = " ".join(part for part in parts if part)
    text += (
        f"\nSee `kitaru executions get {record.exec_id}`; continue it with `kitaru executions retry {record.exec_id}`."
    )
    return execution_error_from_failure(text, exec_id=record.exec_id, status="failed", origin=origin)


def _told(failure: dict[str, Any], origin: FailureOrigin) -> str | None:
    """What failed, in one line; a divergence says all it knows."""
    message: str = failure.get("message") or ""
    if origin is FailureOrigin.DIVERGENCE:
        return message
    # Not the traceback's last line: of an error that ends with a hint (a child's failure, say) that is the hint.
    first = message.strip().partition("\n")[0]
    kind = failure.get("exception_type")
    return f"{kind}: {first}" if kind and first else first or kind or traceback_last_line(failure.get("traceback"))


def _recorded_cause(kernel: Kernel, record: ExecutionRecord) -> BaseException | None:
    if not record.failure or not record.failure.get("exception_type"):
        return None
    return failures.exception_from(record.failure, kernel.codec)


def _without_result(kernel: Kernel, record: ExecutionRecord, status: ExecutionStatus) -> Exception:
    exec_id = record.exec_id
    if status is ExecutionStatus.CANCELLED:
        return KitaruExecutionError(
            f"execution {exec_id} was cancelled. `kitaru executions resume {exec_id}` continues it.",
            exec_id=exec_id,
            status="cancelled",
            failure_origin=FailureOrigin.UNKNOWN,
        )
    if status is ExecutionStatus.INTERRUPTED:
        return KitaruStateError(
            f"execution {exec_id} is interrupted: the process that ran it is gone, what it recorded is kept. Run "
            f"`kitaru executions resume {exec_id}` to continue it."
        )
    if status is ExecutionStatus.WAITING:
        return KitaruWaitingError(_waiting(kernel, record))
    return KitaruStateError(f"execution {exec_id} has not finished: its status is {status}. Use wait() to wait for it.")


def _waiting(kernel: Kernel, record: ExecutionRecord) -> str:
    """What a suspended execution waits for, and the command that continues it."""
    exec_id = record.exec_id
    asked = asked_for(kernel, record)
    if asked:
        first = asked[0]
        question = f" ({first.question})" if first.question else ""
        more = f" and {len(asked) - 1} more" if len(asked) > 1 else ""
        command = answer_command(first.exec_id, first.name, first.schema)
        return (
            f"execution {exec_id} waits for an answer to wait `{first.name}`{question}{more}; its owner has let go of "
            f"it. Answer it with `{command}`."
        )
    if record.wake_at is None or record.wake_at <= kernel.clock.now():
        return f"execution {exec_id} waits to be continued. Run `kitaru executions resume {exec_id}`."
    left = (record.wake_at - kernel.clock.now()) / 1e6
    return (
        f"execution {exec_id} waits for a timer (kitaru.sleep) that is due in {left:.0f} s; its owner has let go of "
        f"it. `kitaru recover` continues it when it is due, `kitaru executions resume {exec_id}` now."
    )


def asked_for(kernel: Kernel, record: ExecutionRecord) -> list[WaitRecord]:
    """The open waits of an execution that has not ended, or else those of its children."""
    if record.open_waits:
        return kernel.journal.waits(record.exec_id, open_only=True)
    children = ExecutionQuery(parent_exec_id=record.exec_id, statuses=("running", "waiting"))
    return [wait for child in kernel.journal.list(children, kernel.alive) for wait in asked_for(kernel, child)]


def answer_command(exec_id: str, wait: str, schema: dict[str, Any] | None) -> str:
    """The command that answers a wait, for people to complete; ``schema`` None: the wait takes no value."""
    value = "null" if schema is None else "JSON"
    return f"kitaru executions input {exec_id} --wait {shlex.quote(wait)} --value {value}"


def still_running(exec_id: str, timeout: float | None) -> KitaruTimeoutError:
    """The error for an execution that was not waited for any longer."""
    return KitaruTimeoutError(
        f"execution {exec_id} has not finished within {timeout} s; it goes on running. Call wait() again, or look at "
        f"it with `kitaru executions get {exec_id}`."
    )

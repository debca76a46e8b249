"""The state machine of an execution, shared by every journal: which status may follow which, and what changes with it.

::

    pending ──> running ──> completed
       │         │ ↑ ↑ └──> failed ────> running      (retry)
       │         │ │ └───── cancelled ─> running      (resume)
       │         ↓ │
       │       waiting ──> cancelled
       └───────────────> cancelled

A running execution may become running again: another owner took it over. Functions here change an
:class:`ExecutionRecord`; a journal reads one, lets it be changed, and writes it back in the same transaction. Every
change is checked against the diagram, always: one that it does not have is a bug, and is refused before it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import Any

from kitaru.errors import KitaruLeaseError, KitaruNotFoundError, KitaruStateError
from kitaru.journal.records import ExecutionRecord, Lease, Owner, Payload, WaitRecord

Alive = Callable[[Owner], bool | None]

#: Stored statuses that end an execution.
FINISHED = frozenset(("completed", "failed", "cancelled"))

_CANCELLED_WAITING = "cancelled as it began to wait"

#: What a stored status may be followed by.
FOLLOWING: dict[str, frozenset[str]] = {
    "pending": frozenset(("running", "cancelled")),
    "running": frozenset(("running", "waiting", "completed", "failed", "cancelled")),
    "waiting": frozenset(("running", "cancelled")),
    "failed": frozenset(("running",)),
    "cancelled": frozenset(("running",)),
    "completed": frozenset(),
}


def owner_status(record: ExecutionRecord, alive: Alive, now: int) -> str:
    """The stored status, or ``interrupted`` when the execution was started and has no live owner."""
    if record.status != "running":
        return record.status
    owner = record.owner
    expired = record.lease_expires_at is not None and record.lease_expires_at < now
    return "interrupted" if owner is None or expired or alive(owner) is False else "running"


def public_status(record: ExecutionRecord, alive: Alive, now: int) -> str:
    """The status as people see it: of a running execution with an open wait ``waiting``, else :func:`owner_status`."""
    status = owner_status(record, alive, now)
    return "waiting" if status == "running" and record.open_waits else status


def check_new(record: ExecutionRecord) -> None:
    """Raise KitaruStateError unless ``record`` is that of an execution nobody has started."""
    if record.status != "pending" or record.owner is not None or record.fence:
        raise KitaruStateError(
            f"execution {record.exec_id} cannot be created as {record.status} with token {record.fence}: a new one is "
            "pending, without an owner."
        )


def arrived(record: ExecutionRecord) -> ExecutionRecord:
    """A copy of the record of an execution that comes from elsewhere: nobody owns it here.

    Raises KitaruStateError unless it has ended: what goes on elsewhere must not go on here too.
    """
    if record.status not in FINISHED:
        raise KitaruStateError(
            f"execution {record.exec_id} cannot be taken over as {record.status}: only one that has ended can."
        )
    return replace(record, owner=None, lease_expires_at=None, cancel_requested=False, wake_at=None)


def owned(record: ExecutionRecord, owner: Owner, expires_at: int) -> None:
    """A new execution gets its first owner."""
    _move(record, "running")
    record.owner, record.fence, record.lease_expires_at = owner, 1, expires_at


def claimed(
    record: ExecutionRecord,
    owner: Owner,
    accept: Collection[str],
    alive: Alive,
    now: int,
    expires_at: int,
    progressed: Callable[[], bool],
) -> Owner | None:
    """Somebody takes an execution over; gives the owner that was lost, or None.

    ``progressed`` is asked whether a lost owner recorded an outcome: owners lost before it do not count any more then.

    Raises KitaruLeaseError when a living owner runs it, KitaruStateError when its status is not in ``accept``.
    """
    check_accepted(record, owner_status(record, alive, now), accept)
    if record.status == "failed":  # somebody decided to retry it: a parked execution gets a new budget of owners
        record.owners_lost = 0
    _move(record, "running")
    previous = record.owner
    if previous is not None:
        record.owners_lost = 1 if progressed() else record.owners_lost + 1
    record.owner, record.lease_expires_at, record.fence = owner, expires_at, record.fence + 1
    record.started_at = record.started_at or now
    record.ended_at = record.wake_at = record.failure = record.status_reason = None
    record.cancel_requested = False
    return previous


def ended(
    record: ExecutionRecord,
    status: str,
    *,
    ended_at: int,
    result: Payload | None,
    failure: dict[str, Any] | None,
    status_reason: str | None,
) -> None:
    """The owner ends an execution and lets go of it."""
    check_end(status)
    _move(record, status)
    record.ended_at, record.result, record.failure, record.status_reason = ended_at, result, failure, status_reason
    _let_go(record)


def suspended(record: ExecutionRecord, wake_at: int | None, now: int) -> bool:
    """The owner lets go of an execution that waits for something. True where its end was asked for in this very moment:
    it is cancelled then, since nobody is left to do it."""
    if record.cancel_requested:
        _move(record, "cancelled")
        record.ended_at, record.status_reason, record.wake_at = now, _CANCELLED_WAITING, None
        _let_go(record)
        return True
    _move(record, "waiting")
    record.wake_at = wake_at
    _let_go(record)
    return False


def released(record: ExecutionRecord) -> None:
    """The owner lets go of an execution that could go on: it reads ``interrupted``."""
    _move(record, "running")
    _let_go(record)


def cancelled(record: ExecutionRecord, alive: Alive, now: int, reason: str | None = None) -> None:
    """Somebody asks for the end of an unfinished execution: its owner does it, or, without one, it ends here."""
    if owner_status(record, alive, now) == "running":
        record.cancel_requested = True
        return
    _move(record, "cancelled")
    record.ended_at, record.status_reason, record.wake_at = now, reason or "cancelled while nobody ran it", None
    _let_go(record)


def soonest(children: Iterable[tuple[str, int | None]], wake_at: int | None) -> tuple[bool, int | None]:
    """Of the (status, wake_at) of children that an execution is about to be suspended on: whether one has ended or runs
    again, and when the first of them and ``wake_at`` is due."""
    dues = [wake_at]
    for status, due in children:
        if status != "waiting":
            return True, wake_at
        dues.append(due)
    return False, min((due for due in dues if due is not None), default=None)


def free_name(name: str, taken: Collection[str]) -> str:
    """``name``, or the first of ``name#2``, ``name#3``... that is not taken."""
    if name not in taken:
        return name
    number = len(taken) + 1
    while (numbered := f"{name}#{number}") in taken:
        number += 1
    return numbered


def takes_over(stored: WaitRecord, wait: WaitRecord) -> bool:
    """An open wait is met again: its question may have changed with the code. True when something did."""
    now = wait.question, wait.schema, wait.metadata
    if stored.status != "open" or (stored.question, stored.schema, stored.metadata) == now:
        return False
    stored.question, stored.schema, stored.metadata = now
    return True


def resolved(wait: WaitRecord, execution: ExecutionRecord, status: str, answer: Payload | None, at: int) -> None:
    """An open wait ends. Raises KitaruStateError when it has ended before, or may not end this way now."""
    where = f"wait `{wait.name}` of execution {wait.exec_id}"
    if wait.status != "open":
        raise KitaruStateError(
            f"{where} is already {wait.status}; nothing was changed. See `kitaru executions get {wait.exec_id}`."
        )
    if status in ("answered", "aborted"):
        if execution.status in FINISHED:
            raise KitaruStateError(f"{where} cannot be {status}: the execution is {execution.status}.")
        if wait.expires_at is not None and at >= wait.expires_at:
            raise KitaruStateError(
                f"{where} has expired: its deadline (expires_in) is over, and it takes no answer any more. "
                f"`kitaru executions resume {wait.exec_id}` lets the flow go on."
            )
    wait.status, wait.answer, wait.resolved_at = status, answer, at


def no_such_wait(exec_id: str, wait_id: str) -> KitaruNotFoundError:
    """The error for an id that no wait has."""
    return KitaruNotFoundError(f"execution {exec_id} has no wait {wait_id!r}. See `kitaru executions get {exec_id}`.")


def check_cancel(record: ExecutionRecord) -> None:
    """Raise KitaruStateError when an execution has ended: there is nothing left to cancel."""
    if record.status in FINISHED:
        raise KitaruStateError(
            f"execution {record.exec_id} cannot be cancelled: it is {record.status}. See `kitaru executions get "
            f"{record.exec_id}`."
        )


def check_end(status: str) -> None:
    """Raise KitaruStateError when ``status`` is none that ends an execution."""
    if status not in FINISHED:
        raise KitaruStateError(f"an execution cannot end as {status!r}: allowed are {', '.join(sorted(FINISHED))}.")


def check_transition(exec_id: str, before: str, after: str) -> None:
    """Raise KitaruStateError, naming both, when ``after`` cannot follow ``before``."""
    if after not in FOLLOWING.get(before, ()):
        raise KitaruStateError(
            f"execution {exec_id} cannot go from {before} to {after}: nothing was written. Its status in the journal "
            f"is {before}; see `kitaru executions get {exec_id}`."
        )


def is_end_of(record: ExecutionRecord, lease: Lease, status: str, moment: int | None) -> bool:
    """Whether ``record`` already shows the end (or suspension) that the holder of ``lease`` wants to write: it is
    being sent again after a failure whose end was unknown. ``moment`` is its ``ended_at`` or ``wake_at``."""
    found = record.wake_at if status == "waiting" else record.ended_at
    if status == "waiting" and record.status == "cancelled":  # see :func:`suspended`
        return record.fence == lease.fence + 1 and record.status_reason == _CANCELLED_WAITING
    return record.fence == lease.fence + 1 and record.status == status and found == moment and record.owner is None


def first_lease(record: ExecutionRecord, owner: Owner | None) -> bool:
    """Whether the stored ``record`` still belongs to ``owner`` as it was created: a create that is sent again."""
    return owner is not None and record.owner == owner and record.fence == 1


def lost(lease: Lease) -> KitaruLeaseError:
    """The error for a write whose lease is not the newest."""
    return KitaruLeaseError(
        f"execution {lease.exec_id} belongs to another owner now (this one's token {lease.fence} is not the newest): "
        "nothing was written."
    )


def not_found(exec_id: str) -> KitaruNotFoundError:
    """The error for an id that no execution has."""
    return KitaruNotFoundError(f"there is no execution {exec_id!r} in this journal. See `kitaru executions list`.")


def check_accepted(record: ExecutionRecord, status: str, accept: Collection[str]) -> None:
    """Raise when an execution that is ``status`` is not to be continued: KitaruLeaseError for a running one, else
    KitaruStateError."""
    if status in accept:
        return
    exec_id = record.exec_id
    if status == "running":
        owner = record.owner
        where = f"process {owner.pid} on {owner.host}" if owner is not None else "another process"
        raise KitaruLeaseError(
            f"execution {exec_id} is running: {where} owns it. `kitaru executions cancel {exec_id}` ends it."
        )
    hint = {
        "failed": f" `kitaru executions retry {exec_id}` runs its failed calls again.",
        "completed": f" `kitaru executions get {exec_id}` shows its result.",
        "interrupted": f" `kitaru executions resume {exec_id}` continues it.",
        "cancelled": f" `kitaru executions resume {exec_id}` continues it.",
    }.get(status, "")
    raise KitaruStateError(
        f"execution {exec_id} is {status}; only {' or '.join(accept)} can be continued this way.{hint}"
    )


def _move(record: ExecutionRecord, status: str) -> None:
    check_transition(record.exec_id, record.status, status)
    record.status = status


def _let_go(record: ExecutionRecord) -> None:
    """No owner any more, and a new token: whoever still believes to own it is refused."""
    record.owner = record.lease_expires_at = None
    record.fence += 1
    record.cancel_requested = False

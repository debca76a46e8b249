"""Which status may follow which, and what a started execution without a living owner is. Shared by every journal."""

from __future__ import annotations

from collections.abc import Callable, Collection

from kitaru.errors import KitaruLeaseError, KitaruStateError
from kitaru.journal.records import ExecutionRecord, Owner

#: Stored statuses that end an execution.
FINISHED = frozenset(("completed", "failed", "cancelled"))


def claim_status(record: ExecutionRecord, alive: Callable[[Owner], bool | None], now: int) -> str:
    """The public status of a stored execution: ``interrupted`` when it was started and nobody holds its lease."""
    if record.status != "running":
        return record.status
    owner = record.owner
    if (
        owner is None
        or (record.lease_expires_at is not None and record.lease_expires_at < now)
        or alive(owner) is False
    ):
        return "interrupted"
    return "running"


def check_claim(record: ExecutionRecord, status: str, accept: Collection[str]) -> None:
    """Raise unless an execution with this public status may be claimed."""
    if status in accept:
        return
    if status == "running":
        owner = record.owner
        where = f"process {owner.pid} on {owner.host}" if owner is not None else "another process"
        raise KitaruLeaseError(f"execution {record.exec_id} is running: {where} owns it.")
    hint = {
        "failed": f" `kitaru executions retry {record.exec_id}` runs its failed calls again.",
        "completed": f" `kitaru executions get {record.exec_id}` shows its result.",
    }.get(status, "")
    raise KitaruStateError(
        f"execution {record.exec_id} is {status}; only {' or '.join(accept)} can be continued this way.{hint}"
    )


def check_end(status: str) -> None:
    """Raise when ``status`` is none that ends an execution."""
    if status not in FINISHED:
        raise KitaruStateError(f"an execution cannot end as {status!r}: allowed are {', '.join(sorted(FINISHED))}.")

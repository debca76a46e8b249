"""Continuing what nobody drives any more: executions of dead owners, and timers that are due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kitaru.errors import FailureOrigin, KitaruRuntimeError, KitaruStateError, KitaruUsageError
from kitaru.journal.records import ExecutionRecord

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel

#: An execution that has killed (or lost) this many owners is parked instead of being continued again.
OWNERS_LOST_MAX = 5


@dataclass(slots=True)
class Recovery:
    """What one round of recovery did, by execution id.

    ``skipped``: somebody else was faster, or it ended meanwhile. ``parked``: it lost too many owners and is ``failed``
    now. ``refused``: it cannot be continued here, with the reason (its flow cannot be loaded).
    """

    resumed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    parked: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def recover(kernel: Kernel, *, owners_lost_max: int = OWNERS_LOST_MAX) -> Recovery:
    """One round; see ``KitaruClient.recover``."""
    due, recovery = select(kernel, owners_lost_max=owners_lost_max)
    for record in due:
        try:
            kernel.resume(record.exec_id, accept=("interrupted", "waiting"))
        except KitaruStateError:
            recovery.skipped.append(record.exec_id)
        except KitaruRuntimeError as error:
            recovery.refused[record.exec_id] = str(error)
        else:
            recovery.resumed.append(record.exec_id)
    return recovery


def select(kernel: Kernel, *, owners_lost_max: int = OWNERS_LOST_MAX) -> tuple[list[ExecutionRecord], Recovery]:
    """What is to be continued now, oldest first, and the round so far: what lost too many owners is parked already."""
    if isinstance(owners_lost_max, bool) or not isinstance(owners_lost_max, int) or owners_lost_max < 1:
        raise KitaruUsageError(f"owners_lost_max={owners_lost_max!r}: must be a whole number, 1 or more.")
    recovery = Recovery()
    due = []
    for record in kernel.journal.recoverable(kernel.clock.now(), kernel.alive):
        # A suspended execution has no owner to lose: only one that died while it ran counts against the limit.
        lost = record.owners_lost + (1 if record.owner is not None else 0)
        if record.status != "running" or lost < owners_lost_max:
            due.append(record)
        elif _park(kernel, record, lost):
            recovery.parked.append(record.exec_id)
        else:
            recovery.skipped.append(record.exec_id)
    return due, recovery


def _park(kernel: Kernel, record: ExecutionRecord, lost: int) -> bool:
    """End an execution as failed because it lost ``lost`` owners; False when somebody else took it first."""
    message = (
        f"the execution lost {lost} owners: each process that drove it died (killed, out of memory, or crashed by the "
        f"flow itself). It is parked; `kitaru executions retry {record.exec_id}` continues it from its journal."
    )
    failure = {"message": message, "exception_type": None, "traceback": None, "origin": str(FailureOrigin.RUNTIME)}
    try:
        claimed = kernel.journal.claim(
            record.exec_id, kernel.owner, kernel.lease_seconds, ("interrupted",), kernel.alive
        )
        kernel.journal.finish(
            claimed.lease, "failed", ended_at=kernel.clock.now(), failure=failure, status_reason=message
        )
    except KitaruStateError:  # a lease error is one too
        return False
    return True

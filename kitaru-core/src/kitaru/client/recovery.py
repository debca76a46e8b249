"""Continuing what nobody drives any more: executions of dead owners, and timers that are due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kitaru.errors import KitaruRuntimeError, KitaruStateError, KitaruUsageError
from kitaru.runtime.kernel import OWNERS_LOST_MAX

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel


@dataclass(slots=True)
class Recovery:
    """What one round of recovery did, by execution id.

    ``skipped``: somebody else was faster, or it ended meanwhile. ``parked``: it lost too many owners and is ``failed``
    now. ``refused``: it cannot be continued here, with the reason (its flow cannot be loaded). ``handed_over``: its
    stack's orchestrator starts it in another place.
    """

    resumed: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    parked: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    handed_over: list[str] = field(default_factory=list)


def recoverable(kernel: Kernel) -> list[str]:
    """Ids of the executions that a recovery would continue (or park) now, oldest first."""
    return [record.exec_id for record in kernel.journal.recoverable(kernel.clock.now(), kernel.alive)]


def recover(kernel: Kernel, *, owners_lost_max: int = OWNERS_LOST_MAX) -> Recovery:
    """One round; see ``KitaruClient.recover``."""
    check_limit(owners_lost_max)
    recovery = Recovery()
    for exec_id in recoverable(kernel):
        recover_one(kernel, exec_id, recovery, owners_lost_max=owners_lost_max)
    return recovery


def recover_one(kernel: Kernel, exec_id: str, recovery: Recovery, *, owners_lost_max: int = OWNERS_LOST_MAX) -> None:
    """Continue or park one execution, where its stack has it run, and note in ``recovery`` which it was."""
    from kitaru.stack import assembly

    try:
        done = assembly.recover(kernel, exec_id, owners_lost_max)
    except KitaruStateError:
        recovery.skipped.append(exec_id)
    except KitaruRuntimeError as error:
        recovery.refused[exec_id] = str(error)
    else:
        getattr(recovery, done).append(exec_id)


def check_limit(owners_lost_max: int) -> None:
    """Raise KitaruUsageError unless the limit is a whole number, 1 or more."""
    if isinstance(owners_lost_max, bool) or not isinstance(owners_lost_max, int) or owners_lost_max < 1:
        raise KitaruUsageError(f"owners_lost_max={owners_lost_max!r}: must be a whole number, 1 or more.")


def continue_elsewhere(kernel: Kernel, exec_id: str, timeout: float) -> bool:
    """See ``KitaruClient.continue_elsewhere``."""
    import time

    from kitaru.runtime import outcome
    from kitaru.stack import assembly
    from kitaru.statuses import ExecutionStatus

    deadline = time.monotonic() + timeout
    while exec_id in kernel.runs:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    if outcome.shown_status(kernel, exec_id) is not ExecutionStatus.INTERRUPTED:
        return False
    assembly.continue_execution(kernel, exec_id)
    return True

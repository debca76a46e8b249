"""Public status words of executions and calls. Light on purpose: ``handle.status`` must not import pydantic."""

from __future__ import annotations

from enum import StrEnum


class ExecutionStatus(StrEnum):
    """What an execution is doing, as users see it.

    ``interrupted`` is never stored: it is derived, identically in every listing, from a started execution whose
    owner is gone (dead process, expired or released lease).
    """

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def finished(self) -> bool:
        """True for completed, failed and cancelled."""
        return self in (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)


class CallStatus(StrEnum):
    """What a checkpoint call is doing. ``interrupted``: its owner died while it ran; a resume runs it again."""

    RUNNING = "running"
    INTERRUPTED = "interrupted"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    IN_DOUBT = "in_doubt"

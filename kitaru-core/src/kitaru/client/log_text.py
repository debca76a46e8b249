"""Runtime logs as text for agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitaru.models import LogEntry


def _format_mcp_log_entry(entry: LogEntry) -> str:
    """``timestamp LEVEL [checkpoint] message``, without the parts that are not there."""
    parts = [
        entry.timestamp,
        entry.level.upper() if entry.level else None,
        f"[{entry.checkpoint_name}]" if entry.checkpoint_name else None,
        entry.message,
    ]
    return " ".join(part for part in parts if part is not None)


def format_mcp_execution_logs(entries: Sequence[LogEntry]) -> str:
    """One line per entry, or a sentence when there is none."""
    return "\n".join(_format_mcp_log_entry(entry) for entry in entries) or "No log entries found."

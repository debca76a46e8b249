"""What executions of this process do, told on the terminal as it happens: from the kernel's own events."""

from __future__ import annotations

import os
from typing import Any

from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, WaitRecord
from kitaru.runtime.collaborators import EventSink
from kitaru.runtime.outcome import answer_command
from kitaru.terminal.handler import get_bypass_write, render
from kitaru.terminal.rules import TerminalDecision, TerminalKind
from kitaru.terminal.wanted import is_terminal

_REASON_MAX = 300


class TerminalSink:
    """Tells events to another sink, and on the terminal."""

    def __init__(self, inner: EventSink | None, journal: Journal) -> None:
        self._inner = inner if inner is not None else _Nobody()
        self._journal = journal

    def execution_started(self, exec_id: str) -> None:
        self._inner.execution_started(exec_id)
        record = self._record(exec_id)
        if record is not None:
            self._say("info", f"Starting flow `{record.flow_name}` (execution {exec_id}).")

    def execution_finished(self, exec_id: str) -> None:
        self._inner.execution_finished(exec_id)
        record = self._record(exec_id)
        if record is None:
            return
        took = _took(record.started_at, record.ended_at)
        if record.status == "completed":
            self._say("success", f"Execution finished{took.replace(' after ', ' in ')}.")
        elif record.status == "failed":
            self._say("error", f"Execution failed{took}: {_first_line((record.failure or {}).get('message'))}")
        elif record.status == "cancelled":
            self._say("warning", f"Execution `{exec_id}` cancelled.")
        else:
            self._say("warning", f"Pausing execution `{exec_id}`.")

    def checkpoint_finished(self, exec_id: str, entry: Entry) -> None:
        self._inner.checkpoint_finished(exec_id, entry)
        took = _took(entry.started_at, entry.ended_at)
        detail = entry.detail or {}
        name = entry.name
        if entry.kind is EntryKind.COMPLETED:
            if detail.get("cached"):
                self._say("detail", f"Checkpoint `{name}` cached.")
            else:
                self._say("success", f"Checkpoint `{name}` finished{took.replace(' after ', ' in ')}.")
        elif entry.kind is EntryKind.ATTEMPT_FAILED:
            self._say("warning", f"Checkpoint `{name}` failed{took}; it is tried again.")
        elif entry.kind is EntryKind.FAILED:
            reason = _first_line((detail.get("failure") or {}).get("message"))
            self._say("error", f"Checkpoint `{name}` failed{took}: {reason}")
        elif entry.kind is EntryKind.CANCELLED:
            self._say("warning", f"Checkpoint `{name}` stopped.")

    def wait_opened(self, wait: WaitRecord) -> None:
        self._inner.wait_opened(wait)
        self._say("info", f"Waiting on `{wait.name}`: {answer_command(wait.exec_id, wait.name, wait.schema)}")

    def wait_answered(self, wait: WaitRecord) -> None:
        self._inner.wait_answered(wait)
        self._say("info", f"Wait `{wait.name}` answered.")

    def drain(self, seconds: float) -> None:
        self._inner.drain(seconds)

    def _record(self, exec_id: str) -> Any:
        try:
            return self._journal.get(exec_id)
        except Exception:  # a line less: never a reason for a flow to fail
            return None

    def _say(self, kind: TerminalKind, text: str) -> None:
        interactive = is_terminal() and "NO_COLOR" not in os.environ
        try:
            get_bypass_write()(render(TerminalDecision(kind, text), interactive=interactive) + "\n")
        except (OSError, ValueError):  # the terminal is gone, or closed
            return


class _Nobody:
    """No plugin observes anything."""

    def execution_started(self, exec_id: str) -> None:
        """Nothing."""

    def execution_finished(self, exec_id: str) -> None:
        """Nothing."""

    def checkpoint_finished(self, exec_id: str, entry: Entry) -> None:
        """Nothing."""

    def wait_opened(self, wait: WaitRecord) -> None:
        """Nothing."""

    def wait_answered(self, wait: WaitRecord) -> None:
        """Nothing."""

    def drain(self, seconds: float) -> None:
        """Nothing to wait for."""


def _took(started_at: int | None, ended_at: int | None) -> str:
    if not started_at or not ended_at:
        return ""
    return f" after {(ended_at - started_at) / 1e6:.2f}s"


def _first_line(text: str | None) -> str:
    lines = (text or "unknown").strip().splitlines()
    return lines[0][:_REASON_MAX] if lines else "unknown"

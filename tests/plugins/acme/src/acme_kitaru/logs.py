"""Acme's log store: lists in memory."""

import threading
from collections.abc import Sequence

from kitaru.journal.log_records import LogRecord


class AcmeLogs:
    def __init__(self, config: None) -> None:
        self._lines: dict[str, list[LogRecord]] = {}
        self._lock = threading.Lock()

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        with self._lock:
            self._lines.setdefault(exec_id, []).extend(records)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        with self._lock:
            lines = [one for one in self._lines.get(exec_id, ()) if call_id in (None, one.call_id)]
        return lines[after:] if limit is None else lines[after : after + limit]

    def delete(self, exec_id: str) -> None:
        with self._lock:
            self._lines.pop(exec_id, None)

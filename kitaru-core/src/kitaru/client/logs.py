"""Reading runtime logs out of the log store: selection, tail, follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kitaru.client.watching import DRIVEN
from kitaru.errors import KitaruError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.models import LogEntry
    from kitaru.runtime.kernel import Kernel

SOURCES = ("all", "step", "runner")


@dataclass(slots=True, frozen=True)
class Selection:
    """Which log lines are wanted."""

    checkpoint: str | None
    source: str
    limit: int | None

    @classmethod
    def checked(cls, checkpoint: str | None, source: str, limit: int | None) -> Selection:
        """Checks in a fixed order: source, limit, checkpoint, and the two that exclude each other."""
        source = source.strip().lower() if isinstance(source, str) else ""
        if source not in SOURCES:
            raise KitaruUsageError(f"source={source!r}: allowed are {', '.join(SOURCES)}.")
        if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
            raise KitaruUsageError(f"limit={limit!r}: must be a whole number, 1 or more.")
        if checkpoint is not None and not checkpoint.strip():
            raise KitaruUsageError("checkpoint is blank: name a checkpoint, or leave it out for all of them.")
        if checkpoint is not None and source == "runner":
            raise KitaruUsageError(
                "checkpoint and source='runner' exclude each other: the flow body's lines belong to no checkpoint."
            )
        return cls(checkpoint.strip() if checkpoint is not None else None, source, limit)

    def wants(self, record: LogRecord) -> bool:
        if self.checkpoint is not None:
            return self.checkpoint in (record.checkpoint_name, record.invocation_id)
        return self.source == "all" or (record.call_id is None) == (self.source == "runner")


def read(kernel: Kernel, exec_id: str, selection: Selection) -> list[LogEntry]:
    """The selected lines, oldest first; with a limit the newest so many."""
    from kitaru import snapshots

    wanted = [record for record in _records(kernel, exec_id, 0) if selection.wants(record)]
    # Threads hand their lines over in batches: the log store has them in the order of arrival.
    wanted.sort(key=lambda record: record.timestamp)
    if selection.limit is not None:
        wanted = wanted[-selection.limit :]
    return [snapshots.log_entry(record) for record in wanted]


def follow(
    kernel: Kernel, exec_id: str, selection: Selection, status: Callable[[], ExecutionStatus], interval: float
) -> Iterator[LogEntry]:
    """See ``Executions.follow_logs``. The cursor counts stored lines, so equal lines are told apart."""
    from kitaru import snapshots

    seen = 0
    while True:
        driven = status() in DRIVEN  # asked first: after it, nothing more is written than what is read now
        records = _records(kernel, exec_id, seen)
        seen += len(records)
        for record in records:
            if selection.wants(record):
                yield snapshots.log_entry(record)
        if not driven:
            return
        time.sleep(interval)


def _records(kernel: Kernel, exec_id: str, after: int) -> list[LogRecord]:
    from kitaru.stack import assembly

    if kernel.capture is not None:
        kernel.capture.flush()
    try:
        return assembly.open_log_store(kernel).read(exec_id, after=after)
    except KitaruError:
        raise
    except Exception as error:
        raise KitaruLogRetrievalError(
            f"the log store did not give the logs of execution {exec_id}: {type(error).__name__}: {error}"
        ) from error

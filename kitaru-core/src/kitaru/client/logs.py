"""Reading runtime logs out of the log store: selection, tail, follow."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from kitaru.client.arguments import check_limit, parse_moment
from kitaru.client.watching import DRIVEN
from kitaru.errors import KitaruError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.runtime import outcome
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.models import LogEntry, PendingWait
    from kitaru.runtime.kernel import Kernel

_PLACE_LINES_MAX = 10_000
_GOES_ON = (*DRIVEN, ExecutionStatus.WAITING)
SOURCES = ("all", "step", "runner")
#: Levels by weight; other names (a library's own levels) count as INFO.
LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}


@dataclass(slots=True, frozen=True)
class Selection:
    """Which log lines are wanted. ``since`` is in microseconds since the epoch, ``weight`` a level's."""

    checkpoint: str | None = None
    source: str = "all"
    limit: int | None = None
    tail: int | None = None
    since: int | None = None
    weight: int = 0
    call: str | None = None

    @classmethod
    def checked(
        cls,
        *,
        checkpoint: str | None,
        source: str,
        limit: int | None,
        tail: int | None,
        since: Any,
        level: str | None,
        call: str | None,
        now: int,
    ) -> Selection:
        """Checks in a fixed order: source, limit, checkpoint, then the rest. Raises KitaruUsageError."""
        source = source.strip().lower() if isinstance(source, str) else ""
        if source not in SOURCES:
            raise KitaruUsageError(f"source={source!r}: allowed are {', '.join(SOURCES)}.")
        check_limit(limit)
        checkpoint = _not_blank(checkpoint, "checkpoint", "a checkpoint")
        if checkpoint is not None and source == "runner":
            raise KitaruUsageError(
                "checkpoint and source='runner' exclude each other: the flow body's lines belong to no checkpoint."
            )
        check_limit(tail, "tail")
        if tail is not None and limit is not None:
            raise KitaruUsageError("limit (the oldest lines) and tail (the newest lines) exclude each other.")
        moment = parse_moment(since, "since", now)
        weight = LEVELS.get(level.strip().upper()) if isinstance(level, str) else 0
        if weight is None or (level is not None and not isinstance(level, str)):
            raise KitaruUsageError(f"level={level!r}: allowed are {', '.join(LEVELS)}.")
        call = _not_blank(call, "call", "a call by its call_id or invocation id")
        return cls(checkpoint, source, limit, tail, moment, weight, call)

    def wants(self, record: LogRecord) -> bool:
        """Whether a line is selected, limits aside."""
        if self.call is not None and self.call not in (record.call_id, record.invocation_id):
            return False
        if self.since is not None and record.timestamp < self.since:
            return False
        if self.weight and LEVELS.get(record.level, 20) < self.weight:
            return False
        if self.checkpoint is not None:
            return self.checkpoint in (record.checkpoint_name, record.invocation_id)
        return self.source == "all" or (record.call_id is None) == (self.source == "runner")

    def wants_place(self) -> bool:
        """Whether lines of the place where an execution runs are selected: they have no time, level or call."""
        return self.source != "step" and (self.checkpoint, self.call, self.since, self.weight) == (None, None, None, 0)


def _not_blank(value: str | None, name: str, what: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise KitaruUsageError(f"{name} is blank: name {what}, or leave it out for all of them.")
    return value.strip()


def read(kernel: Kernel, exec_id: str, selection: Selection) -> list[LogEntry]:
    """The selected lines by time; with a limit the oldest, with a tail the newest so many.

    As long as nothing was captured (its process is only starting, or died before its kernel ran) they are what the
    place where it runs printed itself.
    """
    from kitaru import snapshots

    records = _records(kernel, exec_id, 0)
    if not records and selection.wants_place():
        said = [_place_entry(line) for line in _place_lines(kernel, exec_id)]
        return said[-selection.tail :] if selection.tail is not None else said[: selection.limit]
    return [snapshots.log_entry(record) for record in _selected(records, selection)]


def follow(
    kernel: Kernel,
    exec_id: str,
    selection: Selection,
    interval: float,
    on_waiting: Callable[[PendingWait], None] | None = None,
) -> Iterator[LogEntry]:
    """See ``Executions.logs``. The cursor counts stored lines, so equal lines are told apart."""
    from kitaru import snapshots

    seen = given = said = 0
    told: set[str] = set()
    while True:
        # Asked first: of an execution that nobody drives nothing more is written than what is read now.
        record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
        records = _records(kernel, exec_id, seen)
        wanted = [record for record in records if selection.wants(record)]
        if seen == 0 and selection.tail is not None:
            wanted = wanted[-selection.tail :]
        seen += len(records)
        entries = [snapshots.log_entry(record) for record in wanted]
        if seen == 0 and selection.wants_place():
            lines = _place_lines(kernel, exec_id)
            entries = [_place_entry(line) for line in lines[said:]]
            said = len(lines)
        for entry in entries:
            yield entry
            given += 1
            if given == selection.limit:
                return
        if on_waiting is not None and status in _GOES_ON:
            for wait in outcome.asked_for(kernel, record):
                if wait.wait_id not in told:
                    told.add(wait.wait_id)
                    on_waiting(snapshots.pending_wait(wait))
        if status not in _GOES_ON:
            return
        time.sleep(interval)


def _selected(records: list[LogRecord], selection: Selection) -> list[LogRecord]:
    wanted = [record for record in records if selection.wants(record)]
    # Threads hand their lines over in batches: the log store has them in the order of arrival.
    wanted.sort(key=lambda record: record.timestamp)
    if selection.tail is not None:
        return wanted[-selection.tail :]
    return wanted[: selection.limit]


def settle(kernel: Kernel) -> None:
    """Have what this process captured stored, so that it can be read; waits a few seconds for that at most."""
    if kernel.capture is not None:
        kernel.capture.flush()
        kernel.capture.drain()


def _records(kernel: Kernel, exec_id: str, after: int) -> list[LogRecord]:
    from kitaru.stack import assembly

    settle(kernel)
    try:
        return assembly.open_log_store(kernel, kernel.journal.get(exec_id)).read(exec_id, after=after)
    except KitaruError:
        raise
    except Exception as error:
        raise KitaruLogRetrievalError(
            f"the log store did not give the logs of execution {exec_id}: {type(error).__name__}: {error}"
        ) from error


def _place_lines(kernel: Kernel, exec_id: str) -> list[str]:
    """What the place where an execution runs has printed. Raises KitaruLogRetrievalError when it does not answer."""
    from kitaru.stack import assembly, places

    try:
        return list(
            islice(places.lines(assembly.assembled(kernel).places, kernel.journal.get(exec_id)), _PLACE_LINES_MAX)
        )
    except Exception as error:
        raise KitaruLogRetrievalError(
            f"nothing of execution {exec_id} was captured yet, and its place does not tell its own lines: "
            f"{type(error).__name__}: {error}"
        ) from error


def _place_entry(line: str) -> LogEntry:
    from kitaru.models import LogEntry

    return LogEntry(message=line, source="place")

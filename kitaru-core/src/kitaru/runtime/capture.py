"""Runtime logs: what a body prints and logs, told apart by call, without touching what the user sees."""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from kitaru.journal.log_records import LogRecord
from kitaru.journal.records import ExecutionRecord
from kitaru.runtime.clock import Clock
from kitaru.runtime.context import Frame, current_frame, invocation_id
from kitaru.runtime.identity import call_id

if TYPE_CHECKING:
    from kitaru.runtime.run import Run

_BUFFER_RECORDS_MAX = 10_000
_LINE_CHARACTERS_MAX = 64 * 1024
_FLUSH_SECONDS = 0.2
_LEVELS = {"stdout": "INFO", "stderr": "WARNING", "model": "INFO"}


class LogSink(Protocol):
    """Where captured lines go."""

    def append(self, execution: ExecutionRecord, records: list[LogRecord]) -> None:
        """Take lines of one execution, as it was when it was started or continued here."""

    def drain(self) -> None:
        """Wait, for a bounded time, until what was taken is stored."""


class Capture:
    """Tees stdout, stderr and ``logging`` of running bodies into a log store.

    Installed while flows run, by a count: the first run puts the tees in, the last one takes them out again. A body
    that prints nothing pays nothing. The sink is called by a background thread and may be slow or fail: beyond
    10,000 waiting records the oldest are dropped, and a sentence says how many.
    """

    def __init__(self, sink: LogSink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self._lock = threading.Lock()
        self._users = 0
        self._records: list[tuple[ExecutionRecord, LogRecord]] = []
        self._dropped = 0
        self._partial: dict[tuple[int, str], tuple[Frame, str]] = {}
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._flush_lock = threading.Lock()
        self._handler = _Handler(self)
        self._tees: list[_Tee] = []

    def enter(self) -> None:
        """One more run wants its output captured."""
        with self._lock:
            self._users += 1
            if self._users > 1:
                return
            self._tees = [_Tee(self, sys.stdout, "stdout"), _Tee(self, sys.stderr, "stderr")]
            sys.stdout, sys.stderr = self._tees
            logging.getLogger().addHandler(self._handler)

    def leave(self, run: Run) -> None:
        """A run has ended; everything captured of it so far is handed to the sink before this returns."""
        with self._lock:
            # A line without an end is one now. Other runs are in the middle of theirs, unless this was the last one:
            # then what stragglers of ended runs left behind goes too.
            ended = [place for place, (frame, _) in self._partial.items() if frame.run is run or self._users == 1]
            unfinished = [(place[1], *self._partial.pop(place)) for place in ended]
        for source, frame, rest in unfinished:
            self.add(frame, rest, source=source, level=_LEVELS[source])
        self.flush()
        with self._lock:
            self._users -= 1
            if self._users:
                return
            # Somebody else (a test runner, a notebook) may have put its own stream in meanwhile: leave that alone.
            if self._tees and sys.stdout is self._tees[0]:
                sys.stdout = self._tees[0].stream
            if self._tees and sys.stderr is self._tees[1]:
                sys.stderr = self._tees[1].stream
            logging.getLogger().removeHandler(self._handler)

    def write(self, frame: Frame, source: str, text: str) -> None:
        """Take text a body wrote; whole lines become records."""
        root = frame.root
        place = (id(root), source)
        with self._lock:
            before = self._partial.pop(place, (root, ""))[1]
            *lines, rest = (before + text).split("\n")
            if len(rest) > _LINE_CHARACTERS_MAX:
                lines.append(rest)
                rest = ""
            if rest:
                self._partial[place] = (root, rest)
        for line in lines:
            self.add(root, line, source=source, level=_LEVELS[source])

    def add(self, frame: Frame, message: str, *, source: str, level: str, **place: Any) -> None:
        """Buffer one record of ``frame``'s call (or of the execution, when it is the flow body)."""
        run = frame.run
        in_call = bool(frame.key)
        record = LogRecord(
            timestamp=self._clock.now(),
            level=level,
            message=message[:_LINE_CHARACTERS_MAX],
            source=source,
            call_id=call_id(run.exec_id, frame.key) if in_call else None,
            invocation_id=invocation_id(frame) if in_call else None,
            checkpoint_name=frame.name if in_call else None,
            attempt=frame.attempt if in_call else None,
            **place,
        )
        with self._lock:
            if len(self._records) >= _BUFFER_RECORDS_MAX:
                del self._records[0]
                self._dropped += 1
            self._records.append((run.record, record))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._serve, name="kitaru-logs", daemon=True)
                self._thread.start()
        self._wake.set()

    def flush(self) -> None:
        """Hand every whole line captured to the sink."""
        if not self._records:
            return
        with self._flush_lock:
            with self._lock:
                records, self._records = self._records, []
                dropped, self._dropped = self._dropped, 0
            by_execution: dict[str, tuple[ExecutionRecord, list[LogRecord]]] = {}
            for execution, record in records:
                by_execution.setdefault(execution.exec_id, (execution, []))[1].append(record)
            for exec_id, (execution, batch) in by_execution.items():
                try:
                    self._sink.append(execution, batch)
                except Exception as error:  # a log store must never fail an execution: say so where people look
                    complain(f"runtime logs of execution {exec_id} could not be stored: {error}")
            if dropped:
                complain(f"{dropped} runtime log lines were dropped: the log store is slower than the flow prints")

    def drain(self) -> None:
        """Wait, for a time that the sink bounds, until what was handed to it is stored."""
        self._sink.drain()

    def _serve(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            threading.Event().wait(_FLUSH_SECONDS)
            self.flush()


def complain(text: str) -> None:
    """Say something about logs on the process's own stderr, which is never captured."""
    stream = sys.__stderr__
    if stream is not None:
        stream.write(f"kitaru: {text}\n")


class _Tee:
    """Stands in for a text stream: writes through, and copies what a body writes."""

    def __init__(self, capture: Capture, stream: TextIO, source: str) -> None:
        self._capture = capture
        self._source = source
        self.stream = stream

    def write(self, text: str) -> int:
        written = self.stream.write(text)
        frame = current_frame.get()
        if frame is not None and text:
            self._capture.write(frame, self._source, text)
        return written

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Handler(logging.Handler):
    """Copies records that bodies log. Only what passes the loggers' own levels arrives here."""

    def __init__(self, capture: Capture) -> None:
        super().__init__()
        self._capture = capture

    def emit(self, record: logging.LogRecord) -> None:
        frame = current_frame.get()
        if frame is None or record.name.startswith("kitaru."):
            return
        try:
            message = record.getMessage()
            if record.exc_info:
                message = f"{message}\n{logging.Formatter().formatException(record.exc_info)}"
        except Exception:
            self.handleError(record)
            return
        self._capture.add(
            frame.root,
            message,
            source="logging",
            level=record.levelname,
            logger=record.name,
            module=record.module,
            filename=record.filename,
            lineno=record.lineno,
        )

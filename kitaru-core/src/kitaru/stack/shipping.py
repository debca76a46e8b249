"""Brings log lines to a store that may be slow, away or broken, without a flow ever noticing.

Lines wait in memory, bounded by number and size, and one background thread appends them in batches. What the store
fails to take is sent again, later and later; what does not fit is dropped, the oldest first, and one line says how
many. A store that blocks for ever blocks that thread and nobody else.
"""

from __future__ import annotations

import atexit
import random
import threading
import time
from collections import deque
from typing import NamedTuple

from kitaru.errors import KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.runtime.capture import complain
from kitaru.stack.components import LogStore

#: What may wait for one store: so many lines, and so many bytes of them (counted as characters and 256 each).
LINES_MAX = 20_000
BYTES_MAX = 16 * 1024 * 1024
#: One append takes lines of one execution, at most so many and so large together (or one larger line).
BATCH_LINES_MAX = 1_000
BATCH_BYTES_MAX = 1024 * 1024
#: After a failure the store is tried again this much later, and twice as much each time.
RETRY_SECONDS = 0.5
RETRY_SECONDS_MAX = 30.0
#: How long the end of an execution, the reading of its logs and the end of the interpreter wait for what is on its way.
DRAIN_SECONDS = 5.0
_LINE_BYTES = 256
_SHOWN_MAX = 300


class _Waiting(NamedTuple):
    exec_id: str
    record: LogRecord
    size: int


class Shipper:
    """A log store's outgoing lines. Thread-safe; its thread is started with the first line and ends by :meth:`close`.

    The order of an execution's lines is kept. Lines of one append are sent again as a whole when it failed: a store
    that failed after taking some of them has these twice.
    """

    def __init__(self, store: LogStore, name: str) -> None:
        self._store = store
        self._name = name
        self._lock = threading.Condition()
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._dropped: dict[str, int] = {}
        self._dropped_told = 0
        self._sending = 0.0  # since when an append is on its way; 0: none is
        self._sent = 0  # lines in it
        self._failures = 0
        self._hurry = False
        self._closed = False
        self._thread: threading.Thread | None = None
        self._reported = False

    def append(self, exec_id: str, records: list[LogRecord]) -> None:
        """Take lines; returns at once and never raises. Beyond the bounds the oldest waiting lines are dropped."""
        with self._lock:
            for record in records:
                size = len(record.message) + _LINE_BYTES
                self._waiting.append(_Waiting(exec_id, record, size))
                self._bytes += size
            while len(self._waiting) > LINES_MAX or self._bytes > BYTES_MAX:
                gone = self._waiting.popleft()
                self._bytes -= gone.size
                self._dropped[gone.exec_id] = self._dropped.get(gone.exec_id, 0) + 1
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._serve, name=f"kitaru-ship-{self._name}", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._lock.notify_all()

    def drain(self, seconds: float = DRAIN_SECONDS) -> bool:
        """Wait until everything taken so far is stored; whether it is. A store that fails or hangs is not waited for.

        Hangs: an append has taken longer than ``DRAIN_SECONDS`` already.
        """
        return self._settled(seconds, patient=False)

    def close(self, seconds: float = DRAIN_SECONDS) -> None:
        """Try once more to store what waits, for so long; then give it up, saying how much that was. Idempotent."""
        with self._lock:
            if self._closed:
                return
        done = self._settled(seconds, patient=True)
        with self._lock:
            self._closed = True
            left = len(self._waiting) + sum(self._dropped.values()) + (self._sent if self._sending else 0)
            self._lock.notify_all()
        atexit.unregister(self.close)
        if not done:
            complain(f"{left} runtime log lines did not reach {self._name} before the end and are lost")

    def _settled(self, seconds: float, *, patient: bool) -> bool:
        deadline = time.monotonic() + seconds
        with self._lock:
            while self._waiting or self._sending or self._dropped:
                now = time.monotonic()
                hangs = self._sending and now - self._sending > DRAIN_SECONDS
                left = deadline - now
                if left <= 0 or self._closed or hangs or (self._failures and not patient):
                    return False
                if patient:  # a back-off that would outlast this is cut short
                    self._hurry = True
                    self._lock.notify_all()
                self._lock.wait(min(left, RETRY_SECONDS))
        return True

    # -- the thread ---------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                return
            exec_id, records, taken = batch
            try:
                self._store.append(exec_id, records)
            except KitaruUsageError as error:  # it says that it never takes these: the next ones may be others
                self._refused(exec_id, len(taken), error)
            except Exception as error:  # whatever a store raises, a flow goes on, and the lines wait
                self._failed(exec_id, taken, error)
            else:
                self._stored()

    def _next(self) -> tuple[str, list[LogRecord], list[_Waiting]] | None:
        """The next lines to append, all of one execution; None once closed. What was dropped is told first."""
        with self._lock:
            while not self._waiting and not self._dropped and not self._closed:
                self._lock.wait()
            if self._closed:
                return None
            self._sending = time.monotonic()
            exec_id = next(iter(self._dropped)) if self._dropped else self._waiting[0].exec_id
            taken: list[_Waiting] = []
            size = 0
            while self._waiting and self._waiting[0].exec_id == exec_id and len(taken) < BATCH_LINES_MAX:
                size += self._waiting[0].size
                if taken and size > BATCH_BYTES_MAX:
                    break
                taken.append(self._waiting.popleft())
                self._bytes -= taken[-1].size
            self._dropped_told = self._dropped.pop(exec_id, 0)
            self._sent = len(taken) + self._dropped_told
            records = [one.record for one in taken]
            if self._dropped_told:
                records.insert(0, self._gap(self._dropped_told, records))
            return exec_id, records, taken

    def _gap(self, dropped: int, following: list[LogRecord]) -> LogRecord:
        lines = "line was" if dropped == 1 else "lines were"
        return LogRecord(
            timestamp=following[0].timestamp if following else time.time_ns() // 1000,
            level="WARNING",
            message=f"... {dropped} {lines} dropped here: {self._name} did not take them in time",
            source="logging",
            logger="kitaru.logs",
        )

    def _stored(self) -> None:
        with self._lock:
            recovered, self._failures, self._sending = self._failures, 0, 0.0
            self._lock.notify_all()
        if recovered and self._reported:
            self._reported = False
            complain(f"{self._name} takes runtime logs again")

    def _refused(self, exec_id: str, lines: int, error: Exception) -> None:
        with self._lock:
            if lines:  # told by the next append; where that is refused too, nothing is left to say
                self._dropped[exec_id] = self._dropped.get(exec_id, 0) + lines + self._dropped_told
            self._sending = 0.0
            self._lock.notify_all()
        complain(f"{lines} runtime log lines were refused by {self._name}: {_short(error)}")

    def _failed(self, exec_id: str, taken: list[_Waiting], error: Exception) -> None:
        with self._lock:
            self._failures += 1
            if self._dropped_told:
                self._dropped[exec_id] = self._dropped.get(exec_id, 0) + self._dropped_told
            # Back to the front, as far as there is room: what came meanwhile is newer.
            for one in reversed(taken):
                if len(self._waiting) >= LINES_MAX or self._bytes + one.size > BYTES_MAX:
                    self._dropped[exec_id] = self._dropped.get(exec_id, 0) + 1
                else:
                    self._waiting.appendleft(one)
                    self._bytes += one.size
            self._sending = 0.0
            self._lock.notify_all()
            pause = min(RETRY_SECONDS * 2 ** (self._failures - 1), RETRY_SECONDS_MAX) * random.uniform(0.8, 1.2)  # noqa: S311
            until = time.monotonic() + pause
        if not self._reported:  # once per outage: who looks for logs shall not find only this
            self._reported = True
            complain(f"runtime logs wait: {self._name} does not take them ({_short(error)})")
        with self._lock:
            while not self._closed and not self._hurry and (left := until - time.monotonic()) > 0:
                self._lock.wait(left)
            self._hurry = False


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:_SHOWN_MAX]

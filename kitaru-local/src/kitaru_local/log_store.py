"""The local log store: one file of JSON lines per execution."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines
from kitaru_local.config import LocalLogStoreConfig

_CURSORS_MAX = 64


class LocalLogStore:
    """Appends lines to ``<path>/<exec_id>.jsonl``. See :class:`kitaru.stack.components.LogStore`.

    A batch is one write to a file opened for appending, so the lines of several processes do not mix. It starts on a
    new line even after a crash tore the last one; a torn line is left out when reading.
    """

    prompt = True  # a write to a local file: nothing to wait for in the background

    def __init__(self, config: LocalLogStoreConfig) -> None:
        self._directory = config.path
        self._cursors: OrderedDict[str, tuple[int, int, int]] = OrderedDict()  # file -> inode, lines, bytes behind them
        self._lock = threading.Lock()

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        if not records:
            return
        path = self._path(exec_id)
        data = "".join(log_lines.dump(record) for record in records).encode()
        try:
            descriptor = self._open(path)
            try:
                if _torn(descriptor):
                    data = b"\n" + data
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise KitaruBackendError(f"the log file {path} cannot be written: {error.strerror}.") from error

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        path = self._path(exec_id)
        try:
            if call_id is None:
                return self._read_on(path, after, limit)
            return log_lines.selected((record for _, record in _records(path, 0)), call_id, after, limit)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise KitaruLogRetrievalError(f"the log file {path} cannot be read: {error.strerror}.") from error

    def delete(self, exec_id: str) -> None:
        path = self._path(exec_id)
        try:
            os.unlink(path)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise KitaruBackendError(f"the log file {path} cannot be removed: {error.strerror}.") from error

    def _path(self, exec_id: str) -> str:
        return os.path.join(self._directory, f"{log_lines.check_exec_id(exec_id)}.jsonl")

    def _open(self, path: str) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            return os.open(path, flags, 0o600)

    def _read_on(self, path: str, after: int, limit: int | None) -> list[LogRecord]:
        """Lines behind the first ``after``. Whoever follows a log asks for what comes behind the last line it was
        given: where that ended is remembered, so that a look at a long log costs no more than its new lines."""
        status = os.stat(path)
        inode, lines, place = status.st_ino, 0, 0
        with self._lock:
            known = self._cursors.get(path)
        if known is not None and known[0] == inode and known[1] <= after and known[2] <= status.st_size:
            lines, place = known[1:]
        found: list[LogRecord] = []
        for end, record in _records(path, place):
            if limit is not None and len(found) >= limit:
                break
            lines += 1
            place = end
            if lines > after:
                found.append(record)
        with self._lock:
            self._cursors[path] = (inode, lines, place)
            self._cursors.move_to_end(path)
            if len(self._cursors) > _CURSORS_MAX:
                self._cursors.popitem(last=False)
        return found


def _records(path: str, place: int) -> Iterator[tuple[int, LogRecord]]:
    """The lines from byte ``place`` on, each with the byte behind it."""
    with open(path, "rb") as file:
        file.seek(place)
        for line in file:
            place += len(line)
            record = log_lines.parse(line) if line.endswith(b"\n") else None
            if record is not None:
                yield place, record


def _torn(descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    return size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"

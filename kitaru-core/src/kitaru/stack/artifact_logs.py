"""The log store of stacks without one of their own: lines as objects in the stack's artifact store."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kitaru.errors import KitaruArtifactNotFoundError, KitaruError, KitaruLogRetrievalError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines
from kitaru.stack.components import ArtifactStore

_PREFIX = "logs/"
_CACHE_EXECUTIONS_MAX = 16
_CACHE_BYTES_MAX = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArtifactLogStoreConfig:
    """``artifact_store`` is the store to use, as ``{"flavor": ..., "settings": {...}}``."""

    artifact_store: Mapping[str, Any]

    def __post_init__(self) -> None:
        told = self.artifact_store
        if not isinstance(told, Mapping) or not isinstance(told.get("flavor"), str):
            raise ValueError("artifact_store must name a flavor and its settings")


class ArtifactLogStore:
    """One object per append: ``logs/<exec_id>/<time>-<writer>-<number>.jsonl``. See ``LogStore``.

    Objects are read in the order of their names: by the time of the append in microseconds, then by writer. Appends of
    one process never change places, also when its clock is set back; those of several are in the order of their
    clocks. An append is there as a whole or not at all. Objects never change, so what was read is kept (up to 32 MiB)
    and whoever follows a log fetches only what is new.
    """

    def __init__(self, config: ArtifactLogStoreConfig) -> None:
        from kitaru.plugins.manager import plugin_manager

        told = config.artifact_store
        flavor = plugin_manager().flavor("artifact_store", told["flavor"])
        self._store: ArtifactStore = flavor.build(told.get("settings") or {})
        self._writer = os.urandom(6).hex()
        self._lock = threading.Lock()
        self._moment = 0
        self._seen: OrderedDict[str, dict[str, list[LogRecord]]] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        """See ``LogStore``. Raises what the artifact store's ``put`` raises."""
        folder = self._folder(exec_id)
        if not records:
            return
        with self._lock:
            self._moment = max(time.time_ns() // 1000, self._moment + 1)
            moment = self._moment
        data = "".join(log_lines.dump(record) for record in records).encode()
        self._store.put(f"{folder}{moment:017d}-{self._writer}.jsonl", data)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        folder = self._folder(exec_id)
        try:
            lines = self._lines(exec_id, folder)
        except KitaruLogRetrievalError:
            raise
        except KitaruError as error:
            raise KitaruLogRetrievalError(f"the logs of execution {exec_id} cannot be read: {error}") from error
        return log_lines.selected(lines, call_id, after, limit)

    def delete(self, exec_id: str) -> None:
        """See ``LogStore``. Interrupted in the middle, a second call deletes the rest."""
        for key in list(self._store.list(self._folder(exec_id))):
            self._store.delete(key)
        with self._lock:
            self._forget(exec_id)

    @staticmethod
    def _folder(exec_id: str) -> str:
        return f"{_PREFIX}{log_lines.check_exec_id(exec_id)}/"

    def _lines(self, exec_id: str, folder: str) -> list[LogRecord]:
        keys = list(self._store.list(folder))
        with self._lock:
            seen = dict(self._seen.get(exec_id, {}))
        found: list[LogRecord] = []
        chunks: dict[str, list[LogRecord]] = {}
        size = 0
        for key in keys:
            chunk = seen.get(key)
            if chunk is None:
                try:
                    data = self._store.get(key)
                except KitaruArtifactNotFoundError:  # deleted since it was listed
                    continue
                chunk = [one for line in data.split(b"\n") if line and (one := log_lines.parse(line)) is not None]
            chunks[key] = chunk
            size += sum(len(one.message) + 256 for one in chunk)
            found += chunk
        self._keep(exec_id, chunks, size)
        return found

    def _keep(self, exec_id: str, chunks: dict[str, list[LogRecord]], size: int) -> None:
        with self._lock:
            self._forget(exec_id)
            self._seen[exec_id] = chunks
            self._sizes[exec_id] = size
            while len(self._seen) > _CACHE_EXECUTIONS_MAX or sum(self._sizes.values()) > _CACHE_BYTES_MAX:
                self._forget(next(iter(self._seen)))

    def _forget(self, exec_id: str) -> None:
        self._seen.pop(exec_id, None)
        self._sizes.pop(exec_id, None)

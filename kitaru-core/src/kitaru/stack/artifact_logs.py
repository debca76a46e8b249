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
_SEEN_EXECUTIONS_MAX = 64


@dataclass(frozen=True, slots=True)
class ArtifactLogStoreConfig:
    """``artifact_store`` is the store to use, as ``{"flavor": ..., "settings": {...}}``."""

    artifact_store: Mapping[str, Any]

    def __post_init__(self) -> None:
        told = self.artifact_store
        if not isinstance(told, Mapping) or not isinstance(told.get("flavor"), str):
            raise ValueError("artifact_store must name a flavor and its settings")


class ArtifactLogStore:
    """One object per append: ``logs/<exec_id>/<time>-<writer>.jsonl``. See ``LogStore``.

    An append is there as a whole or not at all, and objects never change. They are read in the order of their names: by
    the time of the append in microseconds, then by writer. Appends of one process never change places, also when its
    clock is set back; those of several are in the order of their clocks. What has been read once keeps its place in
    front of what comes later, whatever its time, so that whoever follows a log misses nothing and fetches only what is
    new.
    """

    def __init__(self, config: ArtifactLogStoreConfig) -> None:
        from kitaru.plugins.manager import plugin_manager

        told = config.artifact_store
        flavor = plugin_manager().flavor("artifact_store", told["flavor"])
        self._store: ArtifactStore = flavor.build(told.get("settings") or {})
        self._writer = os.urandom(6).hex()
        self._lock = threading.Lock()
        self._moment = 0
        self._seen: OrderedDict[str, dict[str, int]] = OrderedDict()  # objects in the order they were read, and lines

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
        found: list[LogRecord] = []
        try:
            for key, count in self._objects(exec_id, folder):
                if limit is not None and len(found) >= limit:
                    break
                if call_id is None and count is not None and count <= after:  # not fetched: it would be skipped
                    after -= count
                    continue
                chunk = self._fetched(exec_id, key)
                wanted = [one for one in chunk if call_id in (None, one.call_id)]
                found += wanted[after:]
                after = max(after - len(wanted), 0)
        except KitaruLogRetrievalError:
            raise
        except KitaruError as error:
            raise KitaruLogRetrievalError(f"the logs of execution {exec_id} cannot be read: {error}") from error
        return found if limit is None else found[:limit]

    def delete(self, exec_id: str) -> None:
        """See ``LogStore``. Interrupted in the middle, a second call deletes the rest."""
        for key in list(self._store.list(self._folder(exec_id))):
            self._store.delete(key)
        with self._lock:
            self._seen.pop(exec_id, None)

    @staticmethod
    def _folder(exec_id: str) -> str:
        return f"{_PREFIX}{log_lines.check_exec_id(exec_id)}/"

    def _objects(self, exec_id: str, folder: str) -> list[tuple[str, int | None]]:
        """The objects of an execution, with their numbers of lines as far as they are known."""
        keys = list(self._store.list(folder))
        present = set(keys)
        with self._lock:
            seen = {key: count for key, count in self._seen.get(exec_id, {}).items() if key in present}
        return [*seen.items(), *((key, None) for key in keys if key not in seen)]

    def _fetched(self, exec_id: str, key: str) -> list[LogRecord]:
        try:
            data = self._store.get(key)
        except KitaruArtifactNotFoundError:  # deleted since it was listed
            return []
        chunk = [one for line in data.split(b"\n") if line and (one := log_lines.parse(line)) is not None]
        with self._lock:
            self._seen.setdefault(exec_id, {}).setdefault(key, len(chunk))
            self._seen.move_to_end(exec_id)
            if len(self._seen) > _SEEN_EXECUTIONS_MAX:
                self._seen.popitem(last=False)
        return chunk

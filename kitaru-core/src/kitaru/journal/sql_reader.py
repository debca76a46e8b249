"""What reads a journal in an SQL database, on a connection of its own: what both databases ask in the same words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from kitaru.journal import sql_rows as rows
from kitaru.journal.records import (
    EndedQuery,
    Entry,
    ExecutionQuery,
    ExecutionRecord,
    Payload,
    Tally,
    TallyQuery,
    WaitRecord,
)
from kitaru.journal.transitions import Alive, not_found


class SqlReader(ABC):
    """All queries of one journal; each has the contract of the journal's method of its name. Thread-safe."""

    @abstractmethod
    def _all(self, doing: str, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement of :mod:`sql_rows`."""

    def get(self, exec_id: str) -> ExecutionRecord:
        found = self._all("read an execution", rows.GET_EXECUTION, (exec_id,))
        if not found:
            raise not_found(exec_id)
        return rows.read_execution(found[0])

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        found = self._all("find an execution", rows.FIND_EXECUTION, (flow_name, idempotency_key))
        return rows.read_execution(found[0]) if found else None

    def find_cached(self, cache_key: bytes) -> Payload | None:
        found = self._all("look up a cached result", rows.FIND_CACHED, (cache_key,))
        if not found:
            return None
        codec, digest, size, ref, data = found[0]
        return Payload(codec, digest, size, data, ref)

    @abstractmethod
    def asked_to_end(self, numbers: Sequence[int]) -> list[str]:
        """Ids of the executions among these row numbers whose cancellation was requested."""

    @abstractmethod
    def entries(self, exec_id: str, after: int, prefix: str | None) -> list[Entry]: ...

    @abstractmethod
    def waits(self, exec_id: str, open_only: bool) -> list[WaitRecord]: ...

    @abstractmethod
    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]: ...

    @abstractmethod
    def ended(self, query: EndedQuery) -> Sequence[str]: ...

    @abstractmethod
    def discarded(self) -> Sequence[str]: ...

    @abstractmethod
    def referenced(self, refs: Sequence[str]) -> set[str]: ...

    @abstractmethod
    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]: ...

    @abstractmethod
    def close(self) -> None: ...

    @abstractmethod
    def mark_forked(self) -> None:
        """In a forked child: refuse every further use, and close nothing: the connection is the parent's."""

    # Last in the class: from here on, `list` names this method and not the type.

    @abstractmethod
    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]: ...

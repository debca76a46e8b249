"""What reads a journal in an SQL database, on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

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
from kitaru.journal.transitions import Alive


class Reader(Protocol):
    """All queries of one journal; each has the contract of the journal's method of its name. Thread-safe."""

    def asked_to_end(self, numbers: Sequence[int]) -> list[str]:
        """Ids of the executions among these row numbers whose cancellation was requested."""

    def get(self, exec_id: str) -> ExecutionRecord: ...

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None: ...

    def entries(self, exec_id: str, after: int, prefix: str | None) -> list[Entry]: ...

    def waits(self, exec_id: str, open_only: bool) -> list[WaitRecord]: ...

    def find_cached(self, cache_key: bytes) -> Payload | None: ...

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]: ...

    def ended(self, query: EndedQuery) -> Sequence[str]: ...

    def discarded(self) -> Sequence[str]: ...

    def referenced(self, refs: Sequence[str]) -> set[str]: ...

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]: ...

    def close(self) -> None: ...

    def mark_forked(self) -> None: ...

    # Last in the class: from here on, `list` names this method and not the type.

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]: ...

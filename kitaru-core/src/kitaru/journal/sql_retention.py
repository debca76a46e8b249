"""Removing and adding whole executions in a SQLite journal; what is stored elsewhere for them is found here too.

Removing has two steps, so that no transaction is long and a kill between any two statements leaves a journal that is
right: :func:`discard` takes the execution's row away, after which it does not exist any more and its idempotency key is
free; its entries, which nothing reaches by then (row numbers are never used twice), are purged piece by piece.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from kitaru.journal import sql_rows as rows
from kitaru.journal import sql_waits, transitions
from kitaru.journal.records import EndedQuery, Entry, ExecutionRecord, Lease, Tally, TallyQuery, WaitRecord
from kitaru.journal.sql_reader import SqlReader
from kitaru.journal.transitions import FINISHED, Alive

Execute = Callable[..., Any]

_ENDED = "('completed', 'failed', 'cancelled')"
# What another execution needs stays: a parent reads its children, and a replay names its original. The originals of
# replays and children go once those who need them are gone.
_REMOVABLE = (
    "SELECT no, exec_id FROM executions AS own WHERE exec_id IN (SELECT value FROM json_each(?)) "  # noqa: S608
    f"AND status IN {_ENDED} AND NOT EXISTS (SELECT 1 FROM executions WHERE exec_id = own.parent_exec_id) "
    "AND NOT EXISTS (SELECT 1 FROM executions WHERE original_exec_id IS NOT NULL AND original_exec_id = own.exec_id) "
    "AND NOT EXISTS (SELECT 1 FROM executions WHERE parent_exec_id IS NOT NULL AND parent_exec_id = own.exec_id "
    f"AND status NOT IN {_ENDED})"
)
_PURGE = (
    "DELETE FROM entries WHERE exec_no = ?1 AND seq IN "
    "(SELECT seq FROM entries WHERE exec_no = ?1 ORDER BY seq DESC LIMIT ?2)"
)
_REFERENCED = (
    "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM entries WHERE ref = value AND ref IS NOT NULL) "
    "OR EXISTS (SELECT 1 FROM executions WHERE result_ref = value AND result_ref IS NOT NULL) "
    "OR EXISTS (SELECT 1 FROM waits WHERE answer_ref = value AND answer_ref IS NOT NULL)"
)


class SqlRetention:
    """What ``SqliteJournal`` inherits: its methods for whole executions."""

    _reader: SqlReader

    @abstractmethod
    def _execute(self, sql: str, bindings: Sequence[Any] = ()) -> Any: ...

    @abstractmethod
    def _write(self, doing: str, *, durable: bool = False) -> AbstractContextManager[None]: ...

    def discard(self, exec_ids: Sequence[str]) -> Sequence[str]:
        with self._write("remove executions"):
            return discard(self._execute, exec_ids)

    def purge(self, exec_id: str, limit: int) -> bool:
        with self._write("delete entries of a removed execution"):
            return purge(self._execute, exec_id, limit)

    def forget_discarded(self, exec_id: str) -> None:
        with self._write("forget a removed execution"):
            forget(self._execute, exec_id)

    def insert(self, record: ExecutionRecord, entries: Sequence[Entry], waits: Sequence[WaitRecord] = ()) -> bool:
        made = transitions.arrived(record)
        with self._write("import an execution"):
            if self._execute(rows.GET_EXECUTION, (record.exec_id,)).fetchone() is not None:
                return False
            insert(self._execute, made, entries, waits)
            return True

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]:
        return self._reader.tallies(query, alive)

    def ended(self, query: EndedQuery) -> Sequence[str]:
        return self._reader.ended(query)

    def discarded(self) -> Sequence[str]:
        return self._reader.discarded()

    def referenced(self, refs: Sequence[str]) -> set[str]:
        return self._reader.referenced(refs)


def discard(execute: Execute, exec_ids: Sequence[str]) -> list[str]:
    """See ``Journal.discard``. Runs inside the caller's transaction."""
    found = execute(_REMOVABLE, (json.dumps(list(exec_ids)),)).fetchall()
    for no, exec_id in found:
        execute("INSERT INTO discarded (no, exec_id) VALUES (?, ?)", (no, exec_id))
        execute("DELETE FROM executions WHERE no = ?", (no,))
    return [exec_id for _, exec_id in found]


def purge(execute: Execute, exec_id: str, limit: int) -> bool:
    """See ``Journal.purge``. Runs inside the caller's transaction."""
    for (no,) in execute("SELECT no FROM discarded WHERE exec_id = ?", (exec_id,)).fetchall():
        execute("DELETE FROM waits WHERE exec_no = ?", (no,))
        execute(_PURGE, (no, limit))
        if execute("SELECT 1 FROM entries WHERE exec_no = ? LIMIT 1", (no,)).fetchone() is not None:
            return False
    return True


def forget(execute: Execute, exec_id: str) -> None:
    """See ``Journal.forget_discarded``. Runs inside the caller's transaction."""
    execute(
        "DELETE FROM discarded WHERE exec_id = ? AND NOT EXISTS (SELECT 1 FROM entries WHERE exec_no = discarded.no)",
        (exec_id,),
    )


def insert(execute: Execute, record: ExecutionRecord, entries: Sequence[Entry], waits: Sequence[WaitRecord]) -> None:
    """Put an execution in whose id is free. Runs inside the caller's transaction."""
    if record.idempotency_key is not None:
        taken = execute(rows.FIND_EXECUTION, (record.flow_name, record.idempotency_key)).fetchone()
        if taken is not None:
            record.idempotency_key = None
    execute(rows.INSERT_EXECUTION, rows.execution_row(record))
    no = execute("SELECT no FROM executions WHERE exec_id = ?", (record.exec_id,)).fetchone()[0]
    lease = Lease(record.exec_id, no, record.fence, 0)
    for entry in entries:
        execute(rows.PUT_ENTRY, rows.entry_row(lease, entry))
    for wait in waits:
        sql_waits.put(execute, no, wait)


def discarded(execute: Execute) -> list[str]:
    """See ``Journal.discarded``."""
    return [row[0] for row in execute("SELECT exec_id FROM discarded ORDER BY no").fetchall()]


def referenced(execute: Execute, refs: Sequence[str]) -> set[str]:
    """See ``Journal.referenced``."""
    return {row[0] for row in execute(_REFERENCED, (json.dumps(list(refs)),)).fetchall()}


def ended(execute: Execute, query: EndedQuery) -> list[str]:
    """See ``Journal.ended``."""
    statuses = [status for status in query.statuses or tuple(FINISHED) if status in FINISHED]
    sql = (
        "SELECT exec_id FROM (SELECT no, exec_id, ended_at, status, "  # noqa: S608
        "row_number() OVER (PARTITION BY flow_name ORDER BY no DESC) AS place "
        f"FROM executions WHERE status IN {_ENDED} AND (CAST(?1 AS TEXT) IS NULL OR flow_name = ?1)) AS ranked "
        "WHERE status IN (SELECT value FROM json_each(?2)) AND (CAST(?3 AS BIGINT) IS NULL OR ended_at < ?3) "
        "AND place > ?4 ORDER BY ended_at, no"
    )
    bindings = (query.flow_name, json.dumps(statuses), query.before, query.keep_last)
    return [row[0] for row in execute(sql, bindings).fetchall()]

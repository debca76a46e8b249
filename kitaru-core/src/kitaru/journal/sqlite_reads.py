"""Reading a SQLite journal: its own connection, so that readers and the writer do not wait for each other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import apsw

from kitaru.journal import sql_retention, sql_waits
from kitaru.journal import sql_rows as rows
from kitaru.journal.migrations import SCHEMA_VERSION
from kitaru.journal.records import (
    EndedQuery,
    Entry,
    ExecutionQuery,
    ExecutionRecord,
    Tally,
    TallyQuery,
    WaitRecord,
)
from kitaru.journal.sql_reader import SqlReader
from kitaru.journal.sqlite_errors import refusal, translated
from kitaru.journal.sqlite_open import file_system, library_version, wal_is_sound
from kitaru.journal.tallies import SQL
from kitaru.journal.transitions import Alive, not_found

#: File systems on which SQLite's locks and shared memory do not work between hosts.
_NETWORK_FILE_SYSTEMS = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "ceph", "glusterfs"))
# Connections of the parent process that a forked child holds but must not touch.
_FOREVER = 2**62
_inherited: list[Any] = []

# True for a started execution whose owner is gone; its one binding is the time. The process is looked for last.
_GONE = "(owner IS NULL OR coalesce(lease_expires_at < ?, 0) OR kitaru_gone(owner))"
# What a started execution is called; again one binding each. The cheaper question is asked first, which CASE enforces.
_CALLED = {
    "running": f"CASE WHEN {rows.HAS_OPEN_WAITS} THEN 0 ELSE NOT {_GONE} END",
    "waiting": f"CASE WHEN {rows.HAS_OPEN_WAITS} THEN NOT {_GONE} ELSE 0 END",
    "interrupted": _GONE,
}


def _newest(index: str, where: Sequence[str]) -> str:
    return f"SELECT no FROM (SELECT no FROM executions {index} WHERE {' AND '.join(where)} ORDER BY no DESC LIMIT ?)"  # noqa: S608  constants; values are bound


class SqliteReader(SqlReader):
    """All queries of one journal file. Thread-safe: one query at a time."""

    def __init__(self, path: str, now: Callable[[], int]) -> None:
        self._path = path
        self._now = now
        self._lock = threading.Lock()
        self._forked = False
        self._connection: apsw.Connection | None = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE)
        self._connection.set_busy_timeout(30_000)
        self._connection.create_scalar_function("kitaru_gone", cast("Any", self._is_gone), 1)
        self._alive: Alive | None = None
        self._gone: dict[str, bool] = {}

    @contextmanager
    def _reading(self, doing: str) -> Iterator[apsw.Connection]:
        with self._lock:
            if self._connection is None:
                raise refusal(self._path, forked=self._forked)
            with translated(self._path, doing):
                yield self._connection

    def _all(self, doing: str, sql: str, bindings: Sequence[Any], alive: Alive | None = None) -> list[tuple[Any, ...]]:
        """The rows of a query; ``alive`` for one that uses :data:`_GONE`."""
        with self._reading(doing) as connection:
            self._alive, self._gone = alive, {}
            return connection.execute(sql, tuple(bindings)).fetchall()

    def _is_gone(self, owner: str | None) -> bool:
        """``kitaru_gone`` in SQL: asked only of rows that a query walks, and once per owner and query."""
        if owner is None:  # SQL promises no order among the terms of an OR: the one before may not have been looked at
            return True
        gone = self._gone.get(owner)
        if gone is None:
            assert self._alive is not None
            gone = self._gone[owner] = self._alive(rows.read_owner(owner)) is False
        return gone

    def asked_to_end(self, numbers: Sequence[int]) -> list[str]:
        """Ids of the executions among these row numbers whose cancellation was requested."""
        # One bound value, however many numbers: SQLite limits the variables of a statement.
        found = self._all("look for cancellations", rows.ASKED_TO_END, (json.dumps(numbers),))
        return [row[0] for row in found]

    def entries(self, exec_id: str, after: int, prefix: str | None) -> list[Entry]:
        with self._reading("read entries") as connection:
            found = connection.execute("SELECT no FROM executions WHERE exec_id = ?", (exec_id,)).fetchone()
            if found is None:
                raise not_found(exec_id)
            if prefix is None:
                cursor = connection.execute(rows.ENTRIES, (found[0], after))
            else:
                cursor = connection.execute(rows.ENTRIES_UNDER, (found[0], after, len(prefix), prefix))
            return rows.read_entries(cursor)

    def waits(self, exec_id: str, open_only: bool) -> list[WaitRecord]:
        with self._reading("read waits") as connection:
            found = connection.execute("SELECT no FROM executions WHERE exec_id = ?", (exec_id,)).fetchone()
            if found is None:
                raise not_found(exec_id)
            return sql_waits.listed(connection.execute, found[0], exec_id, open_only=open_only)

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]:
        status = f"CASE WHEN status = 'running' AND {_GONE} THEN 'interrupted' ELSE status END"
        where = "(?{0} IS NULL OR flow_name = ?{0}) AND created_at >= ?{1} AND created_at < ?{2}"
        until = query.until if query.until is not None else _FOREVER
        bindings = [self._now(), query.flow_name, query.since or 0, until]
        sql = SQL.format(status=status, where=where.format(2, 3, 4))
        found = self._all("count executions", sql, bindings, alive)
        return [Tally(*row) for row in found if not query.statuses or row[1] in query.statuses]

    def ended(self, query: EndedQuery) -> Sequence[str]:
        with self._reading("look for ended executions") as connection:
            return sql_retention.ended(connection.execute, query)

    def discarded(self) -> Sequence[str]:
        with self._reading("look for removed executions") as connection:
            return sql_retention.discarded(connection.execute)

    def referenced(self, refs: Sequence[str]) -> set[str]:
        with self._reading("look for references") as connection:
            return sql_retention.referenced(connection.execute, refs)

    def _of_statuses(
        self, statuses: Sequence[str], where: Sequence[str], values: Sequence[Any], limit: int
    ) -> tuple[str, list[Any]]:
        """SQL of the row numbers of the newest executions that have one of these public statuses: for each stored one
        a walk of its own along an index, so that a rare status is not looked for among all others."""
        branches: list[str] = []
        bindings: list[Any] = []
        by_flow = any(one.startswith("flow_name") for one in where)
        for status in statuses:
            if status in ("running", "interrupted"):
                continue
            index = ""
            narrowed = ["status = ?"] if status == "completed" else ["status = ?", "status <> 'completed'"]
            if status != "pending" and by_flow:
                narrowed.append("status NOT IN ('pending', 'running')")
                index = "INDEXED BY executions_by_end"
            branches.append(_newest(index, [*where, *narrowed]))
            bindings += [*values, status, limit]
        called = [_CALLED[status] for status in _CALLED if status in statuses]
        if called:
            # What a started execution is called depends on its owner, and on whether it waits for an answer.
            started = ["status <> 'completed'", "status = 'running'", f"({' OR '.join(called)})"]
            branches.append(_newest("INDEXED BY executions_by_status", [*where, *started]))
            bindings += [*values, *[self._now()] * len(called), limit]
        return " UNION ALL ".join(branches), bindings

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]:
        sql = (
            f"{rows.LIST_EXECUTIONS} WHERE status <> 'completed' "  # noqa: S608  the clause is a constant, values are bound
            f"AND ((status = 'running' AND {_GONE}) OR (status = 'waiting' AND wake_at <= ?)) "
            "AND NOT EXISTS (SELECT 1 FROM executions AS parents WHERE parents.exec_id = executions.parent_exec_id "
            "AND parents.status NOT IN ('completed', 'failed', 'cancelled')) ORDER BY no"
        )
        found = self._all("look for executions to recover", sql, [self._now(), now], alive)
        return [rows.read_execution(row) for row in found]

    def info(self, url: str, durability: str, mode: str) -> dict[str, Any]:
        with self._reading("inspect the journal") as connection:
            check = connection.execute("PRAGMA quick_check(1)").get
            executions = connection.execute("SELECT count(*) FROM executions").get
            size = connection.pragma("page_count") * connection.pragma("page_size")
        kind = file_system(self._path)
        version = library_version()
        notes = []
        if check != "ok":
            notes.append(f"SQLite's quick_check says: {check}")
        if not wal_is_sound(version):
            notes.append("this SQLite has the WAL-reset bug: the journal runs without WAL, which is slower")
        if kind in _NETWORK_FILE_SYSTEMS:
            notes.append(f"the journal lies on {kind}: SQLite needs a local disk; use PostgreSQL to share a journal")
        if kind == "tmpfs":
            notes.append("the journal lies in memory (tmpfs): it does not survive a restart of the machine")
        return {
            "url": url,
            "kind": "sqlite",
            "path": self._path,
            "durability": durability,
            "schema_version": SCHEMA_VERSION,
            "sqlite_version": ".".join(map(str, version)),
            "journal_mode": mode,
            "file_system": kind,
            "bytes": size,
            "executions": executions,
            "sound": check == "ok" and kind not in _NETWORK_FILE_SYSTEMS,
            "notes": notes,
        }

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def mark_forked(self) -> None:
        """In a forked child: refuse every further use. The connection is kept, unused, so that nothing closes it."""
        self._lock = threading.Lock()
        self._forked = True
        _inherited.append(self._connection)
        self._connection = None

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        where: list[str] = []
        bindings: list[Any] = []
        for column, value in (
            ("flow_name", query.flow_name),
            ("stack_name", query.stack_name),
            ("parent_exec_id", query.parent_exec_id),
        ):
            if value is not None:
                where.append(f"{column} = ?")
                bindings.append(value)
        if query.stack_name not in (None, "default"):
            where.append("stack_name <> 'default'")  # lets the partial index serve
        for condition, moment in (("created_at >= ?", query.since), ("created_at < ?", query.until)):
            if moment is not None:
                where.append(condition)
                bindings.append(moment)
        if query.before is not None:
            # Keyset paging by row number: creation times may tie or jump backwards.
            where.append("no < (SELECT no FROM executions WHERE exec_id = ?)")
            bindings.append(query.before)
        limit = -1 if query.limit is None else query.limit
        if query.statuses:
            found, bindings = self._of_statuses(query.statuses, where, bindings, limit)
            where = [f"no IN ({found})"]
        sql = rows.LIST_EXECUTIONS + (f" WHERE {' AND '.join(where)}" if where else "") + " ORDER BY no DESC LIMIT ?"
        bindings.append(limit)
        return [rows.read_execution(row) for row in self._all("list executions", sql, bindings, alive)]

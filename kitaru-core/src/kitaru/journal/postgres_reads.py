"""Reading a PostgreSQL journal: its own connection, so that readers and the writer do not wait for each other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import psycopg

from kitaru.journal import sql_retention, sql_waits
from kitaru.journal import sql_rows as rows
from kitaru.journal.addresses import without_secrets
from kitaru.journal.postgres_open import Connection, connect, refusal, translated
from kitaru.journal.postgres_sql import GONE, PUBLIC, SCHEMA, SCHEMA_VERSION, STORED, statement, values
from kitaru.journal.records import (
    EndedQuery,
    Entry,
    EntryKind,
    ExecutionQuery,
    ExecutionRecord,
    Tally,
    TallyQuery,
    WaitRecord,
)
from kitaru.journal.sql_reader import SqlReader
from kitaru.journal.tallies import costs
from kitaru.journal.transitions import Alive, not_found

T = TypeVar("T")

_CHOSEN = (
    f"SELECT no, flow_name, {PUBLIC} AS called, created_at / 86400000000 AS day, ended_at - started_at AS took "  # noqa: S608
    "FROM executions WHERE (%(flow)s::text IS NULL OR flow_name = %(flow)s) AND created_at >= %(since)s "
    "AND (%(until)s::bigint IS NULL OR created_at < %(until)s)"
).replace(f"WHEN {rows.HAS_OPEN_WAITS} THEN 'waiting' ", "")  # a tally counts owners, not waits
_COUNTED = (
    f"SELECT flow_name, called, day, count(*), count(took), coalesce(sum(took), 0)::bigint, coalesce(max(took), 0) "  # noqa: S608
    f"FROM ({_CHOSEN}) AS chosen GROUP BY flow_name, called, day ORDER BY day, flow_name, called"
)
_NOTED = (
    f"SELECT flow_name, called, day, no, key, attempt, name, detail FROM ({_CHOSEN}) AS chosen "  # noqa: S608
    "JOIN entries ON exec_no = no AND kind = 9 AND detail IS NOT NULL ORDER BY no, seq"
)


class PostgresReader(SqlReader):
    """All queries of one journal. Thread-safe: one query at a time. A connection that broke is made again, once."""

    def __init__(self, url: str, durability: str, now: Callable[[], int]) -> None:
        self._url = url
        self._durability = durability
        self._now = now
        self._lock = threading.Lock()
        self._forked = False
        self._closed = False
        self._connection: Connection | None = None

    def _read(self, doing: str, ask: Callable[[Connection], T]) -> T:
        if self._forked or self._closed:
            raise refusal(self._url, forked=self._forked)
        with self._lock, translated(self._url, doing):
            fresh = self._connection is None or self._connection.broken or self._connection.closed
            if fresh:
                self._connection = connect(self._url, self._durability, doing)
            assert self._connection is not None
            try:
                return ask(self._connection)
            except (psycopg.OperationalError, psycopg.InterfaceError):
                if fresh:
                    raise
                self._connection.close()
                self._connection = connect(self._url, self._durability, doing)
                return ask(self._connection)

    def _all(self, doing: str, sql: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement as SQLite writes it."""
        return self._read(doing, lambda connection: _execute(connection)(sql, bindings).fetchall())

    def _named(self, doing: str, sql: str, bindings: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        """The rows of a statement of PostgreSQL's own."""
        return self._read(doing, lambda connection: connection.execute(sql, bindings).fetchall())

    def _owners(self, alive: Alive) -> dict[str, Any]:
        """The bindings of :data:`GONE`."""
        found = self._named("look for owners", "SELECT DISTINCT owner FROM executions WHERE status = 'running'", {})
        owners = [owner for (owner,) in found if owner is not None]
        return {"now": self._now(), "gone": [one for one in owners if alive(rows.read_owner(one)) is False]}

    def asked_to_end(self, numbers: Sequence[int]) -> list[str]:
        """Ids of the executions among these row numbers whose cancellation was requested."""
        sql = "SELECT exec_id FROM executions WHERE cancel_requested = 1 AND no = ANY(%(numbers)s) ORDER BY no"
        return [row[0] for row in self._named("look for cancellations", sql, {"numbers": list(numbers)})]

    def entries(self, exec_id: str, after: int, prefix: str | None) -> list[Entry]:
        no = self._number(exec_id)
        if prefix is None:
            return rows.read_entries(self._all("read entries", rows.ENTRIES, (no, after)))
        return rows.read_entries(self._all("read entries", rows.ENTRIES_UNDER, (no, after, len(prefix), prefix)))

    def waits(self, exec_id: str, open_only: bool) -> list[WaitRecord]:
        no = self._number(exec_id)
        return self._read(
            "read waits",
            lambda connection: sql_waits.listed(_execute(connection), no, exec_id, open_only=open_only),
        )

    def _number(self, exec_id: str) -> int:
        found = self._all("read an execution", rows.NUMBER, (exec_id,))
        if not found:
            raise not_found(exec_id)
        return int(found[0][0])

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]:
        bindings = {
            **self._owners(alive),
            "flow": query.flow_name,
            "since": query.since or 0,
            "until": query.until,
        }
        groups = {
            (row[0], row[1], row[2]): Tally(*row[:7]) for row in self._named("count executions", _COUNTED, bindings)
        }
        noted: dict[tuple[Any, ...], list[Entry]] = {}
        for flow, called, day, no, key, attempt, name, detail in self._named("add up costs", _NOTED, bindings):
            entry = Entry(EntryKind.METADATA, f"{no}/{key}", name, attempt, detail=json.loads(detail))
            noted.setdefault((flow, called, day), []).append(entry)
        for place, entries in noted.items():
            groups[place].cost, groups[place].cost_reused = costs(entries)
        return [one for one in groups.values() if not query.statuses or one.status in query.statuses]

    def ended(self, query: EndedQuery) -> Sequence[str]:
        return self._read(
            "look for ended executions", lambda connection: sql_retention.ended(_execute(connection), query)
        )

    def discarded(self) -> Sequence[str]:
        return self._read(
            "look for removed executions", lambda connection: sql_retention.discarded(_execute(connection))
        )

    def referenced(self, refs: Sequence[str]) -> set[str]:
        return self._read(
            "look for references", lambda connection: sql_retention.referenced(_execute(connection), refs)
        )

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]:
        sql = (
            f"{statement(rows.LIST_EXECUTIONS)[0]} WHERE status <> 'completed' "  # noqa: S608  constants; values are bound
            f"AND ((status = 'running' AND {GONE}) OR (status = 'waiting' AND wake_at <= %(due)s)) "
            "AND NOT EXISTS (SELECT 1 FROM executions AS parents WHERE parents.exec_id = executions.parent_exec_id "
            "AND parents.status NOT IN ('completed', 'failed', 'cancelled')) ORDER BY no"
        )
        found = self._named("look for executions to recover", sql, {**self._owners(alive), "due": now})
        return [rows.read_execution(row) for row in found]

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        where: list[str] = []
        bindings: dict[str, Any] = {}
        for column, value in (
            ("flow_name", query.flow_name),
            ("stack_name", query.stack_name),
            ("parent_exec_id", query.parent_exec_id),
        ):
            if value is not None:
                where.append(f"{column} = %({column})s")
                bindings[column] = value
        if query.since is not None:
            where.append("created_at >= %(since)s")
            bindings["since"] = query.since
        if query.until is not None:
            where.append("created_at < %(until)s")
            bindings["until"] = query.until
        if query.before is not None:
            where.append("no < (SELECT no FROM executions WHERE exec_id = %(before)s)")
            bindings["before"] = query.before
        if query.statuses:
            stored = sorted({one for status in query.statuses for one in STORED.get(status, (status,))})
            where += ["status = ANY(%(stored)s)", f"{PUBLIC} = ANY(%(statuses)s)"]
            bindings.update(self._owners(alive), stored=stored, statuses=list(query.statuses))
        sql = statement(rows.LIST_EXECUTIONS)[0] + (f" WHERE {' AND '.join(where)}" if where else "")
        bindings["limit"] = query.limit
        found = self._named("list executions", f"{sql} ORDER BY no DESC LIMIT %(limit)s", bindings)
        return [rows.read_execution(row) for row in found]

    def version(self) -> int:
        """A number that grows with every transaction that has written anything."""
        found = self._named("look for changes", "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint", {})
        return int(found[0][0])

    def info(self, durability: str) -> dict[str, Any]:
        server, size, executions, recovering = self._named(
            "inspect the journal",
            "SELECT version(), (SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = %(schema)s AND c.relkind = 'r'), "
            "(SELECT count(*) FROM executions), pg_is_in_recovery()",
            {"schema": SCHEMA},
        )[0]
        notes = ["this server is a standby: nothing can be written"] if recovering else []
        return {
            "url": without_secrets(self._url),
            "kind": "postgresql",
            "durability": durability,
            "schema_version": SCHEMA_VERSION,
            "server": server,
            "bytes": size,
            "executions": executions,
            "sound": not recovering,
            "notes": notes,
        }

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()

    def mark_forked(self) -> None:
        """In a forked child: refuse every further use, and close nothing, which would end the parent's connection."""
        self._lock = threading.Lock()
        self._forked = True


def _execute(connection: Connection) -> Callable[..., Any]:
    def execute(sql: str, bindings: Sequence[Any] = ()) -> Any:
        text, numbered = statement(sql)
        return connection.execute(text, values(bindings, numbered=numbered))

    return execute

"""The PostgreSQL journal's schema and statements; most statements are those of SQLite, with other marks for values."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

from kitaru.journal import sql_rows as rows

#: All tables are in a schema of this name.
SCHEMA = "kitaru"

_FIRST = """
CREATE TABLE executions (
    no BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fence BIGINT NOT NULL,
    status TEXT NOT NULL,
    owner TEXT,
    lease_expires_at BIGINT,
    cancel_requested SMALLINT NOT NULL DEFAULT 0,
    owners_lost INTEGER NOT NULL DEFAULT 0,
    wake_at BIGINT,
    exec_id TEXT NOT NULL UNIQUE,
    flow_name TEXT NOT NULL,
    stack_name TEXT,
    idempotency_key TEXT,
    created_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    parent_exec_id TEXT,
    parent_call_key TEXT,
    original_exec_id TEXT,
    status_reason TEXT,
    seed BYTEA NOT NULL,
    inputs_digest BYTEA,
    result_codec TEXT,
    result_digest BYTEA,
    result_size BIGINT,
    result_ref TEXT,
    entrypoint TEXT NOT NULL,
    spec TEXT NOT NULL,
    failure TEXT,
    result_data BYTEA,
    inputs BYTEA NOT NULL
);
CREATE INDEX executions_by_flow ON executions (flow_name, no);
CREATE INDEX executions_by_status ON executions (status, no) WHERE status <> 'completed';
CREATE INDEX executions_by_stack ON executions (stack_name, no) WHERE stack_name <> 'default';
CREATE INDEX executions_by_parent ON executions (parent_exec_id) WHERE parent_exec_id IS NOT NULL;
CREATE UNIQUE INDEX executions_by_key ON executions (flow_name, idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX executions_by_end ON executions (flow_name, status, no) WHERE status NOT IN ('pending', 'running');
CREATE INDEX executions_by_original ON executions (original_exec_id) WHERE original_exec_id IS NOT NULL;
CREATE INDEX executions_by_result_ref ON executions (result_ref) WHERE result_ref IS NOT NULL;

CREATE TABLE entries (
    exec_no BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT NOT NULL,
    inputs_digest BYTEA,
    codec TEXT,
    digest BYTEA,
    size BIGINT,
    ref TEXT,
    cache_key BYTEA,
    inputs BYTEA,
    data BYTEA,
    detail TEXT,
    PRIMARY KEY (exec_no, seq)
);
CREATE INDEX entries_by_cache_key ON entries (cache_key) WHERE cache_key IS NOT NULL;
CREATE INDEX entries_by_ref ON entries (ref) WHERE ref IS NOT NULL;
CREATE INDEX entries_of_metadata ON entries (exec_no, seq) WHERE kind = 9;

CREATE TABLE waits (
    exec_no BIGINT NOT NULL,
    key TEXT NOT NULL,
    wait_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    question TEXT,
    schema TEXT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT,
    has_default SMALLINT NOT NULL,
    resolved_at BIGINT,
    answer_codec TEXT,
    answer_digest BYTEA,
    answer_size BIGINT,
    answer_ref TEXT,
    answer_data BYTEA,
    PRIMARY KEY (exec_no, key)
);
CREATE UNIQUE INDEX waits_by_name ON waits (exec_no, name);
CREATE INDEX waits_open ON waits (exec_no) WHERE status = 'open';
CREATE INDEX waits_by_ref ON waits (answer_ref) WHERE answer_ref IS NOT NULL;

CREATE TABLE discarded (no BIGINT PRIMARY KEY, exec_id TEXT NOT NULL);
"""

#: (number, SQL script), ascending; a released one is never edited. All that are missing run in one transaction.
MIGRATIONS: tuple[tuple[int, str], ...] = ((1, _FIRST),)
SCHEMA_VERSION = MIGRATIONS[-1][0]

#: Held by whoever brings the schema up to date. "Ktru" and a number.
MIGRATION_LOCK = 0x4B747275_0001
#: Held by transactions that write rows of more than one execution: their order would differ otherwise (deadlocks).
WRITE_LOCK = 0x4B747275_0002

_TYPES = {
    **dict.fromkeys(("exec_no", "seq", "fence", "started_at", "ended_at", "size"), "bigint"),
    "kind": "smallint",
    "attempt": "integer",
    **dict.fromkeys(("inputs_digest", "digest", "cache_key", "inputs", "data"), "bytea"),
}
_VALUES = ", ".join(f"%s::{_TYPES.get(name, 'text')}" for name in rows.ENTRY_COLUMNS.split(", "))
#: One round trip: the execution's row is locked against a claim while its token is compared and the entry put in.
#: Bindings: row number and token, then those of an entry.
APPEND = (
    f"WITH owned AS (SELECT 1 FROM executions WHERE no = %s AND fence = %s FOR SHARE) "  # noqa: S608
    f"INSERT INTO entries ({rows.ENTRY_COLUMNS}) SELECT {_VALUES} FROM owned"
)

#: True of a started execution whose owner is gone. ``gone`` holds the owners of this host that are.
GONE = "(owner IS NULL OR coalesce(lease_expires_at < %(now)s, false) OR owner = ANY(%(gone)s))"
#: The public status of an execution.
PUBLIC = (
    f"(CASE WHEN status <> 'running' THEN status WHEN {GONE} THEN 'interrupted' "
    f"WHEN {rows.HAS_OPEN_WAITS} THEN 'waiting' ELSE 'running' END)"
)
#: Which stored statuses a public one may be.
STORED = {"running": ("running",), "waiting": ("running", "waiting"), "interrupted": ("running",)}

_MARK = re.compile(r"\?(\d*)")


@functools.lru_cache(maxsize=256)
def statement(sql: str) -> tuple[str, bool]:
    """A statement of :mod:`sql_rows` and its neighbours as PostgreSQL takes it, and whether its values have numbers."""
    text = sql.replace("json_each(?)", "json_array_elements_text(?::json)").replace("x''", "''::bytea")
    text = re.sub(r"json_each\(\?(\d+)\)", r"json_array_elements_text(?\1::json)", text)
    numbered = any(found for found in _MARK.findall(text))
    return _MARK.sub(lambda found: f"%(p{found[1]})s" if numbered else "%s", text), numbered


def values(bindings: Sequence[Any], *, numbered: bool) -> Any:
    """Bindings as :func:`statement` wants them."""
    return {f"p{place}": value for place, value in enumerate(bindings, 1)} if numbered else tuple(bindings)

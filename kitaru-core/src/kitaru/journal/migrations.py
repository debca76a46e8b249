"""The SQLite journal's schema, as numbered migrations. A released one is never edited: add the next number.

``PRAGMA user_version`` holds the newest applied number; ``application_id`` tells our files from other SQLite files.
"""

from __future__ import annotations

#: "Ktru" in ASCII: marks a SQLite file as a Kitaru journal.
APPLICATION_ID = 0x4B747275

# Small, hot columns come first: SQLite finds a column by walking the row, and every append reads an execution's fence.
_FIRST = """
CREATE TABLE executions (
    no INTEGER PRIMARY KEY AUTOINCREMENT,
    fence INTEGER NOT NULL,
    status TEXT NOT NULL,
    owner TEXT,
    lease_expires_at INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0,
    owners_lost INTEGER NOT NULL DEFAULT 0,
    wake_at INTEGER,
    exec_id TEXT NOT NULL UNIQUE,
    flow_name TEXT NOT NULL,
    stack_name TEXT,
    idempotency_key TEXT,
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    parent_exec_id TEXT,
    parent_call_key TEXT,
    original_exec_id TEXT,
    status_reason TEXT,
    seed BLOB NOT NULL,
    inputs_digest BLOB,
    result_codec TEXT,
    result_digest BLOB,
    result_size INTEGER,
    result_ref TEXT,
    entrypoint TEXT NOT NULL,
    spec TEXT NOT NULL,
    failure TEXT,
    result_data BLOB,
    inputs BLOB NOT NULL
);
CREATE INDEX executions_by_flow ON executions (flow_name, no);
-- Each index on a row that every start writes is one more page before the fsync. These two leave out what most rows
-- have, which a listing finds soon enough by walking from the newest; queries that want them repeat their condition.
CREATE INDEX executions_by_status ON executions (status, no) WHERE status <> 'completed';
CREATE INDEX executions_by_stack ON executions (stack_name, no) WHERE stack_name <> 'default';
CREATE INDEX executions_by_parent ON executions (parent_exec_id) WHERE parent_exec_id IS NOT NULL;
CREATE UNIQUE INDEX executions_by_key ON executions (flow_name, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- One b-tree and no further index on the common row: an execution's entries lie together, in commit order, and a
-- commit dirties one page at its end.
CREATE TABLE entries (
    exec_no INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    key TEXT NOT NULL,
    name TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    inputs_digest BLOB,
    codec TEXT,
    digest BLOB,
    size INTEGER,
    ref TEXT,
    cache_key BLOB,
    inputs BLOB,
    data BLOB,
    detail TEXT,
    PRIMARY KEY (exec_no, seq)
) WITHOUT ROWID;
CREATE INDEX entries_by_cache_key ON entries (cache_key) WHERE cache_key IS NOT NULL;
"""

# Partial indexes: rows without a large value, without metadata, of no replay, still running, pay nothing.
_SECOND = """
CREATE TABLE waits (
    exec_no INTEGER NOT NULL,
    key TEXT NOT NULL,
    wait_id TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    question TEXT,
    schema TEXT,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    has_default INTEGER NOT NULL,
    resolved_at INTEGER,
    answer_codec TEXT,
    answer_digest BLOB,
    answer_size INTEGER,
    answer_ref TEXT,
    answer_data BLOB,
    PRIMARY KEY (exec_no, key)
) WITHOUT ROWID;
CREATE UNIQUE INDEX waits_by_name ON waits (exec_no, name);
-- Small whatever the journal's age: only the questions nobody has answered. Listings count them per execution.
CREATE INDEX waits_open ON waits (exec_no) WHERE status = 'open';

CREATE TABLE discarded (
    no INTEGER PRIMARY KEY,
    exec_id TEXT NOT NULL
);
-- Written when an execution ends or suspends, not when it starts.
CREATE INDEX executions_by_end ON executions (flow_name, status, no) WHERE status NOT IN ('pending', 'running');
CREATE INDEX executions_by_original ON executions (original_exec_id) WHERE original_exec_id IS NOT NULL;
CREATE INDEX executions_by_result_ref ON executions (result_ref) WHERE result_ref IS NOT NULL;
CREATE INDEX entries_by_ref ON entries (ref) WHERE ref IS NOT NULL;
CREATE INDEX entries_of_metadata ON entries (exec_no, seq) WHERE kind = 9;
CREATE INDEX waits_by_ref ON waits (answer_ref) WHERE answer_ref IS NOT NULL;
"""

#: (number, SQL script), ascending. Each runs in a transaction of its own, together with its version number.
MIGRATIONS: tuple[tuple[int, str], ...] = ((1, _FIRST), (2, _SECOND))

#: The newest schema this library can read and write.
SCHEMA_VERSION = MIGRATIONS[-1][0]

"""Waits in a SQLite journal: the statements inside its transactions, and rows as records."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kitaru.errors import KitaruCorruptionError
from kitaru.journal import transitions
from kitaru.journal.records import ExecutionRecord, Payload, WaitRecord

_COLUMNS = (
    "exec_no, key, wait_id, name, status, question, schema, metadata, created_at, expires_at, has_default, "
    "resolved_at, answer_codec, answer_digest, answer_size, answer_ref, answer_data"
)
_INSERT = f"INSERT INTO waits ({_COLUMNS}) VALUES ({', '.join('?' * 17)})"  # noqa: S608
_ALL = f"SELECT {_COLUMNS} FROM waits WHERE exec_no = ? ORDER BY created_at, key"  # noqa: S608
_OPEN = f"SELECT {_COLUMNS} FROM waits WHERE exec_no = ? AND status = 'open' ORDER BY created_at, key"  # noqa: S608
_BY_KEY = f"SELECT {_COLUMNS} FROM waits WHERE exec_no = ? AND key = ?"  # noqa: S608
_BY_ID = f"SELECT {_COLUMNS} FROM waits WHERE exec_no = ? AND wait_id = ?"  # noqa: S608
_NAMES = "SELECT name FROM waits WHERE exec_no = ?1 AND (name = ?2 OR substr(name, 1, length(?2) + 1) = ?2 || '#')"
_RESOLVE = (
    "UPDATE waits SET status = ?, resolved_at = ?, answer_codec = ?, answer_digest = ?, answer_size = ?, "
    "answer_ref = ?, answer_data = ? WHERE exec_no = ? AND key = ?"
)
_STILL_OPEN = (
    "SELECT count(*) FROM waits WHERE exec_no = ? AND status = 'open' AND wait_id IN (SELECT value FROM json_each(?))"
)
_CHILDREN = "SELECT status, wake_at FROM executions WHERE exec_id IN (SELECT value FROM json_each(?))"
_WAKE = "UPDATE executions SET wake_at = ? WHERE exec_id = ? AND status = 'waiting'"
_PARENT = "SELECT parent_exec_id FROM executions WHERE exec_id = ?"

Execute = Callable[..., Any]


def listed(execute: Execute, exec_no: int, exec_id: str, *, open_only: bool) -> list[WaitRecord]:
    """The waits of an execution, oldest first."""
    return [_read(exec_id, row) for row in execute(_OPEN if open_only else _ALL, (exec_no,)).fetchall()]


def opened(execute: Execute, exec_no: int, wait: WaitRecord) -> WaitRecord:
    """Store ``wait`` unless its key has one; see ``Journal.open_wait``."""
    row = execute(_BY_KEY, (exec_no, wait.key)).fetchone()
    if row is not None:
        stored = _read(wait.exec_id, row)
        if transitions.takes_over(stored, wait):
            execute(
                "UPDATE waits SET question = ?, schema = ?, metadata = ? WHERE exec_no = ? AND key = ?",
                (wait.question, _json(wait.schema), _json(wait.metadata), exec_no, wait.key),
            )
        return stored
    taken = {name for (name,) in execute(_NAMES, (exec_no, wait.name)).fetchall()}
    stored = replace(wait, name=transitions.free_name(wait.name, taken))
    put(execute, exec_no, stored)
    return stored


def put(execute: Execute, exec_no: int, wait: WaitRecord) -> None:
    """Store a wait as it is; its key and name must be free."""
    execute(_INSERT, _row(exec_no, wait))


def resolved(
    execute: Execute,
    exec_no: int,
    execution: ExecutionRecord,
    wait_id: str,
    status: str,
    answer: Payload | None,
    at: int,
) -> WaitRecord:
    """End a wait and wake what is suspended on it; see ``Journal.resolve_wait``."""
    row = execute(_BY_ID, (exec_no, wait_id)).fetchone()
    if row is None:
        raise transitions.no_such_wait(execution.exec_id, wait_id)
    stored = _read(execution.exec_id, row)
    transitions.resolved(stored, execution, status, answer, at)
    payload = (None,) * 5 if answer is None else _payload(answer)
    execute(_RESOLVE, (status, at, *payload, exec_no, stored.key))
    wake(execute, execution.exec_id, at)
    return stored


def reopen(execute: Execute, exec_no: int) -> None:
    """Open aborted waits again: the execution that was cancelled with them is continued."""
    execute("UPDATE waits SET status = 'open', resolved_at = NULL WHERE exec_no = ? AND status = 'aborted'", (exec_no,))


def wake(execute: Execute, exec_id: str | None, at: int) -> None:
    """Make a suspended execution, and those above it that are suspended too, due at ``at``."""
    while exec_id is not None:
        execute(_WAKE, (at, exec_id))
        row = execute(_PARENT, (exec_id,)).fetchone()
        exec_id = row[0] if row is not None else None


def due_at_once(
    execute: Execute, exec_no: int, waits: Sequence[str], children: Sequence[str], wake_at: int | None
) -> tuple[bool, int | None]:
    """Whether what an execution is about to be suspended on has happened already, and when it is due otherwise."""
    if waits and execute(_STILL_OPEN, (exec_no, json.dumps(list(waits)))).fetchone()[0] != len(waits):
        return True, wake_at
    found = execute(_CHILDREN, (json.dumps(list(children)),)).fetchall() if children else []
    return transitions.soonest(found, wake_at)


def copied(source: Execute, target: Execute, exec_no: int) -> int:
    """Copy the readable waits of one execution from a damaged journal into a new one; gives how many."""
    count = 0
    for row in source(_ALL, (exec_no,)).fetchall():
        _read("", row)
        target(_INSERT, row)
        count += 1
    return count


def _payload(payload: Payload) -> tuple[Any, ...]:
    return payload.codec, payload.digest, payload.size, payload.ref, payload.data


def _row(exec_no: int, wait: WaitRecord) -> tuple[Any, ...]:
    answer = (None,) * 5 if wait.answer is None else _payload(wait.answer)
    return (
        exec_no,
        wait.key,
        wait.wait_id,
        wait.name,
        wait.status,
        wait.question,
        _json(wait.schema),
        _json(wait.metadata),
        wait.created_at,
        wait.expires_at,
        int(wait.has_default),
        wait.resolved_at,
        *answer,
    )


def _read(exec_id: str, row: tuple[Any, ...]) -> WaitRecord:
    try:
        return WaitRecord(
            exec_id=exec_id,
            key=row[1],
            wait_id=row[2],
            name=row[3],
            status=row[4],
            question=row[5],
            schema=None if row[6] is None else json.loads(row[6]),
            metadata=json.loads(row[7]),
            created_at=row[8],
            expires_at=row[9],
            has_default=bool(row[10]),
            resolved_at=row[11],
            answer=None if row[12] is None else Payload(row[12], row[13], row[14], row[16], row[15]),
        )
    except (ValueError, TypeError) as error:
        raise KitaruCorruptionError(
            f"a wait in the journal is damaged: {type(error).__name__}: {error}. The file was left as it is. Run "
            "`kitaru doctor`."
        ) from error


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, separators=(",", ":"))

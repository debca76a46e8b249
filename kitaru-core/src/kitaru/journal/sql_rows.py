"""SQL texts of the SQLite journal, and rows as records. Texts are constants: the statement cache finds them again."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from kitaru.errors import KitaruCorruptionError
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Lease, Owner, Payload

_Rows = TypeVar("_Rows")
_Read = TypeVar("_Read")

ENTRY_COLUMNS = (
    "exec_no, seq, fence, kind, key, name, attempt, started_at, ended_at, inputs_digest, codec, digest, size, ref, "
    "cache_key, inputs, data, detail"
)

# One autocommitted statement takes the write lock when it starts, so the fence it reads is the newest: the check and
# the write are one immediate transaction, at the price of one statement.
APPEND = (
    f"INSERT INTO entries ({ENTRY_COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, "  # noqa: S608
    "?16, ?17, ?18 WHERE EXISTS (SELECT 1 FROM executions WHERE no = ?1 AND fence = ?3)"
)
APPENDED = "SELECT 1 FROM entries WHERE exec_no = ? AND seq = ? AND fence = ? AND kind = ? AND key = ?"
# The newest entries of an execution are those of its newest owner that wrote any: walked backwards, up to the first
# outcome (COMPLETED, FAILED, CANCELLED) or the first one of an earlier owner.
OUTCOME_UNDER = (
    "SELECT 1 FROM entries WHERE exec_no = ?1 AND fence = ?2 AND kind IN (2, 3, 5) AND seq > coalesce((SELECT seq FROM "
    "entries WHERE exec_no = ?1 AND fence < ?2 ORDER BY seq DESC LIMIT 1), 0) LIMIT 1"
)
FENCE = "SELECT 1 FROM executions WHERE no = ? AND fence = ?"

_EXECUTION_COLUMNS = (
    "fence, status, owner, lease_expires_at, cancel_requested, owners_lost, wake_at, exec_id, flow_name, stack_name, "
    "idempotency_key, created_at, started_at, ended_at, parent_exec_id, parent_call_key, original_exec_id, "
    "status_reason, seed, inputs_digest, result_codec, result_digest, result_size, result_ref, entrypoint, spec, "
    "failure, result_data, inputs"
)
# A listing leaves out what may be large; those columns read as empty.
_LISTED_COLUMNS = _EXECUTION_COLUMNS.replace("result_data, inputs", "NULL, x''")
# The waits are counted where they are: an execution's own row need not change when one is opened or answered.
_OPEN_WAITS = "(SELECT count(*) FROM waits WHERE waits.exec_no = executions.no AND waits.status = 'open')"
INSERT_EXECUTION = (
    f"INSERT INTO executions ({_EXECUTION_COLUMNS}) VALUES "  # noqa: S608
    f"({', '.join('?' * (_EXECUTION_COLUMNS.count(',') + 1))})"
)
CREATE_EXECUTION = f"{INSERT_EXECUTION} ON CONFLICT DO NOTHING"
GET_EXECUTION = f"SELECT no, {_EXECUTION_COLUMNS}, {_OPEN_WAITS} FROM executions WHERE exec_id = ?"  # noqa: S608
FIND_EXECUTION = (
    f"SELECT no, {_EXECUTION_COLUMNS}, {_OPEN_WAITS} FROM executions "  # noqa: S608
    "WHERE flow_name = ? AND idempotency_key = ?"
)
LIST_EXECUTIONS = f"SELECT no, {_LISTED_COLUMNS}, {_OPEN_WAITS} FROM executions"  # noqa: S608
HAS_OPEN_WAITS = "EXISTS (SELECT 1 FROM waits WHERE waits.exec_no = executions.no AND waits.status = 'open')"
ENTRIES = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE exec_no = ? AND seq > ? ORDER BY seq"  # noqa: S608
ENTRIES_UNDER = (
    f"SELECT {ENTRY_COLUMNS} FROM entries "  # noqa: S608
    "WHERE exec_no = ? AND seq > ? AND substr(key, 1, ?) = ? ORDER BY seq"
)
# What changes in the life of an execution. A result is there only once nothing changes any more, so that records read
# without it can be written back.
_STATE_COLUMNS = (
    "fence", "status", "owner", "lease_expires_at", "cancel_requested", "owners_lost", "wake_at", "started_at",
    "ended_at", "status_reason", "failure", "result_codec", "result_digest", "result_size", "result_ref",
    "result_data",
)  # fmt: skip
GET_STATE = f"SELECT {', '.join(_STATE_COLUMNS[:10])}, exec_id FROM executions WHERE no = ?"  # noqa: S608
SET_STATE = f"UPDATE executions SET {', '.join(f'{name} = ?' for name in _STATE_COLUMNS)} WHERE no = ?"  # noqa: S608
UNFINISHED_CHILDREN = (
    f"{LIST_EXECUTIONS} WHERE parent_exec_id = ? AND status NOT IN ('completed', 'failed', 'cancelled') ORDER BY no"
)
ASKED_TO_END = (
    "SELECT exec_id FROM executions WHERE cancel_requested = 1 AND no IN (SELECT value FROM json_each(?)) ORDER BY no"
)
# For salvage: rows one at a time, from either end.
EXECUTIONS_AFTER = f"SELECT no, {_EXECUTION_COLUMNS} FROM executions WHERE no > ? ORDER BY no"  # noqa: S608
EXECUTIONS_BACKWARDS = f"SELECT no, {_EXECUTION_COLUMNS} FROM executions ORDER BY no DESC"  # noqa: S608
EXECUTION_NUMBERED = f"SELECT no, {_EXECUTION_COLUMNS} FROM executions WHERE no = ?"  # noqa: S608
PUT_EXECUTION = (
    f"INSERT INTO executions (no, {_EXECUTION_COLUMNS}) VALUES "  # noqa: S608
    f"({', '.join('?' * (_EXECUTION_COLUMNS.count(',') + 2))})"
)
ENTRIES_BACKWARDS = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE exec_no = ? ORDER BY seq DESC"  # noqa: S608
ENTRY_NUMBERED = f"SELECT {ENTRY_COLUMNS} FROM entries WHERE exec_no = ? AND seq = ?"  # noqa: S608
PUT_ENTRY = f"INSERT INTO entries ({ENTRY_COLUMNS}) VALUES ({', '.join('?' * (ENTRY_COLUMNS.count(',') + 1))})"  # noqa: S608
NUMBER = "SELECT no FROM executions WHERE exec_id = ?"
NEXT_SEQ = "SELECT coalesce(max(seq), 0) + 1 FROM entries WHERE exec_no = ?"
FIND_CACHED = (
    "SELECT codec, digest, size, ref, data FROM entries WHERE cache_key = ? AND kind = 2 "
    "ORDER BY ended_at DESC, exec_no DESC, seq DESC LIMIT 1"
)


def _damage_noticed(read: Callable[[_Rows], _Read]) -> Callable[[_Rows], _Read]:
    """Rows that SQLite reads well but that no journal wrote are damage too: KitaruCorruptionError says so."""

    @functools.wraps(read)
    def reading(rows: _Rows) -> _Read:
        try:
            return read(rows)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise KitaruCorruptionError(
                f"a row of the journal is damaged: {type(error).__name__}: {error}. The file was left as it is. Run "
                "`kitaru doctor`."
            ) from error

    return reading


def entry_row(lease: Lease, entry: Entry) -> tuple[Any, ...]:
    """Bindings of :data:`APPEND`."""
    output = entry.output
    detail = entry.detail
    if output is None:
        codec = digest = size = ref = data = None
    else:
        codec, digest, size, ref, data = output.codec, output.digest, output.size, output.ref, output.data
    return (
        lease.no,
        entry.seq,
        lease.fence,
        entry.kind,
        entry.key,
        entry.name,
        entry.attempt,
        entry.started_at,
        entry.ended_at,
        entry.inputs_digest,
        codec,
        digest,
        size,
        ref,
        entry.cache_key,
        entry.inputs,
        data,
        None if detail is None else json.dumps(detail, separators=(",", ":")),
    )


@_damage_noticed
def read_entries(rows: Iterable[tuple[Any, ...]]) -> list[Entry]:
    """Rows of :data:`ENTRIES` as entries."""
    kinds = EntryKind._value2member_map_
    return [
        Entry(
            kinds[row[3]],  # type: ignore[arg-type]
            row[4],
            row[5],
            row[6],
            row[7],
            row[8],
            row[9],
            row[15],
            None if row[10] is None else Payload(row[10], row[11], row[12], row[16], row[13]),
            None if row[17] is None else json.loads(row[17]),
            row[14],
            row[1],
        )
        for row in rows
    ]


def execution_row(record: ExecutionRecord) -> tuple[Any, ...]:
    """Bindings of :data:`INSERT_EXECUTION`."""
    result = record.result
    return (
        record.fence,
        record.status,
        None if record.owner is None else write_owner(record.owner),
        record.lease_expires_at,
        int(record.cancel_requested),
        record.owners_lost,
        record.wake_at,
        record.exec_id,
        record.flow_name,
        record.stack_name,
        record.idempotency_key,
        record.created_at,
        record.started_at,
        record.ended_at,
        record.parent_exec_id,
        record.parent_call_key,
        record.original_exec_id,
        record.status_reason,
        record.seed,
        record.inputs_digest,
        None if result is None else result.codec,
        None if result is None else result.digest,
        None if result is None else result.size,
        None if result is None else result.ref,
        json.dumps(record.entrypoint),
        json.dumps(record.spec),
        None if record.failure is None else json.dumps(record.failure),
        None if result is None else result.data,
        record.inputs,
    )


def state_row(no: int, record: ExecutionRecord) -> tuple[Any, ...]:
    """Bindings of :data:`SET_STATE`."""
    result = record.result
    return (
        record.fence,
        record.status,
        None if record.owner is None else write_owner(record.owner),
        record.lease_expires_at,
        int(record.cancel_requested),
        record.owners_lost,
        record.wake_at,
        record.started_at,
        record.ended_at,
        record.status_reason,
        None if record.failure is None else json.dumps(record.failure),
        None if result is None else result.codec,
        None if result is None else result.digest,
        None if result is None else result.size,
        None if result is None else result.ref,
        None if result is None else result.data,
        no,
    )


@_damage_noticed
def read_state(row: tuple[Any, ...]) -> ExecutionRecord:
    """A row of :data:`GET_STATE` as a record that holds no more than its state."""
    return ExecutionRecord(
        exec_id=row[10],
        flow_name="",
        fence=row[0],
        status=row[1],
        owner=None if row[2] is None else read_owner(row[2]),
        lease_expires_at=row[3],
        cancel_requested=bool(row[4]),
        owners_lost=row[5],
        wake_at=row[6],
        started_at=row[7],
        ended_at=row[8],
        status_reason=row[9],
    )


@_damage_noticed
def read_execution(row: tuple[Any, ...]) -> ExecutionRecord:
    """A row of :data:`GET_EXECUTION` (its first column is the row number) as a record."""
    return ExecutionRecord(
        fence=row[1],
        status=row[2],
        owner=None if row[3] is None else read_owner(row[3]),
        lease_expires_at=row[4],
        cancel_requested=bool(row[5]),
        owners_lost=row[6],
        wake_at=row[7],
        exec_id=row[8],
        flow_name=row[9],
        stack_name=row[10],
        idempotency_key=row[11],
        created_at=row[12],
        started_at=row[13],
        ended_at=row[14],
        parent_exec_id=row[15],
        parent_call_key=row[16],
        original_exec_id=row[17],
        status_reason=row[18],
        seed=row[19],
        inputs_digest=row[20],
        result=None if row[21] is None else Payload(row[21], row[22], row[23], row[28], row[24]),
        entrypoint=json.loads(row[25]),
        spec=json.loads(row[26]),
        failure=None if row[27] is None else json.loads(row[27]),
        inputs=row[29],
        open_waits=row[30] if len(row) > 30 else 0,
    )


def write_owner(owner: Owner) -> str:
    """An owner as the text it is stored and compared by."""
    return json.dumps([owner.host, owner.boot, owner.pid_ns, owner.pid, owner.pid_start])


@functools.lru_cache(maxsize=4096)
def read_owner(text: str) -> Owner:
    return Owner(*json.loads(text))

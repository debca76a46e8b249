"""The embedded journal: SQLite through apsw, write-ahead log, one writer connection per process."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw

from kitaru.errors import KitaruJournalError, KitaruLeaseError, KitaruNotFoundError, KitaruStateError
from kitaru.journal import sqlite_rows as rows
from kitaru.journal.protocol import Durability
from kitaru.journal.records import Claimed, Created, Entry, ExecutionQuery, ExecutionRecord, Lease, Owner, Payload
from kitaru.journal.sqlite_errors import translate, translated
from kitaru.journal.sqlite_open import journal_mode, open_connection
from kitaru.journal.sqlite_reads import ListingReader
from kitaru.journal.transitions import FINISHED, check_claim, check_end, claim_status

Alive = Callable[[Owner], bool | None]
_SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}
_open_journals: weakref.WeakSet[SqliteJournal] = weakref.WeakSet()


class _Ticket:
    """One caller's entries, waiting for the commit in progress to end."""

    __slots__ = ("done", "entries", "error", "lease")

    def __init__(self, lease: Lease, entries: Sequence[Entry]) -> None:
        self.lease = lease
        self.entries = entries
        self.done = False
        self.error: BaseException | None = None


class SqliteJournal:
    """See :class:`kitaru.journal.protocol.Journal` for the contract.

    Args:
        path: the database file; made, with its directory, when it does not exist.
        durability: ``"full"`` syncs each commit group to disk; ``"process"`` leaves that to the operating system.
        now: wall time in microseconds, for leases and due dates.

    Raises:
        KitaruJournalError: the file cannot be opened or written, or a newer Kitaru wrote it.
        KitaruCorruptionError: the file is damaged or is no journal. It is never changed then.
    """

    def __init__(self, path: str, *, durability: Durability = "full", now: Callable[[], int] | None = None) -> None:
        self.path = os.path.abspath(path)
        self._durability = durability
        self._now = now or (lambda: time.time_ns() // 1000)
        self._forked = False
        self._closed = False
        # Serialises writes. Appends that find it taken queue up; whoever gets it next commits the whole queue.
        self._writing = threading.Lock()
        self._queue: deque[_Ticket] = deque()
        self._changes = 0
        with translated(self.path, "open the journal"):
            self._connection = open_connection(self.path, _SYNCHRONOUS[durability])
            self._cursor = self._connection.cursor()
            self._reader = ListingReader(self.path, self._now)
        _open_journals.add(self)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def durability(self) -> Durability:
        return self._durability

    # -- the hot path -------------------------------------------------------------------------------------------

    def append(self, lease: Lease, entries: Sequence[Entry]) -> None:
        if self._forked or self._closed:
            self._refuse()
        if self._writing.acquire(blocking=False):
            try:
                if len(entries) == 1 and not entries[0].seq:
                    self._append_one(lease, entries[0])
                else:
                    self._append_group([_Ticket(lease, entries)])
            finally:
                self._writing.release()
            return
        ticket = _Ticket(lease, entries)
        self._queue.append(ticket)
        with self._writing:
            if not ticket.done:
                self._append_group(self._drain())
        if ticket.error is not None:
            raise ticket.error

    def _append_one(self, lease: Lease, entry: Entry) -> None:
        entry.seq = lease.next_seq
        lease.next_seq += 1
        try:
            self._cursor.execute(rows.APPEND, rows.entry_row(lease, entry))
        except apsw.Error as error:
            raise translate(error, self.path, "append an entry") from error
        if not self._connection.changes():
            raise _lost(lease)

    def _drain(self) -> list[_Ticket]:
        tickets = []
        while self._queue:
            tickets.append(self._queue.popleft())
        return tickets

    def _append_group(self, tickets: list[_Ticket]) -> None:
        """Commit several callers' entries as one transaction. Each caller's succeed or fail on their own."""
        try:
            with self._transaction("append entries"):
                for ticket in tickets:
                    self._append_ticket(ticket)
        except KitaruJournalError as error:  # the commit itself failed: nobody's entries are known to be stored
            for ticket in tickets:
                ticket.error = ticket.error or error
        for ticket in tickets:
            ticket.done = True
        if len(tickets) == 1 and tickets[0].error is not None:
            raise tickets[0].error

    def _append_ticket(self, ticket: _Ticket) -> None:
        try:
            self._insert(ticket.lease, ticket.entries)
        except (KitaruLeaseError, KitaruJournalError) as error:
            ticket.error = error

    def _insert(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Insert all of ``entries`` or none, inside the open transaction."""
        if not entries:
            return
        cursor = self._cursor
        if cursor.execute(rows.FENCE, (lease.no, lease.fence)).fetchone() is None:
            raise _lost(lease)
        several = len(entries) > 1
        if several:
            cursor.execute("SAVEPOINT entries")
        try:
            for entry in entries:
                resent = entry.seq != 0
                if not resent:
                    entry.seq = lease.next_seq
                    lease.next_seq += 1
                row = rows.entry_row(lease, entry)
                # A resend after a failure whose end was unknown finds its own row: same place, fence, kind and key.
                if resent and cursor.execute(rows.APPENDED, row[:5]).fetchone() is not None:
                    continue
                cursor.execute(rows.APPEND, row)
        except apsw.Error as error:
            if several and self._connection.in_transaction:
                cursor.execute("ROLLBACK TO entries")
                cursor.execute("RELEASE entries")
            raise translate(error, self.path, "append an entry") from error
        if several:
            cursor.execute("RELEASE entries")

    # -- executions ---------------------------------------------------------------------------------------------

    def create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        durable = record.idempotency_key is not None
        with self._write("create an execution", durable=durable):
            return self._create(record, owner, lease_seconds)

    def create_child(
        self, lease: Lease, entry: Entry, record: ExecutionRecord, owner: Owner | None, lease_seconds: float
    ) -> Created:
        with self._write("create a child execution"):
            self._insert(lease, [entry])
            return self._create(record, owner, lease_seconds)

    def _create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        same = self._cursor.execute(rows.GET_EXECUTION, (record.exec_id,)).fetchone()
        if same is not None:  # sent again after a failure whose end was unknown
            stored = rows.read_execution(same)
            return Created(stored, _lease(same[0], stored) if stored.owner is not None else None)
        if record.idempotency_key is not None:
            earlier = self._cursor.execute(rows.FIND_EXECUTION, (record.flow_name, record.idempotency_key)).fetchone()
            if earlier is not None:
                return Created(rows.read_execution(earlier), None, existed=True)
        if owner is not None:
            record.owner, record.fence, record.status = owner, 1, "running"
            record.lease_expires_at = self._now() + round(lease_seconds * 1e6)
        self._cursor.execute(rows.INSERT_EXECUTION, rows.execution_row(record))
        no = self._connection.last_insert_rowid()
        return Created(record, _lease(no, record) if owner is not None else None)

    def claim(self, exec_id: str, owner: Owner, lease_seconds: float, accept: Collection[str], alive: Alive) -> Claimed:
        with self._write("claim an execution"):
            no, record = self._require(exec_id)
            status = claim_status(record, alive, self._now())
            check_claim(record, status, accept)
            previous = record.owner
            record.fence += 1
            record.owners_lost += 1 if previous is not None else 0
            record.owner, record.status, record.cancel_requested, record.wake_at = owner, "running", False, None
            record.started_at = record.started_at or self._now()
            record.lease_expires_at = self._now() + round(lease_seconds * 1e6)
            self._cursor.execute(
                "UPDATE executions SET fence = ?, owner = ?, status = ?, cancel_requested = 0, owners_lost = ?, "
                "wake_at = NULL, started_at = ?, ended_at = NULL, failure = NULL, status_reason = NULL, "
                "lease_expires_at = ? WHERE no = ?",
                (
                    record.fence,
                    rows.write_owner(owner),
                    record.status,
                    record.owners_lost,
                    record.started_at,
                    record.lease_expires_at,
                    no,
                ),
            )
            lease = _lease(no, record)
            lease.next_seq = self._cursor.execute(rows.NEXT_SEQ, (no,)).fetchone()[0]
            return Claimed(record, lease, previous)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        lost = []
        with self._write("renew leases"):
            expires_at = self._now() + round(lease_seconds * 1e6)
            for lease in leases:
                self._cursor.execute(
                    "UPDATE executions SET lease_expires_at = ? WHERE no = ? AND fence = ?",
                    (expires_at, lease.no, lease.fence),
                )
                if self._connection.changes():
                    lease.expires_at = expires_at
                else:
                    lost.append(lease)
        return lost

    def finish(
        self,
        lease: Lease,
        status: str,
        *,
        ended_at: int,
        result: Payload | None = None,
        failure: dict[str, Any] | None = None,
        status_reason: str | None = None,
        entries: Sequence[Entry] = (),
    ) -> None:
        check_end(status)
        record = ExecutionRecord(lease.exec_id, "", result=result, failure=failure)
        row = rows.execution_row(record)
        codec, digest, size, ref, failed, data = row[20], row[21], row[22], row[23], row[26], row[27]
        with self._write("finish an execution"):
            if self._ended_already(lease, status):
                return
            self._insert(lease, entries)
            self._cursor.execute(
                "UPDATE executions SET status = ?, ended_at = ?, result_codec = ?, result_digest = ?, result_size = ?, "
                "result_ref = ?, result_data = ?, failure = ?, status_reason = ?, owner = NULL, lease_expires_at = "
                "NULL, cancel_requested = 0, fence = fence + 1 WHERE no = ? AND fence = ? AND status = 'running'",
                (status, ended_at, codec, digest, size, ref, data, failed, status_reason, lease.no, lease.fence),
            )
            if not self._connection.changes():
                raise _lost(lease)

    def suspend(self, lease: Lease, *, wake_at: int | None, entries: Sequence[Entry] = ()) -> None:
        with self._write("suspend an execution"):
            if self._ended_already(lease, "waiting"):
                return
            self._insert(lease, entries)
            self._cursor.execute(
                "UPDATE executions SET status = 'waiting', wake_at = ?, owner = NULL, lease_expires_at = NULL, "
                "fence = fence + 1 WHERE no = ? AND fence = ? AND status = 'running'",
                (wake_at, lease.no, lease.fence),
            )
            if not self._connection.changes():
                raise _lost(lease)

    def _ended_already(self, lease: Lease, status: str) -> bool:
        """Whether this very end was committed before: sent again after a failure whose end was unknown."""
        found = self._cursor.execute(
            "SELECT 1 FROM executions WHERE no = ? AND fence = ? AND status = ?", (lease.no, lease.fence + 1, status)
        ).fetchone()
        return found is not None

    def release(self, lease: Lease, entries: Sequence[Entry] = ()) -> None:
        with self._write("release an execution"):
            try:
                self._insert(lease, entries)
            except KitaruLeaseError:
                return
            self._cursor.execute(
                "UPDATE executions SET owner = NULL, lease_expires_at = NULL, fence = fence + 1 "
                "WHERE no = ? AND fence = ? AND status = 'running'",
                (lease.no, lease.fence),
            )

    def request_cancel(self, exec_id: str, alive: Alive) -> ExecutionRecord:
        with self._write("cancel an execution"):
            no, record = self._require(exec_id)
            if record.status in FINISHED:
                raise KitaruStateError(f"execution {exec_id} cannot be cancelled: it is {record.status}.")
            self._cancel(no, record, alive)
            return self._require(exec_id)[1]

    def _cancel(self, no: int, record: ExecutionRecord, alive: Alive) -> None:
        if claim_status(record, alive, self._now()) == "running":
            self._cursor.execute("UPDATE executions SET cancel_requested = 1 WHERE no = ?", (no,))
        else:  # nobody would notice the request: end it here, and keep a zombie out
            self._cursor.execute(
                "UPDATE executions SET status = 'cancelled', ended_at = ?, owner = NULL, lease_expires_at = NULL, "
                "fence = fence + 1, status_reason = ? WHERE no = ?",
                (self._now(), "cancelled while nobody ran it", no),
            )
        children = self._cursor.execute(
            f"{rows.LIST_EXECUTIONS} WHERE parent_exec_id = ? AND status NOT IN ('completed', 'failed', 'cancelled')",
            (record.exec_id,),
        ).fetchall()
        for child in children:
            self._cancel(child[0], rows.read_execution(child), alive)

    # -- reading ------------------------------------------------------------------------------------------------

    def poll_cancelled(self, leases: Sequence[Lease]) -> list[str]:
        marks = ", ".join("?" * len(leases))
        return self._reader.column(
            f"SELECT exec_id FROM executions WHERE cancel_requested = 1 AND no IN ({marks})",  # noqa: S608
            [lease.no for lease in leases],
        )

    def get(self, exec_id: str) -> ExecutionRecord:
        return self._reader.get(exec_id)

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        return self._reader.find(flow_name, idempotency_key)

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        return self._reader.list(query, alive)

    def entries(self, exec_id: str, *, after: int = 0, prefix: str | None = None) -> list[Entry]:
        return self._reader.entries(exec_id, after, prefix)

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]:
        return self._reader.recoverable(now, alive)

    def find_cached(self, cache_key: bytes) -> Payload | None:
        return self._reader.find_cached(cache_key)

    def version(self) -> int:
        if self._forked or self._closed:
            self._refuse()
        with self._writing, translated(self.path, "look for changes"):
            seen: int = self._connection.pragma("data_version")
        return seen * 1_000_000 + self._changes

    def info(self) -> dict[str, Any]:
        return self._reader.info(self.url, self._durability, journal_mode(self._connection))

    def close(self) -> None:
        with self._writing:
            if self._closed or self._forked:
                return
            self._closed = True
            self._connection.close()
            self._reader.close()
        _open_journals.discard(self)

    # -- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, doing: str, *, durable: bool = False) -> Iterator[None]:
        if self._forked or self._closed:
            self._refuse()
        with self._writing:
            raised = durable and self._durability != "full"
            if raised:
                self._connection.pragma("synchronous", "FULL")
            try:
                with self._transaction(doing):
                    yield
                self._changes += 1
            finally:
                if raised:
                    self._connection.pragma("synchronous", _SYNCHRONOUS[self._durability])

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[None]:
        with translated(self.path, doing):
            self._cursor.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._cursor.execute("COMMIT")
            except BaseException:
                # SQLite has rolled back by itself after some errors (disk full): then there is nothing left to undo.
                if self._connection.in_transaction:
                    self._cursor.execute("ROLLBACK")
                raise

    def _require(self, exec_id: str) -> tuple[int, ExecutionRecord]:
        row = self._cursor.execute(rows.GET_EXECUTION, (exec_id,)).fetchone()
        if row is None:
            raise not_found(exec_id)
        return row[0], rows.read_execution(row)

    def _refuse(self) -> None:
        if self._forked:
            raise KitaruJournalError(
                f"the journal {self.path} was opened before this process was forked, and a SQLite connection must not "
                "cross a fork. Start flows in the parent, or use multiprocessing's `spawn` or `forkserver`."
            )
        raise KitaruJournalError(f"the journal {self.path} is closed.")

    def mark_forked(self) -> None:
        """In a forked child: refuse every further use. The inherited connection is not even closed, which would
        drop the parent's file locks."""
        self._forked = True
        self._writing = threading.Lock()
        self._reader.mark_forked()


def _lease(no: int, record: ExecutionRecord) -> Lease:
    return Lease(record.exec_id, no, record.fence, record.lease_expires_at or 0)


def _lost(lease: Lease) -> KitaruLeaseError:
    return KitaruLeaseError(
        f"execution {lease.exec_id} belongs to another owner now (this one's token {lease.fence} is not the newest): "
        "nothing was written."
    )


def not_found(exec_id: str) -> KitaruNotFoundError:
    """The error for an id that no execution has."""
    return KitaruNotFoundError(f"there is no execution {exec_id!r} in this journal. See `kitaru executions list`.")


def _mark_all_forked() -> None:
    for journal in list(_open_journals):
        journal.mark_forked()


os.register_at_fork(after_in_child=_mark_all_forked)

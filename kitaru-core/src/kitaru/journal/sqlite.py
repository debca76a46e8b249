"""The embedded journal: SQLite through apsw, write-ahead log, one writer connection per process."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kitaru.errors import KitaruJournalError, KitaruLeaseError
from kitaru.journal import sqlite_rows as rows
from kitaru.journal import sqlite_waits, transitions
from kitaru.journal.protocol import Durability
from kitaru.journal.records import (
    Claimed,
    Created,
    Entry,
    ExecutionQuery,
    ExecutionRecord,
    Lease,
    Owner,
    Payload,
    WaitRecord,
)
from kitaru.journal.sqlite_errors import TRANSLATED, refusal, translate, translated
from kitaru.journal.sqlite_open import close_connection, journal_mode, open_connection
from kitaru.journal.sqlite_reads import ListingReader
from kitaru.journal.sqlite_retention import SqliteRetention
from kitaru.journal.transitions import Alive

_SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}
_NO_TROUBLE = Exception()
_inherited: list[SqliteJournal] = []  # in a forked child: kept, so that nothing closes their connections
_open_journals: weakref.WeakSet[SqliteJournal] = weakref.WeakSet()


class _Ticket:
    """One caller's entries, waiting for the commit in progress to end."""

    __slots__ = ("done", "entries", "error", "lease")

    def __init__(self, lease: Lease, entries: Sequence[Entry]) -> None:
        self.lease = lease
        self.entries = entries
        self.done = False
        self.error: Exception | None = None


class SqliteJournal(SqliteRetention):
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
            try:
                self._reader = ListingReader(self.path, self._now)
            except BaseException:
                self._connection.close()
                raise
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
                if len(entries) == 1 and not entries[0].seq and not self._queue:
                    self._append_one(lease, entries[0])
                    return
                ticket = _Ticket(lease, entries)
                self._append_group([*self._drain(), ticket])
            finally:
                self._writing.release()
        else:
            ticket = _Ticket(lease, entries)
            self._queue.append(ticket)
            with self._writing:
                if not ticket.done:
                    self._append_group(self._drain())
        if ticket.error is not None:
            raise ticket.error

    def append_durably(self, lease: Lease, entries: Sequence[Entry]) -> None:
        with self._write("append entries", durable=True):
            self._insert(lease, entries)

    def _append_one(self, lease: Lease, entry: Entry) -> None:
        entry.seq = lease.next_seq
        lease.next_seq += 1
        try:
            self._cursor.execute(rows.APPEND, rows.entry_row(lease, entry))
        except TRANSLATED as error:
            raise translate(error, self.path, "append an entry") from error
        if not self._connection.changes():
            raise transitions.lost(lease)

    def _drain(self) -> list[_Ticket]:
        tickets = []
        while self._queue:
            tickets.append(self._queue.popleft())
        return tickets

    def _append_group(self, tickets: list[_Ticket]) -> None:
        """Commit several callers' entries as one transaction. Each caller's succeed or fail on their own."""
        trouble: Exception = KitaruJournalError("the commit was broken off; it is safe to send its entries again.")
        try:
            with self._transaction("append entries"):
                for ticket in tickets:
                    self._append_ticket(ticket)
            trouble = _NO_TROUBLE
        except Exception as error:  # the commit itself failed: nobody's entries are known to be stored
            trouble = error
        finally:
            if trouble is not _NO_TROUBLE:
                for ticket in tickets:
                    ticket.error = ticket.error or trouble
            for ticket in tickets:
                ticket.done = True

    def _append_ticket(self, ticket: _Ticket) -> None:
        try:
            self._insert(ticket.lease, ticket.entries)
        except Exception as error:  # a refused row, whatever is wrong with it, is its caller's alone
            ticket.error = error
            if not self._connection.in_transaction:  # SQLite has rolled everybody back (disk full, for example)
                raise

    def _insert(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Insert all of ``entries`` or none, inside the open transaction."""
        if not entries:
            return
        cursor = self._cursor
        if cursor.execute(rows.FENCE, (lease.no, lease.fence)).fetchone() is None:
            raise transitions.lost(lease)
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
        except BaseException as error:
            if self._connection.in_transaction:
                cursor.execute("ROLLBACK TO entries")
                cursor.execute("RELEASE entries")
            if isinstance(error, TRANSLATED):
                raise translate(error, self.path, "append an entry") from error
            raise
        cursor.execute("RELEASE entries")

    # -- executions ---------------------------------------------------------------------------------------------

    def create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        with self._write("create an execution", durable=record.idempotency_key is not None):
            return self._create(record, owner, lease_seconds)

    def create_child(
        self, lease: Lease, entry: Entry, record: ExecutionRecord, owner: Owner | None, lease_seconds: float
    ) -> Created:
        with self._write("create a child execution", durable=record.idempotency_key is not None):
            self._state(lease)
            created = self._create(record, owner, lease_seconds)
            if not created.existed:
                self._insert(lease, [entry])
            return created

    def _create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        if record.idempotency_key is not None:
            earlier = self._cursor.execute(rows.FIND_EXECUTION, (record.flow_name, record.idempotency_key)).fetchone()
            if earlier is not None and rows.read_execution(earlier).exec_id != record.exec_id:
                return Created(rows.read_execution(earlier), None, existed=True)
        transitions.check_new(record)
        made = replace(record)  # the caller's own stays as it is: it may have to be sent again
        if owner is not None:
            transitions.owned(made, owner, self._expiry(lease_seconds))
        self._cursor.execute(rows.CREATE_EXECUTION, rows.execution_row(made))
        if not self._connection.changes():  # sent again after a failure whose end was unknown
            no, stored = self._require(record.exec_id)
            return Created(stored, self._lease(no, stored) if transitions.first_lease(stored, owner) else None)
        no = self._connection.last_insert_rowid()
        return Created(made, Lease(made.exec_id, no, 1, made.lease_expires_at or 0) if owner is not None else None)

    def claim(self, exec_id: str, owner: Owner, lease_seconds: float, accept: Collection[str], alive: Alive) -> Claimed:
        with self._write("claim an execution"):
            no, record = self._require(exec_id)
            if record.status == "cancelled":
                sqlite_waits.reopen(self._cursor.execute, no)
            outcome = self._cursor.execute(rows.OUTCOME_UNDER, (no, record.fence)).fetchone()
            previous = transitions.claimed(
                record, owner, accept, alive, self._now(), self._expiry(lease_seconds), lambda: outcome is not None
            )
            self._cursor.execute(rows.SET_STATE, rows.state_row(no, record))
            return Claimed(record, self._lease(no, record), previous)

    def forgive_losses(self, lease: Lease) -> None:
        with self._write("note that an execution only waits"):
            self._cursor.execute(
                "UPDATE executions SET owners_lost = 0 WHERE no = ? AND fence = ?", (lease.no, lease.fence)
            )
            if not self._connection.changes():
                raise transitions.lost(lease)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        lost = []
        with self._write("renew leases"):
            expires_at = self._expiry(lease_seconds)
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
        parent: str | None = None,
    ) -> None:
        transitions.check_end(status)
        with self._write("finish an execution"):
            record = self._state(lease, status, ended_at)
            if record is not None:
                transitions.ended(
                    record, status, ended_at=ended_at, result=result, failure=failure, status_reason=status_reason
                )
                self._insert(lease, entries)
                self._cursor.execute(rows.SET_STATE, rows.state_row(lease.no, record))
                if parent is not None:
                    sqlite_waits.wake(self._cursor.execute, parent, ended_at)

    def suspend(
        self,
        lease: Lease,
        *,
        wake_at: int | None,
        entries: Sequence[Entry] = (),
        waits: Sequence[str] = (),
        children: Sequence[str] = (),
    ) -> bool:
        with self._write("suspend an execution"):
            execute = self._cursor.execute
            due, wake_at = sqlite_waits.due_at_once(execute, lease.no, waits, children, wake_at)
            record = self._state(lease, "waiting", wake_at)
            if record is not None:
                transitions.suspended(record, self._now() if due else wake_at)
                self._insert(lease, entries)
                execute(rows.SET_STATE, rows.state_row(lease.no, record))
            return due

    def open_wait(self, lease: Lease, wait: WaitRecord, entries: Sequence[Entry] = ()) -> WaitRecord:
        with self._write("open a wait"):
            self._state(lease)
            self._insert(lease, entries)
            return sqlite_waits.opened(self._cursor.execute, lease.no, wait)

    def resolve_wait(
        self, exec_id: str, wait_id: str, status: str, answer: Payload | None, at: int, *, lease: Lease | None = None
    ) -> WaitRecord:
        with self._write("end a wait", durable=True):
            if lease is not None:
                self._state(lease)
            no, record = self._require(exec_id)
            return sqlite_waits.resolved(self._cursor.execute, no, record, wait_id, status, answer, at)

    def release(self, lease: Lease, entries: Sequence[Entry] = ()) -> None:
        with self._write("release an execution"):
            try:
                record = self._state(lease)
            except KitaruLeaseError:
                return
            assert record is not None
            transitions.released(record)
            self._insert(lease, entries)
            self._cursor.execute(rows.SET_STATE, rows.state_row(lease.no, record))

    def _state(self, lease: Lease, status: str | None = None, moment: int | None = None) -> ExecutionRecord | None:
        """The state of the execution that ``lease`` owns; None when it shows this very end already, which is being
        sent again. Raises KitaruLeaseError when the lease is not the newest."""
        row = self._cursor.execute(rows.GET_STATE, (lease.no,)).fetchone()
        if row is None:
            raise transitions.lost(lease)
        record = rows.read_state(row)
        if status is not None and transitions.is_end_of(record, lease, status, moment):
            return None
        if record.fence != lease.fence:
            raise transitions.lost(lease)
        return record

    def request_cancel(self, exec_id: str, alive: Alive, reason: str | None = None) -> ExecutionRecord:
        with self._write("cancel an execution"):
            no, record = self._require(exec_id)
            transitions.check_cancel(record)
            self._cancel(no, record, alive, reason)
            if record.status == "cancelled" and record.parent_exec_id is not None:
                sqlite_waits.wake(self._cursor.execute, record.parent_exec_id, self._now())
            return self._require(exec_id)[1]

    def _cancel(self, no: Any, record: ExecutionRecord, alive: Alive, reason: str | None = None) -> None:
        transitions.cancelled(record, alive, self._now(), reason)
        self._cursor.execute(rows.SET_STATE, rows.state_row(no, record))
        for child in self._cursor.execute(rows.UNFINISHED_CHILDREN, (record.exec_id,)).fetchall():
            self._cancel(child[0], rows.read_execution(child), alive)

    # -- reading ------------------------------------------------------------------------------------------------

    def poll_cancelled(self, leases: Sequence[Lease]) -> list[str]:
        return self._reader.asked_to_end([lease.no for lease in leases])

    def get(self, exec_id: str) -> ExecutionRecord:
        return self._reader.get(exec_id)

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        return self._reader.find(flow_name, idempotency_key)

    def entries(self, exec_id: str, *, after: int = 0, prefix: str | None = None) -> list[Entry]:
        return self._reader.entries(exec_id, after, prefix)

    def waits(self, exec_id: str, *, open_only: bool = False) -> list[WaitRecord]:
        return self._reader.waits(exec_id, open_only)

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
        if self._forked or self._closed:
            self._refuse()
        with self._writing, translated(self.path, "inspect the journal"):
            mode = journal_mode(self._connection)
        return self._reader.info(self.url, self._durability, mode)

    def close(self) -> None:
        with self._writing:
            if self._closed or self._forked:
                return
            self._closed = True
            self._reader.close()
            close_connection(self._connection)
        _open_journals.discard(self)

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        return self._reader.list(query, alive)

    # -- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, doing: str, *, durable: bool = False) -> Iterator[None]:
        if self._forked or self._closed:
            self._refuse()
        with self._writing:
            if self._closed:
                self._refuse()
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
            raise transitions.not_found(exec_id)
        return row[0], rows.read_execution(row)

    def _lease(self, no: int, record: ExecutionRecord) -> Lease:
        next_seq: int = self._cursor.execute(rows.NEXT_SEQ, (no,)).get
        return Lease(record.exec_id, no, record.fence, record.lease_expires_at or 0, next_seq)

    def _expiry(self, lease_seconds: float) -> int:
        return self._now() + round(lease_seconds * 1e6)

    def _refuse(self) -> None:
        raise refusal(self.path, forked=self._forked)

    def mark_forked(self) -> None:
        """In a forked child: refuse every further use. Nothing inherited is closed, which could touch the parent's
        files."""
        self._forked = True
        self._writing = threading.Lock()
        self._reader.mark_forked()
        _inherited.append(self)


def _mark_all_forked() -> None:
    for journal in list(_open_journals):
        journal.mark_forked()


os.register_at_fork(after_in_child=_mark_all_forked)

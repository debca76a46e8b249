"""What every journal in an SQL database does: executions and their entries, one writing transaction at a time.

A subclass supplies the connection: how a statement is run, what a transaction is, and what the database's errors mean.
"""

from __future__ import annotations

import os
import threading
import weakref
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from kitaru.errors import KitaruJournalError, KitaruLeaseError
from kitaru.journal import sql_rows as rows
from kitaru.journal import sql_waits, transitions
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
from kitaru.journal.sql_retention import SqlRetention
from kitaru.journal.transitions import Alive

if TYPE_CHECKING:
    from kitaru.journal.protocol import Durability

_NO_TROUBLE = Exception()


class _Ticket:
    """One caller's entries, waiting for the commit in progress to end."""

    __slots__ = ("done", "entries", "error", "lease")

    def __init__(self, lease: Lease, entries: Sequence[Entry]) -> None:
        self.lease = lease
        self.entries = entries
        self.done = False
        self.error: Exception | None = None


class SqlJournal(SqlRetention):
    """See :class:`kitaru.journal.protocol.Journal` for the contract."""

    #: Ends a statement that reads a row which the same transaction writes: takes the row's lock, where there are any.
    _locking: ClassVar[str] = ""
    #: Ends a statement that reads a row which must not change before the transaction is over.
    _sharing: ClassVar[str] = ""
    #: Puts one entry in, inside a transaction that has checked the token.
    _put_entry: ClassVar[str] = rows.APPEND
    #: What the database raises.
    _trouble: ClassVar[tuple[type[Exception], ...]]

    _durability: Durability
    _now: Callable[[], int]

    def __init__(self) -> None:
        self._forked = False
        self._closed = False
        # Serialises writes. Appends that find it taken queue up; whoever gets it next commits the whole queue.
        self._writing = threading.Lock()
        self._queue: deque[_Ticket] = deque()

    @property
    def durability(self) -> Durability:
        return self._durability

    # -- what a database supplies -------------------------------------------------------------------------------

    @abstractmethod
    def _execute(self, sql: str, bindings: Sequence[Any] = ()) -> Any:
        """Run a statement on the writing connection; gives something with ``fetchone`` and ``fetchall``."""

    @abstractmethod
    def _changed(self) -> int:
        """How many rows the last statement has changed."""

    @abstractmethod
    def _new_number(self, exec_id: str) -> int:
        """The row number of the execution that the last statement has put in."""

    @abstractmethod
    def _in_transaction(self) -> bool:
        """Whether the transaction is still open: some errors end it."""

    @abstractmethod
    def _transaction(self, doing: str) -> AbstractContextManager[None]:
        """A writing transaction; the database's errors inside are translated."""

    @abstractmethod
    def _translate(self, error: Exception, doing: str) -> Exception:
        """Kitaru's error for one of the database's."""

    @abstractmethod
    def _append_one(self, lease: Lease, entry: Entry) -> None:
        """Commit one new entry: the hot path. Raises KitaruLeaseError."""

    @abstractmethod
    def _refuse(self) -> None:
        """Raise why this journal does nothing any more: it was closed, or came here by a fork."""

    # -- appending ----------------------------------------------------------------------------------------------

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
            ticket.error = self._translate(error, "append entries") if isinstance(error, self._trouble) else error
            if not self._in_transaction():  # SQLite has rolled everybody back (disk full, for example)
                raise

    def _insert(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Insert all of ``entries`` or none, inside the open transaction."""
        if not entries:
            return
        execute = self._execute
        if execute(rows.FENCE + self._sharing, (lease.no, lease.fence)).fetchone() is None:
            raise transitions.lost(lease)
        execute("SAVEPOINT entries")
        try:
            for entry in entries:
                resent = entry.seq != 0
                if not resent:
                    entry.seq = lease.next_seq
                    lease.next_seq += 1
                row = rows.entry_row(lease, entry)
                # A resend after a failure whose end was unknown finds its own row: same place, fence, kind and key.
                if resent and execute(rows.APPENDED, row[:5]).fetchone() is not None:
                    continue
                execute(self._put_entry, row)
        except BaseException as error:
            if self._in_transaction():
                execute("ROLLBACK TO entries")
                execute("RELEASE entries")
            if isinstance(error, self._trouble):
                raise self._translate(error, "append an entry") from error
            raise
        execute("RELEASE entries")

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
            earlier = self._execute(rows.FIND_EXECUTION, (record.flow_name, record.idempotency_key)).fetchone()
            if earlier is not None and rows.read_execution(earlier).exec_id != record.exec_id:
                return Created(rows.read_execution(earlier), None, existed=True)
        transitions.check_new(record)
        made = replace(record)  # the caller's own stays as it is: it may have to be sent again
        if owner is not None:
            transitions.owned(made, owner, self._expiry(lease_seconds))
        self._execute(rows.CREATE_EXECUTION, rows.execution_row(made))
        if not self._changed():  # sent again after a failure whose end was unknown
            no, stored = self._require(record.exec_id)
            return Created(stored, self._lease(no, stored) if transitions.first_lease(stored, owner) else None)
        no = self._new_number(made.exec_id)
        return Created(made, Lease(made.exec_id, no, 1, made.lease_expires_at or 0) if owner is not None else None)

    def claim(self, exec_id: str, owner: Owner, lease_seconds: float, accept: Collection[str], alive: Alive) -> Claimed:
        with self._write("claim an execution"):
            no, record = self._require(exec_id)
            if record.status == "cancelled":
                sql_waits.reopen(self._execute, no)
            outcome = self._execute(rows.OUTCOME_UNDER, (no, record.fence)).fetchone()
            previous = transitions.claimed(
                record, owner, accept, alive, self._now(), self._expiry(lease_seconds), lambda: outcome is not None
            )
            self._execute(rows.SET_STATE, rows.state_row(no, record))
            return Claimed(record, self._lease(no, record), previous)

    def forgive_losses(self, lease: Lease) -> None:
        with self._write("note that an execution only waits"):
            self._execute("UPDATE executions SET owners_lost = 0 WHERE no = ? AND fence = ?", (lease.no, lease.fence))
            if not self._changed():
                raise transitions.lost(lease)

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        lost = []
        with self._write("renew leases"):
            expires_at = self._expiry(lease_seconds)
            for lease in leases:
                self._execute(
                    "UPDATE executions SET lease_expires_at = ? WHERE no = ? AND fence = ?",
                    (expires_at, lease.no, lease.fence),
                )
                if self._changed():
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
                self._execute(rows.SET_STATE, rows.state_row(lease.no, record))
                if parent is not None:
                    sql_waits.wake(self._execute, parent, ended_at)

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
            execute = self._execute
            due, wake_at = sql_waits.due_at_once(execute, lease.no, waits, children, wake_at)
            record = self._state(lease, "waiting", wake_at)
            if record is not None:
                now = self._now()
                ended = transitions.suspended(record, now if due else wake_at, now)
                self._insert(lease, entries)
                execute(rows.SET_STATE, rows.state_row(lease.no, record))
                if ended:
                    sql_waits.wake(execute, lease.exec_id, now)
                    return False
            return due

    def open_wait(self, lease: Lease, wait: WaitRecord, entries: Sequence[Entry] = ()) -> WaitRecord:
        with self._write("open a wait"):
            self._state(lease)
            self._insert(lease, entries)
            return sql_waits.opened(self._execute, lease.no, wait)

    def resolve_wait(
        self, exec_id: str, wait_id: str, status: str, answer: Payload | None, at: int, *, lease: Lease | None = None
    ) -> WaitRecord:
        with self._write("end a wait", durable=True):
            if lease is not None:
                self._state(lease)
            no, record = self._require(exec_id)
            return sql_waits.resolved(self._execute, no, record, wait_id, status, answer, at)

    def release(self, lease: Lease, entries: Sequence[Entry] = ()) -> None:
        with self._write("release an execution"):
            try:
                record = self._state(lease)
            except KitaruLeaseError:
                return
            assert record is not None
            transitions.released(record)
            self._insert(lease, entries)
            self._execute(rows.SET_STATE, rows.state_row(lease.no, record))

    def _state(self, lease: Lease, status: str | None = None, moment: int | None = None) -> ExecutionRecord | None:
        """The state of the execution that ``lease`` owns; None when it shows this very end already, which is being
        sent again. Raises KitaruLeaseError when the lease is not the newest."""
        row = self._execute(rows.GET_STATE + self._locking, (lease.no,)).fetchone()
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
                sql_waits.wake(self._execute, record.parent_exec_id, self._now())
            return self._require(exec_id)[1]

    def _cancel(self, no: Any, record: ExecutionRecord, alive: Alive, reason: str | None = None) -> None:
        transitions.cancelled(record, alive, self._now(), reason)
        self._execute(rows.SET_STATE, rows.state_row(no, record))
        for child in self._execute(rows.UNFINISHED_CHILDREN, (record.exec_id,)).fetchall():
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

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        return self._reader.list(query, alive)

    def _require(self, exec_id: str) -> tuple[int, ExecutionRecord]:
        row = self._execute(rows.GET_EXECUTION + self._locking, (exec_id,)).fetchone()
        if row is None:
            raise transitions.not_found(exec_id)
        return row[0], rows.read_execution(row)

    def _lease(self, no: int, record: ExecutionRecord) -> Lease:
        next_seq: int = self._execute(rows.NEXT_SEQ, (no,)).fetchone()[0]
        return Lease(record.exec_id, no, record.fence, record.lease_expires_at or 0, next_seq)

    def _expiry(self, lease_seconds: float) -> int:
        return self._now() + round(lease_seconds * 1e6)

    def mark_forked(self) -> None:
        """In a forked child: refuse every further use, and close nothing, which could touch what is the parent's."""
        self._forked = True
        self._writing = threading.Lock()
        self._reader.mark_forked()
        _inherited.append(self)


_inherited: list[SqlJournal] = []  # in a forked child: kept, so that nothing closes their connections
_open: weakref.WeakSet[SqlJournal] = weakref.WeakSet()


def keep_from_forks(journal: SqlJournal) -> None:
    """From now on a forked child refuses to use this journal."""
    _open.add(journal)


def _mark_all_forked() -> None:
    for journal in list(_open):
        journal.mark_forked()


os.register_at_fork(after_in_child=_mark_all_forked)

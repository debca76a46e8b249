"""The embedded journal: SQLite through apsw, write-ahead log, one writer connection per process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kitaru.journal import sql_rows as rows
from kitaru.journal import transitions
from kitaru.journal.protocol import Durability
from kitaru.journal.records import Entry, Lease
from kitaru.journal.sql_journal import SqlJournal, keep_from_forks
from kitaru.journal.sqlite_errors import TRANSLATED, refusal, translate, translated
from kitaru.journal.sqlite_open import close_connection, journal_mode, open_connection
from kitaru.journal.sqlite_reads import SqliteReader

_SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}


class SqliteJournal(SqlJournal):
    """See :class:`kitaru.journal.protocol.Journal` for the contract.

    Args:
        path: the database file; made, with its directory, when it does not exist.
        durability: ``"full"`` syncs each commit group to disk; ``"process"`` leaves that to the operating system.
        now: wall time in microseconds, for leases and due dates.

    Raises:
        KitaruJournalError: the file cannot be opened or written, or a newer Kitaru wrote it.
        KitaruCorruptionError: the file is damaged or is no journal. It is never changed then.
    """

    _trouble = TRANSLATED
    _reader: SqliteReader

    def __init__(self, path: str, *, durability: Durability = "full", now: Callable[[], int] | None = None) -> None:
        self.path = os.path.abspath(path)
        self._durability = durability
        self._now = now or (lambda: time.time_ns() // 1000)
        super().__init__()
        self._changes = 0
        with translated(self.path, "open the journal"):
            self._connection = open_connection(self.path, _SYNCHRONOUS[durability])
            self._cursor = self._connection.cursor()
            try:
                self._reader = SqliteReader(self.path, self._now)
            except BaseException:
                self._connection.close()
                raise
        keep_from_forks(self)

    @property
    def url(self) -> str:
        return f"sqlite:///{self.path}"

    @property
    def address(self) -> str:
        return self.url

    @property
    def polling_seconds(self) -> float:
        return 0.0

    def heard(self) -> int:
        return 0

    # -- the hot path -------------------------------------------------------------------------------------------

    def _append_one(self, lease: Lease, entry: Entry) -> None:
        entry.seq = lease.next_seq
        lease.next_seq += 1
        try:
            self._cursor.execute(rows.APPEND, rows.entry_row(lease, entry))
        except TRANSLATED as error:
            raise translate(error, self.path, "append an entry") from error
        if not self._connection.changes():
            raise transitions.lost(lease)

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

    def _execute(self, sql: str, bindings: Sequence[Any] = ()) -> Any:
        return self._cursor.execute(sql, bindings)

    def _changed(self) -> int:
        return self._connection.changes()

    def _new_number(self, exec_id: str) -> int:
        del exec_id
        return self._connection.last_insert_rowid()

    def _in_transaction(self) -> bool:
        return self._connection.in_transaction

    def _translate(self, error: Exception, doing: str) -> Exception:
        return translate(error, self.path, doing)

    def _refuse(self) -> None:
        raise refusal(self.path, forked=self._forked)

"""The shared journal: PostgreSQL through psycopg 3 (extra ``postgres``), one writer connection per process."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg.pq import TransactionStatus

from kitaru.journal import sql_rows as rows
from kitaru.journal import transitions
from kitaru.journal.addresses import without_secrets
from kitaru.journal.postgres_listen import CHANNEL, Listener
from kitaru.journal.postgres_open import TRANSLATED, Connection, connect, migrate, refusal, translate, translated
from kitaru.journal.postgres_reads import PostgresReader
from kitaru.journal.postgres_sql import APPEND, WRITE_LOCK, statement, values
from kitaru.journal.protocol import Durability
from kitaru.journal.records import Entry, Lease
from kitaru.journal.sql_journal import SqlJournal, keep_from_forks

_BEGIN = f"BEGIN; SELECT pg_advisory_xact_lock({WRITE_LOCK})"
_COMMIT_AND_TELL = f"NOTIFY {CHANNEL}; COMMIT"
_POLLING_SECONDS = 1.0
_BEGIN_DURABLY = f"{_BEGIN}; SET LOCAL synchronous_commit = on"


class PostgresJournal(SqlJournal):
    """See :class:`kitaru.journal.protocol.Journal` for the contract.

    A checkpoint is one round trip: its statement compares the token, with the execution's row locked, and puts the
    entry in. Leases go by the database's clock. A broken connection fails what is being done, with an error that is
    safe to meet by sending it again, and is made anew by the next thing that is done.

    Args:
        url: ``postgresql://user:password@host:port/database``, as libpq reads it; what it leaves out comes from libpq's
            own variables and files (``PGPASSWORD``, ``~/.pgpass``).
        durability: ``"full"``: a commit is on the server's disk; ``"process"``: it survives this process.
        now: wall time in microseconds, for leases and due dates; default: the database's.

    Raises:
        KitaruJournalError: the server cannot be reached, does not let the user in, or holds a newer Kitaru's journal.
    """

    _locking = " FOR UPDATE"
    _sharing = " FOR SHARE"
    _put_entry = rows.PUT_ENTRY
    _trouble = TRANSLATED
    _reader: PostgresReader

    def __init__(self, url: str, *, durability: Durability = "full", now: Callable[[], int] | None = None) -> None:
        super().__init__()
        self._address = url
        self._durability = durability
        self._offset = 0  # microseconds by which the database's clock is ahead of this machine's
        self._now = now or (lambda: time.time_ns() // 1000 + self._offset)
        self._rowcount = 0
        self._listener = Listener(
            lambda: connect(url, durability, "listen to the journal"), lambda: self._connection.info.backend_pid
        )
        self._connection = self._connect("open the journal")
        try:
            migrate(self._connection, url)
            self._reader = PostgresReader(url, durability, self._now)
        except BaseException:
            self._connection.close()
            raise
        keep_from_forks(self)

    @property
    def url(self) -> str:
        return without_secrets(self._address)

    @property
    def address(self) -> str:
        return self._address

    @property
    def polling_seconds(self) -> float:
        return _POLLING_SECONDS

    def heard(self) -> int:
        return self._listener.heard()

    def _connect(self, doing: str) -> Connection:
        made = connect(self._address, self._durability, doing)
        with translated(self._address, doing):
            asked = time.time_ns() // 1000
            found = made.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint").fetchone()
            answered = time.time_ns() // 1000
            assert found is not None
            self._offset = int(found[0]) - (asked + answered) // 2
        return made

    def _connected(self, doing: str) -> Connection:
        """The writing connection; a new one where it broke. Called with the writing lock held."""
        if self._closed or self._forked:
            self._refuse()
        connection = self._connection
        if connection.closed or connection.broken:
            connection = self._connection = self._connect(doing)
        elif connection.info.transaction_status is not TransactionStatus.IDLE:
            connection.close()  # a transaction that nobody could end: what it had not committed is gone with it
            connection = self._connection = self._connect(doing)
        return connection

    # -- the hot path -------------------------------------------------------------------------------------------

    def _append_one(self, lease: Lease, entry: Entry) -> None:
        connection = self._connected("append an entry")
        entry.seq = lease.next_seq
        lease.next_seq += 1
        try:
            done = connection.execute(APPEND, (lease.no, lease.fence, *rows.entry_row(lease, entry)))
        except TRANSLATED as error:
            raise self._translate(error, "append an entry") from error
        if not done.rowcount:
            raise transitions.lost(lease)

    # -- reading ------------------------------------------------------------------------------------------------

    def version(self) -> int:
        if self._forked or self._closed:
            self._refuse()
        return self._reader.version()

    def info(self) -> dict[str, Any]:
        if self._forked or self._closed:
            self._refuse()
        return self._reader.info(self._durability)

    def close(self) -> None:
        with self._writing:
            if self._closed or self._forked:
                return
            self._closed = True
            self._listener.close()
            self._reader.close()
            self._connection.close()

    # -- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def _write(self, doing: str, *, durable: bool = False) -> Iterator[None]:
        begin = _BEGIN_DURABLY if durable and self._durability != "full" else _BEGIN
        with self._writing, self._begun(doing, begin, _COMMIT_AND_TELL):
            yield

    @contextmanager
    def _transaction(self, doing: str) -> Iterator[None]:
        with self._begun(doing, "BEGIN", "COMMIT"):
            yield

    @contextmanager
    def _begun(self, doing: str, begin: str, commit: str) -> Iterator[None]:
        connection = self._connected(doing)
        with translated(self._address, doing):
            try:
                connection.execute(begin)
                yield
                connection.execute(commit)
            except BaseException:
                if self._in_transaction():
                    try:
                        connection.execute("ROLLBACK")
                    except psycopg.Error:
                        connection.close()
                raise

    def _execute(self, sql: str, bindings: Sequence[Any] = ()) -> Any:
        text, numbered = statement(sql)
        done = self._connection.execute(text, values(bindings, numbered=numbered))
        self._rowcount = done.rowcount
        return done

    def _changed(self) -> int:
        return self._rowcount

    def _new_number(self, exec_id: str) -> int:
        return int(self._execute(rows.NUMBER, (exec_id,)).fetchone()[0])

    def _in_transaction(self) -> bool:
        status = self._connection.info.transaction_status
        return status in (TransactionStatus.INTRANS, TransactionStatus.INERROR)

    def _translate(self, error: Exception, doing: str) -> Exception:
        return translate(error, self._address, doing)

    def _refuse(self) -> None:
        raise refusal(self._address, forked=self._forked)

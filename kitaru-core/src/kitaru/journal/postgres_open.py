"""Connecting to a PostgreSQL journal, its schema, and what PostgreSQL's errors mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from psycopg import errors

from kitaru.errors import KitaruCorruptionError, KitaruJournalError, KitaruRuntimeError, KitaruSerializationError
from kitaru.journal.addresses import without_secrets
from kitaru.journal.postgres_sql import MIGRATION_LOCK, MIGRATIONS, SCHEMA, SCHEMA_VERSION

Connection = psycopg.Connection[tuple[Any, ...]]

#: What psycopg raises for the database, and for values that cannot be bound.
TRANSLATED = (psycopg.Error, UnicodeError, OverflowError)
_CONNECT_SECONDS = 10
_QUIET = "client_min_messages=error"
_SYNCHRONOUS = {"full": "on", "process": "off"}


def connect(url: str, durability: str, doing: str) -> Connection:
    """A connection that finds the journal's tables. Raises KitaruJournalError that says why there is none."""
    with translated(url, doing):
        return psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=_CONNECT_SECONDS,
            application_name="kitaru",
            # A server that has gone without a word is noticed within half a minute.
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
            options=f"-c search_path={SCHEMA} -c synchronous_commit={_SYNCHRONOUS[durability]} -c {_QUIET}",
        )


def migrate(connection: Connection, url: str) -> None:
    """Bring the schema up to date; of several processes that want to, one does.

    Raises KitaruJournalError for a journal that a newer Kitaru wrote, and for rights that are missing.
    """
    with translated(url, "open the journal"):
        if _version(connection) == SCHEMA_VERSION:
            return
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, applied_at BIGINT)")
            found = _version(connection)
            if found > SCHEMA_VERSION:
                raise KitaruJournalError(
                    f"the journal {without_secrets(url)} was written by a newer Kitaru (schema {found}, this one reads "
                    f"up to {SCHEMA_VERSION}). Upgrade: pip install -U kitaru"
                )
            for number, script in MIGRATIONS:
                if number > found:
                    connection.execute(script)
                    connection.execute("INSERT INTO migrations VALUES (%s, %s)", (number, time.time_ns() // 1000))


def _version(connection: Connection) -> int:
    there = connection.execute("SELECT to_regclass('migrations')").fetchone()
    if there is None or there[0] is None:
        return 0
    found = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    return int(found[0]) if found is not None else 0


@contextmanager
def translated(url: str, doing: str) -> Iterator[None]:
    """Turn psycopg's errors inside the block into Kitaru's: see :func:`translate`."""
    try:
        yield
    except TRANSLATED as error:
        raise translate(error, url, doing) from error


def translate(error: Exception, url: str, doing: str) -> KitaruRuntimeError:
    """The Kitaru error for ``error``; ``doing`` completes "cannot ...". No password stands in it."""
    where = without_secrets(url)
    told = _without_secrets(str(error), url).strip().splitlines() or [type(error).__name__]
    if isinstance(error, (UnicodeError, OverflowError, psycopg.DataError, errors.ProgramLimitExceeded)):
        return KitaruSerializationError(
            f"cannot {doing} in the journal {where}: a name or value in it cannot be stored ({told[0]}). Names and "
            "keys must be text without NUL characters and lone surrogates, and what one row holds stays below 1 GB."
        )
    if isinstance(error, (errors.DataCorrupted, errors.IndexCorrupted)):
        return KitaruCorruptionError(f"cannot {doing}: the journal {where} is damaged ({told[0]}).")
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:  # while connecting, there is only a text
        for words, sentence in _REFUSALS:
            if words in told[0]:
                return KitaruJournalError(f"cannot {doing} ({where}): {sentence} ({told[0]})")
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return KitaruJournalError(f"cannot {doing} ({where}): {sentence} ({told[0]})")
    return KitaruJournalError(f"cannot {doing} ({where}): {told[0]}. Run `kitaru doctor`.")


def refusal(url: str, *, forked: bool) -> KitaruJournalError:
    """Why a journal that was closed, or that came here by a fork, does nothing any more."""
    if forked:
        return KitaruJournalError(
            f"the journal {without_secrets(url)} was opened before this process was forked, and a connection must not "
            "cross a fork. Start flows in the parent, or use multiprocessing's `spawn` or `forkserver`."
        )
    return KitaruJournalError(f"the journal {without_secrets(url)} is closed.")


def _without_secrets(text: str, url: str) -> str:
    password = urlsplit(url).password
    return text.replace(password, "***") if password else text


_REFUSALS = (
    ("does not exist", "there is no such database or user. Make the database first: `createdb`"),
    ("password", "the user or password is wrong. PGPASSWORD or ~/.pgpass may hold it"),
    ("too many", "the server has no connection left"),
    ("pg_hba.conf", "the server does not let this user in from here"),
)
_SENTENCES: tuple[tuple[type[Exception], str], ...] = (
    (errors.DiskFull, "its disk is full. Free some space; what was committed is kept, the rest is sent again"),
    (
        errors.InsufficientPrivilege,
        "the user may not do that. It needs the right to create a schema, or one that is there",
    ),
    (errors.ReadOnlySqlTransaction, "this server is read-only: a standby. Name the primary"),
    (errors.TooManyConnections, "the server has no connection left"),
    (errors.DeadlockDetected, "two processes waited for each other; it is safe to try again"),
    (psycopg.OperationalError, "the server does not answer, or the connection broke. What was committed is kept"),
    (psycopg.InterfaceError, "the connection broke. What was committed is kept"),
)

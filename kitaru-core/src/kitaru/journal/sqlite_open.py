"""Opening a SQLite journal: modes, version guard, schema."""

from __future__ import annotations

import os
from pathlib import Path

import apsw

from kitaru.errors import KitaruCorruptionError, KitaruJournalError
from kitaru.journal.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

_BUSY_MILLISECONDS = 30_000


def wal_is_sound(version: tuple[int, int, int]) -> bool:
    """Whether a SQLite version's write-ahead log is free of the WAL-reset bug.

    3.7.0 to 3.51.2 can lose committed pages when one connection writes while another checkpoints; fixed in 3.51.3,
    with backports 3.50.7 and 3.44.6 (sqlite.org/wal.html, "The WAL-reset bug").
    """
    if version >= (3, 51, 3):
        return True
    return (3, 50, 7) <= version < (3, 51, 0) or (3, 44, 6) <= version < (3, 45, 0)


def library_version() -> tuple[int, int, int]:
    """The version of the SQLite that apsw carries."""
    major, minor, patch = (int(part) for part in apsw.sqlite_lib_version().split(".")[:3])
    return major, minor, patch


def open_connection(path: str, synchronous: str) -> apsw.Connection:
    """The writer connection of a journal file, its schema brought up to date.

    Raises apsw errors, and KitaruJournalError for what SQLite itself would accept: a foreign database, a newer schema.
    """
    if os.path.isdir(path):
        raise KitaruJournalError(f"the journal path {path} is a directory: name a file, for example {path}/kitaru.db.")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        if not os.path.exists(path):
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise KitaruJournalError(
            f"the journal {path} cannot be created: {error.strerror}. Choose a place you may write to with "
            "KITARU_CONFIG_PATH or KITARU_JOURNAL_URL."
        ) from error
    if not os.access(path, os.W_OK):
        raise KitaruJournalError(f"the journal {path} is not writable. Check its owner and mode.")
    connection = apsw.Connection(path, statementcachesize=64)
    try:
        connection.set_busy_timeout(_BUSY_MILLISECONDS)
        _refuse_foreign(connection, path)
        _use_wal(connection, synchronous)
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _refuse_foreign(connection: apsw.Connection, path: str) -> None:
    application = connection.pragma("application_id")
    if application == APPLICATION_ID:
        return
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application != 0 or tables:
        raise KitaruCorruptionError(
            f"{path} is a SQLite database of another program, not a Kitaru journal. It was left as it is: name another "
            "file with KITARU_JOURNAL_URL."
        )


def _use_wal(connection: apsw.Connection, synchronous: str) -> None:
    # A file that is in WAL mode already is left in it: switching under other connections is what loses data.
    if wal_is_sound(library_version()):
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", synchronous)
    else:
        connection.pragma("synchronous", "FULL")


def journal_mode(connection: apsw.Connection) -> str:
    return str(connection.pragma("journal_mode"))


def migrate(connection: apsw.Connection, path: str) -> None:
    """Apply the migrations that a journal lacks, each in one transaction. Safe when several processes do so at once."""
    found = connection.pragma("user_version")
    if found > SCHEMA_VERSION:
        raise KitaruJournalError(
            f"the journal {path} was written by a newer Kitaru: it has schema {found}, this one knows "
            f"{SCHEMA_VERSION}. Upgrade with `pip install -U kitaru`, or name another journal with KITARU_JOURNAL_URL."
        )
    for number, script in MIGRATIONS:
        if number <= found:
            continue
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Read again under the lock: another process may have migrated while this one waited.
            if connection.pragma("user_version") < number:
                connection.execute(script)
                connection.pragma("application_id", APPLICATION_ID)
                connection.pragma("user_version", number)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def file_system(path: str) -> str:
    """The type of the file system a path lies on, as far as the system tells; ``"unknown"`` otherwise."""
    try:
        mounts = Path("/proc/mounts").read_text().splitlines()
    except OSError:
        return "unknown"
    best, kind = "", "unknown"
    for line in mounts:
        _, point, found, *_ = line.split()
        point = point.replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, found
    return kind

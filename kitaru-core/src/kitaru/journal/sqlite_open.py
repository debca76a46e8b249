"""Opening a SQLite journal: what the file is, modes, version guard, schema. And closing it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import apsw

from kitaru.errors import KitaruCorruptionError, KitaruJournalError
from kitaru.journal.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION

BUSY_MILLISECONDS = 30_000
_CLOSING_BUSY_MILLISECONDS = 100
_MAGIC = b"SQLite format 3\0"
# Measured with 1,000 / 4,000 / 16,000 pages: a small log is written over and over, which syncs faster than one that
# grows (137 / 183 / 263 us a commit), and a checkpoint of it holds one commit up for 4 / 14 / 50 ms at most.
_CHECKPOINT_PAGES = 1_000
_WAL_BYTES_KEPT = 16 * 1024 * 1024


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

    Safe when several processes open a new file at once, and after a process was killed at any point of its first open.
    A file that turns out not to be ours is not written.

    Raises apsw errors, and Kitaru's for what SQLite itself would accept: a foreign database, a newer schema.
    """
    _prepare_file(path)
    _refuse_by_header(path)
    connection = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READWRITE, statementcachesize=64)
    try:
        connection.set_busy_timeout(BUSY_MILLISECONDS)
        _refuse_foreign(connection, path)
        _refuse_newer(connection.pragma("user_version"), path)
        _use_wal(connection, synchronous)
        migrate(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def close_connection(connection: apsw.Connection) -> None:
    """Close the writer, its log folded into the file and emptied unless another process is using it just now."""
    try:
        connection.set_busy_timeout(_CLOSING_BUSY_MILLISECONDS)
        connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    except apsw.Error:  # whoever opens the file next reads the log as it is
        pass
    connection.close()


def _prepare_file(path: str) -> None:
    if os.path.isdir(path):
        raise KitaruJournalError(f"the journal path {path} is a directory: name a file, for example {path}/kitaru.db.")
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # The file is there before SQLite opens it, so that nobody else can ever read it.
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        what = "opened for writing" if os.path.exists(path) else "created"
        raise KitaruJournalError(
            f"the journal {path} cannot be {what}: {error.strerror}. Check owner and mode of the file and of its "
            "directory, or choose another place with KITARU_CONFIG_PATH or KITARU_JOURNAL_URL."
        ) from error


def _refuse_by_header(path: str) -> None:
    """Refuse what is plainly not ours before SQLite touches it: opening could already change files beside it."""
    with open(path, "rb") as file:
        header = file.read(100)
    if not header:
        log = path + "-wal"
        if os.path.exists(log) and os.path.getsize(log):
            raise KitaruCorruptionError(
                f"the journal file {path} is empty, but {log} beside it is not: the file was truncated, and opening it "
                "would discard the log too. Both were left as they are. Put the file back, or move both away."
            )
        return
    if header[: len(_MAGIC)] != _MAGIC:
        raise KitaruCorruptionError(
            f"{path} is not a SQLite database, so it is no Kitaru journal (or its first page is damaged). It was left "
            "as it is: name another file with KITARU_JOURNAL_URL, or move this one away."
        )
    # The file's header may be older than its log, which knows better; but an id of another program is one.
    if int.from_bytes(header[68:72], "big") not in (0, APPLICATION_ID):
        raise _foreign(path)


def _refuse_foreign(connection: apsw.Connection, path: str) -> None:
    connection.execute("BEGIN")  # one snapshot: another process may be creating the schema at this moment
    application = connection.pragma("application_id")
    tables = connection.execute("SELECT count(*) FROM sqlite_master").get
    connection.execute("COMMIT")
    if application != APPLICATION_ID and (application != 0 or tables):
        raise _foreign(path)


def _foreign(path: str) -> KitaruCorruptionError:
    return KitaruCorruptionError(
        f"{path} is a SQLite database of another program, not a Kitaru journal. It was left as it is: name another "
        "file with KITARU_JOURNAL_URL."
    )


def _refuse_newer(found: int, path: str) -> None:
    if found > SCHEMA_VERSION:
        raise KitaruJournalError(
            f"the journal {path} was written by a newer Kitaru: it has schema {found}, this one knows "
            f"{SCHEMA_VERSION}. Upgrade with `pip install -U kitaru`, or name another journal with KITARU_JOURNAL_URL."
        )


def _use_wal(connection: apsw.Connection, synchronous: str) -> None:
    if not wal_is_sound(library_version()):
        # A file that is in WAL mode already is left in it: switching under other connections is what loses data.
        connection.pragma("synchronous", "FULL")
        return
    deadline = time.monotonic() + BUSY_MILLISECONDS / 1000
    while journal_mode(connection) != "wal":
        try:
            connection.pragma("journal_mode", "wal")
        except apsw.BusyError:  # SQLite does not wait here by itself: another process is making the same switch
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
    connection.pragma("synchronous", synchronous)
    connection.wal_autocheckpoint(_CHECKPOINT_PAGES)
    connection.pragma("journal_size_limit", _WAL_BYTES_KEPT)


def journal_mode(connection: apsw.Connection) -> str:
    """SQLite's word for how the file is journaled: ``wal``, or ``delete`` where WAL is not sound."""
    return str(connection.pragma("journal_mode"))


def migrate(connection: apsw.Connection, path: str) -> None:
    """Apply the migrations that a journal lacks, each in one transaction. Safe when several processes do so at once.

    Raises KitaruJournalError when a newer Kitaru wrote the journal.
    """
    for number, script in MIGRATIONS:
        if number <= connection.pragma("user_version"):
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
    _refuse_newer(connection.pragma("user_version"), path)


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

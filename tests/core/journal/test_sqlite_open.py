"""Opening a SQLite journal: version guard, schema, first opens that race or are killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys

import apsw
import pytest

from kitaru.errors import KitaruJournalError
from kitaru.journal import sqlite_open
from kitaru.journal.migrations import APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION
from kitaru.journal.records import ExecutionQuery
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import a_record, an_entry, in_threads, keys, living, started


def pragma(path, name):
    connection = apsw.Connection(str(path))
    try:
        return connection.pragma(name)
    finally:
        connection.close()


# -- the version guard (the WAL-reset bug) ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "sound"),
    [
        ((3, 7, 0), False),
        ((3, 40, 1), False),
        ((3, 44, 5), False),
        ((3, 44, 6), True),  # backport
        ((3, 44, 9), True),
        ((3, 45, 0), False),
        ((3, 45, 1), False),
        ((3, 50, 6), False),
        ((3, 50, 7), True),  # backport
        ((3, 51, 0), False),
        ((3, 51, 2), False),
        ((3, 51, 3), True),
        ((3, 52, 0), True),
        ((4, 0, 0), True),
    ],
)
def test_which_versions_have_a_sound_log(version, sound):
    assert sqlite_open.wal_is_sound(version) is sound


def test_the_library_we_run_with_is_sound():
    assert sqlite_open.wal_is_sound(sqlite_open.library_version())


@pytest.fixture
def affected(monkeypatch):
    for module in ("sqlite_open", "sqlite_reads"):
        monkeypatch.setattr(f"kitaru.journal.{module}.library_version", lambda: (3, 45, 1))


@pytest.mark.usefixtures("affected")
@pytest.mark.parametrize("durability", ["full", "process"])
def test_an_affected_version_gets_a_rollback_journal_and_full_sync(tmp_path, durability):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"), durability=durability)
    lease = started(journal)
    journal.append(lease, [an_entry("a#1")])
    info = journal.info()
    assert info["journal_mode"] == "delete" and info["sqlite_version"] == "3.45.1"
    assert any("WAL-reset bug" in note for note in info["notes"])
    assert journal._connection.pragma("synchronous") == 2, "FULL"
    second = SqliteJournal(str(tmp_path / "kitaru.db"))
    assert keys(second, lease.exec_id) == ["a#1"]
    second.close()
    journal.close()
    assert pragma(tmp_path / "kitaru.db", "journal_mode") == "delete"


def test_an_affected_version_leaves_an_existing_log_alone(tmp_path, request):
    path = tmp_path / "kitaru.db"
    SqliteJournal(str(path)).close()
    assert path.read_bytes()[18:20] == b"\x02\x02", "the file says that it has a write-ahead log"
    request.getfixturevalue("affected")
    journal = SqliteJournal(str(path))
    started(journal)
    assert journal.info()["journal_mode"] == "wal"
    assert journal._connection.pragma("synchronous") == 2
    journal.close()
    assert path.read_bytes()[18:20] == b"\x02\x02"


def test_a_sound_version_uses_the_log_with_the_chosen_sync(tmp_path):
    for durability, synchronous in (("full", 2), ("process", 1)):
        journal = SqliteJournal(str(tmp_path / f"{durability}.db"), durability=durability)
        assert journal.info()["journal_mode"] == "wal"
        assert journal._connection.pragma("synchronous") == synchronous
        journal.close()


def test_an_idempotency_key_is_stored_durably_in_every_mode(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"), durability="process")
    seen = []
    journal._connection.set_commit_hook(lambda: bool(seen.append(journal._connection.pragma("synchronous"))))
    journal.create(a_record(), None, 60)
    journal.create(a_record(idempotency_key="k"), None, 60)
    journal.create(a_record(), None, 60)
    assert seen == [1, 2, 1]
    journal.close()


# -- the file ---------------------------------------------------------------------------------------------------


def test_a_new_journal_is_private_and_marked(tmp_path):
    path = tmp_path / "new" / "kitaru.db"
    journal = SqliteJournal(str(path))
    started(journal)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((path.parent / "kitaru.db-wal").stat().st_mode) == 0o600
    journal.close()
    assert pragma(path, "application_id") == APPLICATION_ID
    assert pragma(path, "user_version") == SCHEMA_VERSION


def test_closing_leaves_one_file(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    started(journal)
    journal.close()
    assert os.listdir(tmp_path) == ["kitaru.db"]


def test_the_log_does_not_grow_without_bound(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"), durability="process")
    lease = started(journal)
    for _ in range(40):
        journal.append(lease, [an_entry(inputs=b"x" * 3_000) for _ in range(100)])
    assert os.path.getsize(tmp_path / "kitaru.db-wal") < 8 * 1024 * 1024 < os.path.getsize(tmp_path / "kitaru.db")
    journal.close()


def test_a_newer_schema_is_refused_with_the_way_on(tmp_path):
    path = tmp_path / "kitaru.db"
    SqliteJournal(str(path)).close()
    connection = apsw.Connection(str(path))
    connection.pragma("user_version", SCHEMA_VERSION + 41)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(KitaruJournalError) as caught:
        SqliteJournal(str(path))
    text = str(caught.value)
    assert "newer Kitaru" in text and f"schema {SCHEMA_VERSION + 41}" in text and "pip install -U kitaru" in text
    assert path.read_bytes() == before


def test_a_failing_migration_changes_nothing_and_is_not_half_there(tmp_path, monkeypatch):
    path = tmp_path / "kitaru.db"
    journal = SqliteJournal(str(path))
    lease = started(journal)
    journal.close()
    broken = (*MIGRATIONS, (SCHEMA_VERSION + 1, "CREATE TABLE more (x); INSERT INTO nowhere VALUES (1);"))
    monkeypatch.setattr(sqlite_open, "MIGRATIONS", broken)
    monkeypatch.setattr(sqlite_open, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    with pytest.raises(KitaruJournalError, match="nowhere"):
        SqliteJournal(str(path))
    monkeypatch.undo()
    assert pragma(path, "user_version") == SCHEMA_VERSION
    journal = SqliteJournal(str(path))
    journal.append(lease, [an_entry()])
    journal.close()


def test_a_migration_is_applied_once_by_racing_openers(tmp_path, monkeypatch):
    path = str(tmp_path / "kitaru.db")
    SqliteJournal(path).close()
    more = (*MIGRATIONS, (SCHEMA_VERSION + 1, "CREATE TABLE more (x); INSERT INTO more VALUES (1);"))
    monkeypatch.setattr(sqlite_open, "MIGRATIONS", more)
    monkeypatch.setattr(sqlite_open, "SCHEMA_VERSION", SCHEMA_VERSION + 1)
    assert in_threads(6, lambda _: SqliteJournal(path).close()) == []
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM more").fetchone() == (1,)
    connection.close()


# -- first opens in other processes -----------------------------------------------------------------------------

OPEN_AND_WRITE = """
import sys
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, started
sys.stdin.read(1)
journal = SqliteJournal(sys.argv[1])
lease = started(journal)
journal.append(lease, [an_entry()])
journal.close()
"""


def test_many_processes_may_open_a_new_file_at_once(tmp_path):
    for number in range(3):
        path = str(tmp_path / str(number) / "kitaru.db")
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", OPEN_AND_WRITE, path], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for _ in range(5)
        ]
        for process in processes:
            process.stdin.write("g")
            process.stdin.flush()
        for process in processes:
            _, complaint = process.communicate(timeout=60)
            assert process.returncode == 0, complaint
        journal = SqliteJournal(path)
        assert len(journal.list(ExecutionQuery(), living)) == 5
        journal.close()


KILLED_WHILE_OPENING = """
import os, signal, sys
import apsw
path, point = sys.argv[1], int(sys.argv[2])
count = 0
def trace(cursor, statement, bindings):
    global count
    count += 1
    if count == point:
        os.kill(os.getpid(), signal.SIGKILL)
    return True
apsw.connection_hooks.append(lambda connection: setattr(connection, "exec_trace", trace))
from kitaru.journal.sqlite import SqliteJournal
SqliteJournal(path).close()
"""


def test_a_first_open_may_be_killed_at_every_statement(tmp_path):
    point = 0
    while True:
        point += 1
        path = str(tmp_path / str(point) / "kitaru.db")
        process = subprocess.run(
            [sys.executable, "-c", KILLED_WHILE_OPENING, path, str(point)], capture_output=True, timeout=60
        )
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, process.stderr.decode()
        journal = SqliteJournal(path)
        lease = started(journal)
        journal.append(lease, [an_entry()])
        assert journal.info()["sound"]
        journal.close()
    assert point > 15, "the schema alone has more statements"

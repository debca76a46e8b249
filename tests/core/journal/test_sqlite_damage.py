"""Damaged, foreign and misplaced files: a clear error, never an overwritten byte, and salvage of what is left."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess

import pytest

from kitaru.errors import KitaruCorruptionError, KitaruJournalError
from kitaru.journal.records import ExecutionQuery
from kitaru.journal.salvage import salvage
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, living, started

EXECUTIONS, ENTRIES = 60, 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A closed journal, and all that is in it."""
    path = str(tmp_path_factory.mktemp("whole") / "kitaru.db")
    journal = SqliteJournal(path, durability="process")
    for _ in range(EXECUTIONS):
        lease = started(journal)
        journal.append(lease, [an_entry(f"work#{number}") for number in range(ENTRIES)])
        journal.finish(lease, "completed", ended_at=1)
    content = read_everything(journal)
    journal.close()
    return path, content


def read_everything(journal):
    return {
        record.exec_id: (journal.get(record.exec_id), journal.entries(record.exec_id))
        for record in journal.list(ExecutionQuery(), living)
    }


def bytes_of(path):
    with open(path, "rb") as file:
        return file.read()


def what_reading_says(path, content):
    """The text of the corruption error that reading all of a journal gives; None when all of it is right."""
    try:
        journal = SqliteJournal(path)
        try:
            assert read_everything(journal) == content, "damage went unnoticed"
        finally:
            journal.close()
    except KitaruCorruptionError as error:
        return str(error)
    return None


def noise(seed):
    """A page of noise. Its first byte is none that a page of a b-tree can have, so that no noise looks like one."""
    return b"\0" + random.Random(seed).randbytes(4095)


def test_whole_page_damage_is_noticed_and_the_file_is_left_alone(whole, tmp_path):
    path, content = whole
    pages = os.path.getsize(path) // 4096
    noticed = 0
    for page in range(1, pages):
        copy = str(tmp_path / f"{page}.db")
        shutil.copy(path, copy)
        with open(copy, "r+b") as file:
            file.seek(page * 4096)
            file.write(noise(page))
        damaged = bytes_of(copy)
        text = what_reading_says(copy, content)
        if text is not None:
            noticed += 1
            assert "left as it" in text and "kitaru doctor" in text
        assert bytes_of(copy) == damaged, f"damage of page {page}: the file was changed"
        os.unlink(copy)
    assert noticed > pages // 2  # the rest is free pages and indexes that these queries do not use


def test_a_damaged_first_page_is_refused(whole, tmp_path):
    path = str(tmp_path / "kitaru.db")
    shutil.copy(whole[0], path)
    with open(path, "r+b") as file:
        file.write(noise(1))
    damaged = bytes_of(path)
    with pytest.raises(KitaruCorruptionError, match=r"not a SQLite database"):
        SqliteJournal(path)
    assert bytes_of(path) == damaged


def test_salvage_saves_all_of_a_whole_journal(whole, tmp_path):
    path, content = whole
    report = salvage(path, str(tmp_path / "new.db"))
    assert report.complete and report.damaged == {}
    assert (report.executions, report.entries) == (EXECUTIONS, EXECUTIONS * ENTRIES)
    journal = SqliteJournal(str(tmp_path / "new.db"))
    assert read_everything(journal) == content
    journal.close()


def test_salvage_of_a_damaged_journal_saves_the_rest(whole, tmp_path):
    path, content = whole
    pages = os.path.getsize(path) // 4096
    everything, partly = EXECUTIONS * ENTRIES, 0
    for page in random.Random(7).sample(range(2, pages), 12):
        copy, target = str(tmp_path / f"{page}.db"), str(tmp_path / f"{page}-new.db")
        shutil.copy(path, copy)
        with open(copy, "r+b") as file:
            file.seek(page * 4096)
            file.write(noise(page))
        damaged = bytes_of(copy)
        try:
            report = salvage(copy, target)
        except KitaruJournalError:  # the page that everything hangs on
            continue
        assert bytes_of(copy) == damaged
        journal = SqliteJournal(target)
        saved = read_everything(journal)
        journal.close()
        assert len(saved) == report.executions
        for exec_id, (record, entries) in saved.items():
            assert record == content[exec_id][0]
            assert all(entry in content[exec_id][1] for entry in entries)
        if report.executions == EXECUTIONS:
            missing = everything - report.entries
            # An execution whose entries end right before the damage counts too: nobody can tell that they end.
            assert set(report.damaged) >= {one for one in saved if saved[one] != content[one]}
            assert bool(report.entries_lost) >= bool(missing)
            partly += 0 < missing < everything
        else:
            assert report.executions_lost
        assert saved == content or not report.complete
    assert partly >= 2, "no page of entries was among the damaged ones"


def test_salvage_reads_the_log_too(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    lease = started(journal)
    journal.append(lease, [an_entry("a#1")])
    assert os.path.getsize(tmp_path / "kitaru.db-wal")
    report = salvage(str(tmp_path / "kitaru.db"), str(tmp_path / "new.db"))
    assert (report.executions, report.entries, report.complete) == (1, 1, True)
    journal.append(lease, [an_entry("b#1")])
    journal.close()


def test_salvage_refuses_an_existing_target_and_a_missing_source(whole, tmp_path):
    target = tmp_path / "there.db"
    target.write_bytes(b"mine")
    with pytest.raises(KitaruJournalError, match="exists already"):
        salvage(whole[0], str(target))
    assert target.read_bytes() == b"mine"
    with pytest.raises(KitaruJournalError, match="no journal file"):
        salvage(str(tmp_path / "nothing.db"), str(tmp_path / "new.db"))


# -- files that are no journal ----------------------------------------------------------------------------------


def test_a_foreign_database_is_refused_untouched(tmp_path):
    path = str(tmp_path / "other.db")
    other = sqlite3.connect(path)
    other.executescript("PRAGMA application_id = 77; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);")
    other.close()
    before = bytes_of(path)
    with pytest.raises(KitaruCorruptionError, match="another program"):
        SqliteJournal(path)
    assert bytes_of(path) == before and os.listdir(tmp_path) == ["other.db"]


def test_a_foreign_database_without_an_id_is_refused_untouched(tmp_path):
    path = str(tmp_path / "other.db")
    other = sqlite3.connect(path)
    other.executescript("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1);")
    other.close()
    before = bytes_of(path)
    with pytest.raises(KitaruCorruptionError, match="another program"):
        SqliteJournal(path)
    assert bytes_of(path) == before


def test_a_text_file_is_refused_untouched(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 500)
    with pytest.raises(KitaruCorruptionError, match="KITARU_JOURNAL_URL"):
        SqliteJournal(str(path))
    assert path.read_text() == "remember the milk\n" * 500


def test_a_directory_is_refused(tmp_path):
    with pytest.raises(KitaruJournalError, match="is a directory: name a file"):
        SqliteJournal(str(tmp_path))


def test_an_impossible_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(KitaruJournalError, match=r"cannot be created.*KITARU_CONFIG_PATH"):
        SqliteJournal(str(tmp_path / "file" / "kitaru.db"))


def test_an_empty_file_becomes_a_journal(tmp_path):
    # This is what a process leaves that was killed right after it made the file.
    path = tmp_path / "kitaru.db"
    path.write_bytes(b"")
    journal = SqliteJournal(str(path))
    started(journal)
    journal.close()


def test_an_empty_file_beside_a_log_is_refused(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    started(journal)
    os.mkdir(tmp_path / "copy")
    shutil.copy(tmp_path / "kitaru.db-wal", tmp_path / "copy")
    journal.close()
    path = tmp_path / "copy" / "kitaru.db"
    path.write_bytes(b"")
    log = bytes_of(f"{path}-wal")
    with pytest.raises(KitaruCorruptionError, match="truncated"):
        SqliteJournal(str(path))
    assert bytes_of(path) == b"" and bytes_of(f"{path}-wal") == log


@pytest.mark.parametrize("lost", ["-shm", "-wal"])
def test_a_missing_side_file_leaves_a_committed_prefix(tmp_path, lost):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    first = started(journal)
    journal.append(first, [an_entry("a#1")])
    journal.close()  # checkpoints
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    journal.append(first, [an_entry("b#1")])
    (tmp_path / "copy").mkdir()
    for suffix in {"", "-shm", "-wal"} - {lost}:
        shutil.copy(tmp_path / f"kitaru.db{suffix}", tmp_path / "copy")
    journal.close()
    copy = SqliteJournal(str(tmp_path / "copy" / "kitaru.db"))
    found = [entry.key for entry in copy.entries(first.exec_id)]
    assert found == (["a#1"] if lost == "-wal" else ["a#1", "b#1"])
    copy.close()


def test_a_read_only_file_is_refused_with_advice(tmp_path):
    path = str(tmp_path / "kitaru.db")
    SqliteJournal(path).close()
    before = bytes_of(path)
    if os.geteuid() == 0:  # modes do not stop root; the immutable flag does, where the file system has it
        if not shutil.which("chattr") or subprocess.run(["chattr", "+i", path], capture_output=True).returncode:
            pytest.skip("running as root on a file system without an immutable flag: nothing is read-only")
    else:
        os.chmod(path, 0o400)
    try:
        with pytest.raises(KitaruJournalError, match=r"cannot be opened for writing.*Check owner and mode"):
            SqliteJournal(path)
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", path], check=True)
    assert bytes_of(path) == before

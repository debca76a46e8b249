"""A full disk and a failing disk: a clear error, nothing committed is lost, and it goes on once there is space."""

from __future__ import annotations

import os
import subprocess
import sys

import apsw
import pytest

from kitaru.errors import KitaruJournalError, KitaruSerializationError
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import a_record, an_entry, an_owner, in_threads, keys, started

# -- a full disk ------------------------------------------------------------------------------------------------

FILL_UP = """
import resource, sys
from kitaru.errors import KitaruJournalError
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, keys, started

journal = SqliteJournal(sys.argv[1])
lease = started(journal)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
written, refused = [], None
for number in range(10_000):
    entry = an_entry(f"k#{number}", inputs=b"x" * 2_000)
    try:
        journal.append(lease, [entry])
    except KitaruJournalError as error:
        refused = entry
        print(error)
        break
    written.append(entry.key)
assert refused is not None and len(written) > 8
assert keys(journal, lease.exec_id) == written, "what was committed is there while the disk is full"
for _ in range(2):  # still full
    try:
        journal.append(lease, [refused])
        raise SystemExit("it must fail again")
    except KitaruJournalError:
        pass
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.append(lease, [refused])
journal.append(lease, [an_entry("after#1")])
assert keys(journal, lease.exec_id) == [*written, refused.key, "after#1"]
journal.close()
journal = SqliteJournal(sys.argv[1])
assert keys(journal, lease.exec_id) == [*written, refused.key, "after#1"]
assert journal.info()["sound"]
journal.close()
"""


def test_a_file_size_limit_is_reported_and_survived(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FILL_UP, str(tmp_path / "kitaru.db")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "cannot append an entry in the journal" in done.stdout and "what was committed is kept" in done.stdout


@pytest.fixture
def small_disk(tmp_path):
    point = tmp_path / "small"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(point)], capture_output=True)
    if mounted.returncode:
        pytest.skip("a file system of its own cannot be mounted here")
    yield point
    subprocess.run(["umount", str(point)], check=True)


def test_a_full_disk_is_reported_and_survived(small_disk):
    journal = SqliteJournal(str(small_disk / "kitaru.db"))
    lease = started(journal)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 300_000)
    written = []
    with pytest.raises(KitaruJournalError, match=r"disk.*is full.*Free some space"):
        while True:
            entry = an_entry(f"k#{len(written)}", inputs=b"x" * 2_000)
            journal.append(lease, [entry])
            written.append(entry.key)
    assert keys(journal, lease.exec_id) == written
    group = [an_entry("g#1", inputs=b"x" * 9_000), an_entry("g#2", inputs=b"x" * 9_000)]
    with pytest.raises(KitaruJournalError):
        journal.append(lease, group)
    with pytest.raises(KitaruJournalError):
        journal.create(a_record(inputs=b"x" * 50_000), an_owner(), 60)
    ballast.unlink()
    journal.append(lease, [entry])
    journal.append(lease, group)
    assert keys(journal, lease.exec_id) == [*written, entry.key, "g#1", "g#2"]
    journal.close()
    journal = SqliteJournal(str(small_disk / "kitaru.db"))
    assert keys(journal, lease.exec_id) == [*written, entry.key, "g#1", "g#2"]
    journal.close()


# -- a failing disk ---------------------------------------------------------------------------------------------


class FailingFile(apsw.VFSFile):
    def __init__(self, vfs, filename, flags):
        self.vfs = vfs
        super().__init__(vfs.base, filename, flags)

    def xWrite(self, data, offset):
        self.vfs.tick("write")
        return super().xWrite(data, offset)

    def xSync(self, flags):
        self.vfs.tick("sync")
        return super().xSync(flags)


class FailingDisk(apsw.VFS):
    """The default file system, but chosen writes and syncs fail; it must live as long as its connections."""

    def __init__(self):
        self.count = 0
        self.fails = lambda number: False
        self.base = apsw.vfs_names()[0]  # the default one
        super().__init__("kitaru-failing", self.base, makedefault=True)

    def xOpen(self, name, flags):
        return FailingFile(self, name, flags)

    def tick(self, what):
        self.count += 1
        if self.fails(self.count):
            raise (apsw.FullError if what == "write" else apsw.IOError)(f"injected into {what} {self.count}")


@pytest.fixture
def disk():
    disk = FailingDisk()
    yield disk
    disk.fails = lambda number: False
    disk.unregister()


def patiently(send):
    """Send until it is accepted, as the kernel does; how often it took."""
    for tries in range(1, 50):
        try:
            send()
        except KitaruJournalError:
            continue
        return tries
    raise AssertionError("the disk is well again, but the journal refuses")


@pytest.mark.parametrize("failures", [1, 3])
def test_every_write_and_sync_may_fail(tmp_path, disk, failures):
    point, troubled = 0, 0
    while True:
        point += 1
        journal = SqliteJournal(str(tmp_path / f"{point}.db"))
        disk.count = 0
        disk.fails = lambda number, point=point: point <= number < point + failures
        record, child = a_record(idempotency_key="k"), a_record()
        created = []
        tries = patiently(lambda: created.append(journal.create(record, an_owner(), 60)))
        lease = created[-1].lease
        assert lease is not None and not created[-1].existed
        one, group, last = an_entry("one#1"), [an_entry("two#1"), an_entry("three#1")], an_entry("end#1")
        call = an_entry(">c#1")
        tries += patiently(lambda: journal.append(lease, [one]))
        tries += patiently(lambda: journal.append(lease, group))
        tries += patiently(lambda: journal.create_child(lease, call, child, None, 60))
        tries += patiently(lambda: journal.finish(lease, "completed", ended_at=5, entries=[last]))
        over = disk.count < point
        disk.fails = lambda number: False
        expected = ["one#1", "two#1", "three#1", ">c#1", "end#1"]
        assert keys(journal, record.exec_id) == expected, f"failure at write {point}"
        journal.close()
        journal = SqliteJournal(str(tmp_path / f"{point}.db"))
        assert keys(journal, record.exec_id) == expected, f"failure at write {point}, reopened"
        assert journal.get(record.exec_id).status == "completed" and journal.get(child.exec_id).status == "pending"
        assert journal.info()["sound"]
        journal.close()
        troubled += tries > 5
        if over:
            break
    assert troubled > 5, "no injected failure was felt"


def test_a_failed_group_is_everybodys_trouble_and_can_be_sent_again(tmp_path, disk):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    leases = [started(journal) for _ in range(4)]
    disk.count = 0
    disk.fails = lambda number: number % 41 == 0  # for as long as it runs, not once

    def work(number):
        for index in range(20):
            entries = [an_entry(f"k#{index}"), an_entry(f"l#{index}")]
            patiently(lambda: journal.append(leases[number], entries))

    assert in_threads(4, work) == []
    disk.fails = lambda number: False
    for lease in leases:
        assert keys(journal, lease.exec_id) == [f"{letter}#{n}" for n in range(20) for letter in "kl"]
    journal.close()


# -- values that no disk can store ------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [{"key": "a\ud800#1"}, {"name": "\udfff"}, {"ended_at": 1 << 70}])
def test_what_cannot_be_stored_is_refused_for_good(tmp_path, wrong):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    lease = started(journal)
    for entries in ([an_entry(**wrong)], [an_entry("good#1"), an_entry(**wrong)]):
        with pytest.raises(KitaruSerializationError, match="cannot be stored"):
            journal.append(lease, entries)
    journal.append(lease, [an_entry("b#1")])
    assert keys(journal, lease.exec_id) == ["b#1"]
    journal.close()


def test_the_texts_name_the_file(tmp_path, disk):
    path = str(tmp_path / "kitaru.db")
    journal = SqliteJournal(path)
    lease = started(journal)
    disk.fails = lambda number: True
    with pytest.raises(KitaruJournalError) as caught:
        journal.append(lease, [an_entry()])
    assert path in str(caught.value) and os.path.isabs(path)
    disk.fails = lambda number: False
    journal.close()

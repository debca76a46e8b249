"""Many threads, many processes, and forks on one SQLite journal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from kitaru.errors import KitaruJournalError
from kitaru.journal.records import ExecutionQuery
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import a_record, an_entry, in_threads, keys, living, started

WRITE_MANY = """
import sys
from kitaru.errors import KitaruStateError
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, an_owner, living, started

journal = SqliteJournal(sys.argv[1], durability="process")
number, contended = int(sys.argv[2]), sys.argv[3:]
sys.stdin.read(1)
lease = started(journal, flow_name=f"writer{number}")
for index in range(60):
    journal.append(lease, [an_entry(f"k#{index}")])
    if index % 6 == 0:
        exec_id = contended[index // 6]
        try:
            mine = journal.claim(exec_id, an_owner(number), 60, ("interrupted",), living).lease
            journal.append(mine, [an_entry(f"won-by-{number}#1")])
        except KitaruStateError:
            pass
journal.finish(lease, "completed", ended_at=1)
journal.close()
"""


def test_several_processes_write_to_one_store(tmp_path):
    path = str(tmp_path / "kitaru.db")
    journal = SqliteJournal(path)
    contended = []
    for _ in range(10):
        lease = started(journal, flow_name="contended")
        journal.release(lease)
        contended.append(lease.exec_id)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", WRITE_MANY, path, str(number), *contended],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    for process in processes:
        process.stdin.write("g")
        process.stdin.flush()
    for process in processes:
        _, complaint = process.communicate(timeout=90)
        assert process.returncode == 0, complaint
    for number in range(4):
        (record,) = journal.list(ExecutionQuery(flow_name=f"writer{number}"), living)
        assert record.status == "completed"
        assert keys(journal, record.exec_id) == [f"k#{index}" for index in range(60)]
    for exec_id in contended:
        assert len(keys(journal, exec_id)) == 1, "exactly one process won"
        assert journal.get(exec_id).fence == 3  # made, released, claimed once
    assert journal.info()["sound"]
    journal.close()


def test_threads_use_every_part_at_once(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"), durability="process")

    def work(number):
        for _ in range(8):
            lease = started(journal, flow_name=f"flow{number}")
            journal.append(lease, [an_entry("a#1")])
            journal.append(lease, [an_entry("b#1"), an_entry("c#1", cache_key=b"k")])
            assert keys(journal, lease.exec_id) == ["a#1", "b#1", "c#1"]
            assert journal.renew([lease], 60) == []
            assert journal.poll_cancelled([lease]) == []
            assert journal.find_cached(b"k") is not None
            journal.version()
            assert journal.list(ExecutionQuery(flow_name=f"flow{number}", limit=1), living)[0].exec_id == lease.exec_id
            journal.finish(lease, "completed", ended_at=1, entries=[an_entry("d#1")])

    assert in_threads(8, work) == []
    assert len(journal.list(ExecutionQuery(statuses=("completed",)), living)) == 64
    assert journal.info()["sound"]
    journal.close()


def test_calls_that_arrive_during_a_commit_share_the_next_one(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    leases = [started(journal) for _ in range(16)]
    commits = []

    def committing():
        commits.append(1)
        deadline = time.monotonic() + 30
        while len(commits) == 1 and len(journal._queue) < 15 and time.monotonic() < deadline:
            time.sleep(0.001)
        return False

    journal._connection.set_commit_hook(committing)
    assert in_threads(16, lambda number: journal.append(leases[number], [an_entry(f"k#{number}")])) == []
    assert len(commits) == 2, "the first one, and one for the fifteen that came meanwhile"
    for number, lease in enumerate(leases):
        assert keys(journal, lease.exec_id) == [f"k#{number}"]
    journal.close()


KILLED_WRITER = """
import sys
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, started
journal = SqliteJournal(sys.argv[1], durability=sys.argv[2])
lease = started(journal)
print(lease.exec_id, flush=True)
number = 0
while True:
    journal.append(lease, [an_entry(f"k#{number}")])
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("durability", ["full", "process"])
def test_what_a_killed_process_committed_is_there(tmp_path, durability):
    path = str(tmp_path / "kitaru.db")
    for after in (1, 40, 200):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED_WRITER, path, durability], stdout=subprocess.PIPE, text=True
        )
        exec_id = process.stdout.readline().strip()
        acknowledged = -1
        while acknowledged < after:
            acknowledged = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read()
        process.stdout.close()
        process.wait(30)
        whole = [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged += len(whole)
        journal = SqliteJournal(path)
        found = keys(journal, exec_id)
        assert found == [f"k#{number}" for number in range(len(found))]
        assert len(found) in (acknowledged + 1, acknowledged + 2), "one commit may have gone unacknowledged"
        journal.close()


# -- forks ------------------------------------------------------------------------------------------------------


def in_fork(body):
    """Run ``body`` in a forked child that ends like a normal process; its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            body()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # forks with threads: what is tested here
def test_a_forked_child_is_refused_and_the_parent_goes_on(tmp_path):
    journal = SqliteJournal(str(tmp_path / "kitaru.db"))
    lease = started(journal)

    def child():
        for use in (
            lambda: journal.append(lease, [an_entry("child#1")]),
            lambda: journal.append(lease, [an_entry("child#1"), an_entry("child#2")]),
            lambda: journal.create(a_record(), None, 1),
            lambda: journal.get(lease.exec_id),
            journal.version,
            journal.info,
        ):
            with pytest.raises(KitaruJournalError, match="fork"):
                use()
        journal.close()  # does nothing

    for _ in range(3):
        assert in_fork(child) == 0
        journal.append(lease, [an_entry("parent#1")])
    assert keys(journal, lease.exec_id) == ["parent#1"] * 3
    assert journal.info()["sound"]
    journal.close()


FORK_AND_LEAVE = """
import os, sys
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import an_entry, keys, started
journal = SqliteJournal(sys.argv[1])
lease = started(journal)
for number in range(5):
    journal.append(lease, [an_entry(f"before#{number}")])
    pid = os.fork()
    if pid == 0:
        fresh = SqliteJournal(sys.argv[1])  # a journal of its own is fine
        assert len(keys(fresh, lease.exec_id)) == 2 * number + 1
        fresh.close()
        sys.exit(0)  # a full interpreter end, with every object's end
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    journal.append(lease, [an_entry(f"after#{number}")])
assert len(keys(journal, lease.exec_id)) == 10
journal.close()
journal = SqliteJournal(sys.argv[1])
assert len(keys(journal, lease.exec_id)) == 10 and journal.info()["sound"]
journal.close()
"""


def test_children_that_end_normally_leave_the_parents_files_alone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK_AND_LEAVE, str(tmp_path / "kitaru.db")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr

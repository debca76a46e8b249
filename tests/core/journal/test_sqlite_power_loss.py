"""Power loss: whatever end the log is left with, the journal that opens again is an exact prefix of what was committed.

``kill -9`` does not test this: the operating system keeps what it was given. So the files are copied and the copy's
log is cut at every frame boundary, at bytes inside frames, and damaged by single bits. The model is the oracle: it
knows the state after each commit, and the log's frames say which commits the copy still holds whole.
"""

from __future__ import annotations

import copy
import os
import random
import shutil
import struct

import apsw
import pytest

from kitaru.journal.migrations import MIGRATIONS
from kitaru.journal.records import ExecutionQuery
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import a_record, an_entry, an_owner, dead, living, started

WAL_HEADER, FRAME_HEADER, PAGE = 32, 24, 4096  # sqlite.org/fileformat2.html, section 4
FRAME = FRAME_HEADER + PAGE
SEED = int(os.environ.get("KITARU_TEST_SEED", "20"))

Model = dict[str, tuple[str, tuple[str, ...]]]  # execution -> (status, keys of its entries)


class Workload:
    """Commits of every kind, one after another; ``states[n]`` is the model after commit ``n``."""

    def __init__(self, journal: SqliteJournal, seed: int) -> None:
        self.journal = journal
        self.random = random.Random(seed)
        self.model: Model = {}
        self.leases = {}
        self.states: list[Model] = [{}]

    def commit(self) -> None:
        choice = self.random.random()
        if not self.leases or choice < 0.1:
            lease = started(self.journal)
            self.leases[lease.exec_id] = lease
            self.model[lease.exec_id] = ("running", ())
        else:
            exec_id = self.random.choice(list(self.leases))
            lease = self.leases[exec_id]
            status, keys = self.model[exec_id]
            if choice < 0.8:
                count = 1 if choice < 0.6 else self.random.randrange(2, 40)
                new = tuple(f"k#{len(keys) + number}" for number in range(count))
                self.journal.append(lease, [an_entry(key) for key in new])
                self.model[exec_id] = (status, keys + new)
            elif choice < 0.87:
                child = a_record(parent_exec_id=exec_id)
                created = self.journal.create_child(lease, an_entry(">c#1"), child, an_owner(), 60)
                self.leases[child.exec_id] = created.lease
                self.model[exec_id] = (status, (*keys, ">c#1"))
                self.model[child.exec_id] = ("running", ())
            elif choice < 0.94:
                self.journal.finish(lease, "completed", ended_at=1, entries=[an_entry("end#1")])
                self.model[exec_id] = ("completed", (*keys, "end#1"))
                del self.leases[exec_id]
            else:
                self.leases[exec_id] = self.journal.claim(exec_id, an_owner(2), 60, ("interrupted",), dead).lease
        self.states.append(copy.copy(self.model))


def state_of(path: str) -> Model:
    journal = SqliteJournal(path)
    try:
        found = {
            record.exec_id: (record.status, tuple(entry.key for entry in journal.entries(record.exec_id)))
            for record in journal.list(ExecutionQuery(), living)
        }
        lease = started(journal)  # and it goes on working
        journal.append(lease, [an_entry()])
    finally:
        journal.close()
    return found


class Crashed:
    """A database file and its log as they were at some moment, and which commit each frame of the log ends."""

    def __init__(self, directory, commits: int, checkpoint_after: int | None, durability: str) -> None:
        live = str(directory / "live.db")
        journal = SqliteJournal(live, durability=durability)
        journal._connection.wal_autocheckpoint(0)
        work = Workload(journal, SEED)
        base = 0
        for number in range(1, commits + 1):
            work.commit()
            if number == checkpoint_after:
                # The log starts again from its beginning: behind the new frames the old ones remain.
                journal._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_RESTART)
                base = number
        self.path = str(directory / "crashed.db")
        self.states = work.states
        for suffix in ("", "-wal"):
            shutil.copyfile(live + suffix, self.path + suffix)
        journal.close()
        with open(self.path + "-wal", "rb") as file:
            self.log = file.read()
        with open(self.path, "rb") as file:
            self.file = file.read()
        self._count_commits(base)

    def _count_commits(self, base: int) -> None:
        """``self.held[n]``: how many commits are whole once the log's first ``n`` frames are."""
        salts = self.log[16:24]
        self.held = [base]
        # The first commits of a new file make the schema, one each migration: the state before any other is empty.
        schema = len(MIGRATIONS) if base == 0 else 0
        for start in range(WAL_HEADER, len(self.log) - FRAME + 1, FRAME):
            header = self.log[start : start + FRAME_HEADER]
            if header[8:16] != salts:
                break
            (pages_after_commit,) = struct.unpack(">I", header[4:8])
            held = self.held[-1]
            if pages_after_commit:
                held, schema = (held, schema - 1) if schema else (held + 1, 0)
            self.held.append(held)
        assert self.held[-1] == len(self.states) - 1, "every commit has its frame"

    def check(self, directory, log: bytes, frames: int, what: str) -> None:
        path = str(directory / "copy.db")
        with open(path, "wb") as file:
            file.write(self.file)
        with open(path + "-wal", "wb") as file:
            file.write(log)
        expected = self.states[self.held[min(frames, len(self.held) - 1)]]
        assert state_of(path) == expected, f"{what}; repeat with KITARU_TEST_SEED={SEED}"
        os.unlink(path)


def cut_everywhere(crashed: Crashed, directory, cuts_inside: int, flips: int) -> None:
    frames = len(crashed.held) - 1
    for frame in range(frames + 1):
        crashed.check(directory, crashed.log[: WAL_HEADER + frame * FRAME], frame, f"log cut after frame {frame}")
    chance = random.Random(SEED)
    for _ in range(cuts_inside):
        at = chance.randrange(WAL_HEADER + frames * FRAME)
        crashed.check(directory, crashed.log[:at], max(0, (at - WAL_HEADER) // FRAME), f"log cut at byte {at}")
    for _ in range(flips):
        at, bit = chance.randrange(WAL_HEADER + frames * FRAME), 1 << chance.randrange(8)
        log = bytearray(crashed.log)
        log[at] ^= bit
        frame = (at - WAL_HEADER) // FRAME if at >= WAL_HEADER else 0
        crashed.check(directory, bytes(log), frame, f"bit {bit} of byte {at} flipped")


@pytest.mark.parametrize(("checkpoint_after", "durability"), [(None, "full"), (60, "full"), (None, "process")])
def test_a_cut_log_leaves_an_exact_prefix(tmp_path, checkpoint_after, durability):
    cut_everywhere(Crashed(tmp_path, 120, checkpoint_after, durability), tmp_path, cuts_inside=25, flips=25)


@pytest.mark.battery
@pytest.mark.timeout(1800)
def test_a_cut_log_of_a_thousand_commits_leaves_an_exact_prefix(tmp_path):
    cut_everywhere(Crashed(tmp_path, 1_000, None, "full"), tmp_path, cuts_inside=300, flips=300)

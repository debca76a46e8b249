"""The state machine: every pair of statuses, checked on every write."""

from __future__ import annotations

import itertools

import apsw
import pytest

from kitaru.errors import KitaruLeaseError, KitaruStateError
from kitaru.journal import transitions
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance.journal_samples import (
    a_record,
    an_entry,
    an_owner,
    dead,
    keys,
    living,
    started,
    unknown,
)

STATUSES = ("pending", "running", "waiting", "completed", "failed", "cancelled")
ALLOWED = {
    ("pending", "running"), ("pending", "cancelled"), ("running", "running"), ("running", "waiting"),
    ("running", "completed"), ("running", "failed"), ("running", "cancelled"), ("waiting", "running"),
    ("waiting", "cancelled"), ("failed", "running"), ("cancelled", "running"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATUSES, [*STATUSES, "interrupted", "done"])))
def test_every_transition_is_allowed_or_named(before, after):
    if (before, after) in ALLOWED:
        transitions.check_transition("id-1", before, after)
    else:
        with pytest.raises(KitaruStateError, match=f"execution id-1 cannot go from {before} to {after}"):
            transitions.check_transition("id-1", before, after)


def test_the_diagram_knows_every_status():
    assert set(transitions.FOLLOWING) == set(STATUSES)
    assert {status for status, following in transitions.FOLLOWING.items() if not following} == {"completed"}


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "waiting", "pending"])
def test_a_write_that_breaks_the_diagram_is_refused_and_changes_nothing(tmp_path, status):
    # Somebody's bug (or hand) left a status under a lease that is still the newest: the owner's end must not hide it.
    path = str(tmp_path / "kitaru.db")
    journal = SqliteJournal(path)
    lease = started(journal)
    other = apsw.Connection(path)
    other.execute("UPDATE executions SET status = ?", (status,))
    other.close()
    before = journal.get(lease.exec_id)
    for write in (
        lambda: journal.finish(lease, "completed" if status != "completed" else "failed", ended_at=1,
                               entries=[an_entry()]),
        lambda: journal.suspend(lease, wake_at=1, entries=[an_entry()]),
    ):  # fmt: skip
        with pytest.raises(KitaruStateError, match=f"from {status} to") as caught:
            write()
        assert not isinstance(caught.value, KitaruLeaseError)
    assert journal.get(lease.exec_id) == before and keys(journal, lease.exec_id) == []
    journal.close()


def test_public_status():
    record = a_record()
    assert transitions.public_status(record, dead, 0) == "pending"
    transitions.owned(record, an_owner(), expires_at=100)
    for alive, now, expected in (
        (living, 50, "running"), (unknown, 100, "running"), (dead, 50, "interrupted"), (living, 101, "interrupted"),
    ):  # fmt: skip
        assert transitions.public_status(record, alive, now) == expected
    transitions.released(record)
    assert transitions.public_status(record, living, 0) == "interrupted"


def test_letting_go_always_makes_a_new_token():
    for let_go in (
        lambda record: transitions.released(record),
        lambda record: transitions.suspended(record, None, 1),
        lambda record: transitions.cancelled(record, dead, 1),
        lambda record: transitions.ended(record, "failed", ended_at=1, result=None, failure=None, status_reason=None),
    ):
        record = a_record()
        transitions.owned(record, an_owner(), 1)
        let_go(record)
        assert record.fence == 2 and record.owner is None and record.lease_expires_at is None

"""Waits: a part of the journal's conformance."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from kitaru.errors import KitaruLeaseError, KitaruNotFoundError, KitaruStateError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import EntryKind, ExecutionQuery, Lease, WaitRecord
from kitaru.testing.conformance.journal_samples import (
    LEASE_SECONDS,
    a_payload,
    a_record,
    an_entry,
    an_owner,
    dead,
    in_threads,
    keys,
    living,
    started,
    with_status,
)

_counter = itertools.count(1)


def a_wait(lease: Lease, name: str = "approve", **fields: Any) -> WaitRecord:
    """A wait that is about to be opened, every field set that its opener sets."""
    number = next(_counter)
    values: dict[str, Any] = {
        "exec_id": lease.exec_id,
        "key": f"!wait%3a{name}#{number}",
        "wait_id": f"id-{number}",
        "name": name,
        "question": "Gö?",
        "schema": {"type": "object", "properties": {"ü": {"enum": [1, None]}}},
        "metadata": {"deep": [{"x": 1.5}]},
        "created_at": 1_000 + number,
        "expires_at": 5_000_000,
        "has_default": True,
        **fields,
    }
    return WaitRecord(**values)


class WaitContract:
    """``open_wait``, ``resolve_wait``, ``waits``, and what they mean to everything else."""

    def test_open_wait_stores_every_field(self, journal: Journal) -> None:
        lease = started(journal)
        wait = a_wait(lease)
        assert journal.open_wait(lease, wait, [an_entry("before#1")]) == wait
        assert journal.waits(lease.exec_id) == [wait] and keys(journal, lease.exec_id) == ["before#1"]
        assert journal.get(lease.exec_id).open_waits == 1
        bare = a_wait(lease, "bare", question=None, schema=None, metadata={}, expires_at=None, has_default=False)
        assert journal.open_wait(lease, bare) == bare
        assert journal.waits(lease.exec_id) == [wait, bare], "oldest first"

    def test_opening_again_gives_the_stored_one(self, journal: Journal) -> None:
        lease = started(journal)
        wait = a_wait(lease)
        journal.open_wait(lease, wait)
        again = replace(wait, created_at=9, expires_at=9, question="New?", schema={"type": "null"}, metadata={"n": 1})
        expected = replace(wait, question="New?", schema={"type": "null"}, metadata={"n": 1})
        assert journal.open_wait(lease, again) == expected, "an open one takes the newest question, not its deadline"
        assert journal.waits(lease.exec_id) == [expected]
        journal.resolve_wait(lease.exec_id, wait.wait_id, "answered", a_payload(), 7)
        met = journal.open_wait(lease, replace(wait, question="Newer?"))
        assert (met.status, met.question, met.answer, met.resolved_at) == ("answered", "New?", a_payload(), 7)

    def test_names_are_unique_in_an_execution(self, journal: Journal) -> None:
        lease, other = started(journal), started(journal)
        names = [journal.open_wait(lease, a_wait(lease)).name for _ in range(3)]
        names.append(journal.open_wait(lease, a_wait(lease, "approver")).name)
        assert names == ["approve", "approve#2", "approve#3", "approver"]
        assert journal.open_wait(other, a_wait(other)).name == "approve"
        # A name that somebody chose to look like a number is not given twice.
        journal.open_wait(other, a_wait(other, "approve#2"))
        assert journal.open_wait(other, a_wait(other)).name == "approve#3"

    def test_a_lost_lease_opens_nothing(self, journal: Journal) -> None:
        lease = started(journal)
        journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        with pytest.raises(KitaruLeaseError):
            journal.open_wait(lease, a_wait(lease), [an_entry("zombie#1")])
        assert journal.waits(lease.exec_id) == [] and keys(journal, lease.exec_id) == []

    @pytest.mark.parametrize("status", ["answered", "aborted", "expired", "withdrawn"])
    def test_a_wait_ends_once(self, journal: Journal, status: str) -> None:
        lease = started(journal)
        wait = journal.open_wait(lease, a_wait(lease))
        answer = a_payload() if status in ("answered", "expired") else None
        ended = journal.resolve_wait(lease.exec_id, wait.wait_id, status, answer, 77)
        assert ended == replace(wait, status=status, answer=answer, resolved_at=77)
        assert journal.waits(lease.exec_id) == [ended] and journal.waits(lease.exec_id, open_only=True) == []
        assert journal.get(lease.exec_id).open_waits == 0
        for other in ("answered", "expired", "withdrawn"):
            with pytest.raises(KitaruStateError, match=f"already {status}"):
                journal.resolve_wait(lease.exec_id, wait.wait_id, other, a_payload(b"2"), 78)
        assert journal.waits(lease.exec_id) == [ended]

    def test_of_many_answers_at_once_one_is_accepted(self, journal: Journal) -> None:
        lease = started(journal)
        wait = journal.open_wait(lease, a_wait(lease))

        def answer(number: int) -> None:
            journal.resolve_wait(lease.exec_id, wait.wait_id, "answered", a_payload(b"%d" % number), number)

        raised = in_threads(8, answer)
        assert len(raised) == 7 and all(isinstance(error, KitaruStateError) for error in raised)
        (kept,) = journal.waits(lease.exec_id)
        assert kept.answer == a_payload(b"%d" % (kept.resolved_at or 0))

    def test_what_cannot_be_answered(self, journal: Journal) -> None:
        lease = started(journal)
        wait = journal.open_wait(lease, a_wait(lease, expires_at=100))
        with pytest.raises(KitaruNotFoundError, match="no-such-wait"):
            journal.resolve_wait(lease.exec_id, "no-such-wait", "answered", None, 1)
        with pytest.raises(KitaruNotFoundError, match="no-such-id"):
            journal.resolve_wait("no-such-id", wait.wait_id, "answered", None, 1)
        with pytest.raises(KitaruNotFoundError):
            journal.waits("no-such-id")
        for status in ("answered", "aborted"):
            with pytest.raises(KitaruStateError, match="expired"):
                journal.resolve_wait(lease.exec_id, wait.wait_id, status, None, 100)
        journal.resolve_wait(lease.exec_id, wait.wait_id, "expired", None, 100)
        second = journal.open_wait(lease, a_wait(lease))
        journal.finish(lease, "cancelled", ended_at=1)
        with pytest.raises(KitaruStateError, match="the execution is cancelled"):
            journal.resolve_wait(lease.exec_id, second.wait_id, "answered", None, 1)

    def test_only_the_owner_ends_a_wait_with_its_lease(self, journal: Journal) -> None:
        lease = started(journal)
        wait = journal.open_wait(lease, a_wait(lease))
        taken = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead).lease
        with pytest.raises(KitaruLeaseError):
            journal.resolve_wait(lease.exec_id, wait.wait_id, "withdrawn", None, 1, lease=lease)
        assert (
            journal.resolve_wait(lease.exec_id, wait.wait_id, "withdrawn", None, 1, lease=taken).status == "withdrawn"
        )

    def test_an_execution_with_an_open_wait_is_listed_as_waiting(self, journal: Journal) -> None:
        lease, plain = started(journal), started(journal)
        wait = journal.open_wait(lease, a_wait(lease))

        def listed(*statuses: str, alive: Any = living) -> list[str]:
            return [one.exec_id for one in journal.list(ExecutionQuery(statuses=statuses), alive)]

        assert listed("waiting") == [lease.exec_id] and listed("running") == [plain.exec_id]
        assert listed("running", "waiting") == [plain.exec_id, lease.exec_id]
        assert listed("interrupted") == [] and listed("interrupted", "waiting") == [lease.exec_id]
        assert (
            listed("interrupted", alive=dead) == [plain.exec_id, lease.exec_id] and listed("waiting", alive=dead) == []
        )
        assert {one.exec_id: one.open_waits for one in journal.list(ExecutionQuery(), living)} == {
            lease.exec_id: 1,
            plain.exec_id: 0,
        }
        journal.resolve_wait(lease.exec_id, wait.wait_id, "answered", a_payload(), 7)
        assert listed("waiting") == [] and len(listed("running")) == 2

    def test_an_answer_wakes_what_is_suspended_and_those_above_it(self, journal: Journal) -> None:
        grandparent = with_status(journal, "waiting")
        parent = with_status(journal, "waiting", parent_exec_id=grandparent)
        lease = started(journal, parent_exec_id=parent)
        wait = journal.open_wait(lease, a_wait(lease))
        assert journal.suspend(lease, wake_at=None, waits=[wait.wait_id]) is False
        assert journal.recoverable(10**9, living) == []
        journal.resolve_wait(lease.exec_id, wait.wait_id, "answered", a_payload(), 55)
        assert [journal.get(one).wake_at for one in (lease.exec_id, parent, grandparent)] == [55, 55, 55]
        assert [one.exec_id for one in journal.recoverable(55, living)] == [grandparent]
        assert journal.get(lease.exec_id).status == "waiting"

    def test_an_answer_does_not_wake_what_runs(self, journal: Journal) -> None:
        lease = started(journal)
        wait = journal.open_wait(lease, a_wait(lease))
        journal.resolve_wait(lease.exec_id, wait.wait_id, "answered", a_payload(), 55)
        assert journal.get(lease.exec_id).wake_at is None

    def test_what_was_answered_while_it_was_let_go_of_is_due_at_once(self, journal: Journal) -> None:
        lease = started(journal)
        waits = [journal.open_wait(lease, a_wait(lease)).wait_id for _ in range(2)]
        journal.resolve_wait(lease.exec_id, waits[0], "answered", a_payload(), 5)
        assert journal.suspend(lease, wake_at=None, waits=waits) is True
        stored = journal.get(lease.exec_id)
        assert stored.status == "waiting" and stored.wake_at is not None
        assert len(journal.recoverable(stored.wake_at, living)) == 1

    def test_a_suspended_parent_is_due_with_its_child(self, journal: Journal) -> None:
        for child_wake_at, own, expected in ((500, 900, 500), (None, 900, 900), (None, None, None)):
            parent = started(journal)
            child = started(journal, parent_exec_id=parent.exec_id)
            journal.suspend(child, wake_at=child_wake_at)
            assert journal.suspend(parent, wake_at=own, children=[child.exec_id]) is False
            assert journal.get(parent.exec_id).wake_at == expected
        parent = started(journal)
        child_id = with_status(journal, "completed", parent_exec_id=parent.exec_id)
        assert journal.suspend(parent, wake_at=None, children=[child_id]) is True
        assert journal.get(parent.exec_id).wake_at is not None

    def test_a_cancellation_that_meets_a_suspension_is_not_lost(self, journal: Journal) -> None:
        parent = started(journal)
        lease = started(journal, parent_exec_id=parent.exec_id)
        journal.suspend(parent, wake_at=None, children=[lease.exec_id])
        assert journal.request_cancel(lease.exec_id, living).cancel_requested
        for _ in range(2):  # sent again, too
            assert journal.suspend(lease, wake_at=None, entries=[an_entry("a#1")]) is False
        stored = journal.get(lease.exec_id)
        assert (stored.status, stored.owner, stored.cancel_requested) == ("cancelled", None, False)
        assert stored.ended_at is not None and len(journal.entries(lease.exec_id)) == 1
        assert journal.get(parent.exec_id).wake_at is not None, "who waits for it is due"

    def test_a_cancellation_says_its_reason(self, journal: Journal) -> None:
        exec_id = with_status(journal, "waiting")
        record = journal.request_cancel(exec_id, living, "wait `x` was aborted")
        assert (record.status, record.status_reason) == ("cancelled", "wait `x` was aborted")

    def test_durable_appends_are_appends(self, journal: Journal) -> None:
        lease = started(journal)
        entries = [an_entry("a#1", kind=EntryKind.INTENT), an_entry("b#1", kind=EntryKind.WAITED)]
        journal.append_durably(lease, entries)
        journal.append_durably(lease, entries)  # sent again after a failure whose end was unknown
        journal.append(lease, [an_entry("c#1")])
        found = journal.entries(lease.exec_id)
        assert [(one.kind, one.key) for one in found][:2] == [(EntryKind.INTENT, "a#1"), (EntryKind.WAITED, "b#1")]
        assert [one.seq for one in found] == [1, 2, 3]
        journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        with pytest.raises(KitaruLeaseError):
            journal.append_durably(lease, [an_entry("zombie#1")])

    def test_create_has_no_waits(self, journal: Journal) -> None:
        assert journal.create(a_record(), an_owner(), LEASE_SECONDS).record.open_waits == 0

    @pytest.mark.parametrize("how", ["finish", "request_cancel"])
    def test_the_end_of_a_child_wakes_what_is_suspended_on_it(self, journal: Journal, how: str) -> None:
        grandparent = with_status(journal, "waiting")
        parent = with_status(journal, "waiting", parent_exec_id=grandparent)
        lease = started(journal, parent_exec_id=parent)
        if how == "finish":
            journal.finish(lease, "failed", ended_at=66, parent=parent)
        else:
            journal.suspend(lease, wake_at=None)
            journal.request_cancel(lease.exec_id, living)
        dues = [journal.get(one).wake_at for one in (parent, grandparent)]
        assert dues[0] is not None and dues[0] == dues[1] and (how != "finish" or dues == [66, 66])

    def test_continuing_a_cancelled_execution_opens_its_aborted_waits(self, journal: Journal) -> None:
        lease = started(journal)
        answered, aborted = (journal.open_wait(lease, a_wait(lease, name)) for name in ("one", "two"))
        journal.resolve_wait(lease.exec_id, answered.wait_id, "answered", a_payload(), 1)
        journal.resolve_wait(lease.exec_id, aborted.wait_id, "aborted", None, 2)
        journal.release(lease)
        # Not yet cancelled: whoever continues it must meet the abortion.
        lease = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), living).lease
        assert [one.status for one in journal.waits(lease.exec_id)] == ["answered", "aborted"]
        journal.finish(lease, "cancelled", ended_at=3)
        journal.claim(lease.exec_id, an_owner(3), LEASE_SECONDS, ("cancelled",), living)
        assert [one.status for one in journal.waits(lease.exec_id)] == ["answered", "open"]
        assert journal.get(lease.exec_id).open_waits == 1

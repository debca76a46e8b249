"""Creating, claiming and ending executions: parts of the journal's conformance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from kitaru.errors import KitaruLeaseError, KitaruNotFoundError, KitaruStateError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Created, EntryKind, ExecutionQuery, Lease
from kitaru.testing.conformance.journal_samples import (
    EXPIRED,
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
    unknown,
    with_status,
)

ANY_STATUS = ("pending", "running", "waiting", "interrupted", "failed", "cancelled", "completed")


class CreateContract:
    """``create`` and ``create_child``."""

    def test_create_stores_every_field(self, journal: Journal) -> None:
        record = a_record(
            idempotency_key="k", parent_exec_id="p", parent_call_key="a#1", original_exec_id="o", started_at=5
        )
        created = journal.create(record, None, LEASE_SECONDS)
        assert not created.existed and created.lease is None
        assert journal.get(record.exec_id) == created.record == record
        assert journal.get(record.exec_id).status == "pending"

    def test_create_with_an_owner_is_running_and_owned(self, journal: Journal) -> None:
        record = a_record()
        created = journal.create(record, an_owner(), LEASE_SECONDS)
        stored = journal.get(record.exec_id)
        assert (stored.status, stored.owner, stored.fence) == ("running", an_owner(), 1)
        assert created.record == stored
        assert created.lease is not None and created.lease.fence == 1 and created.lease.next_seq == 1
        assert created.lease.expires_at == stored.lease_expires_at

    def test_create_leaves_the_callers_record_alone(self, journal: Journal) -> None:
        record = a_record()
        before = replace(record)
        journal.create(record, an_owner(), LEASE_SECONDS)
        assert record == before, "it may have to be sent again as it was"

    @pytest.mark.parametrize("owned", [True, False])
    def test_a_taken_idempotency_key_gives_the_earlier_execution(self, journal: Journal, owned: bool) -> None:
        first = journal.create(a_record(idempotency_key="order-1"), an_owner() if owned else None, LEASE_SECONDS)
        second_record = a_record(idempotency_key="order-1")
        second = journal.create(second_record, an_owner(2), LEASE_SECONDS)
        assert second.existed and second.lease is None
        assert second.record == journal.get(first.record.exec_id)
        with pytest.raises(KitaruNotFoundError):
            journal.get(second_record.exec_id)

    def test_idempotency_keys_are_per_flow(self, journal: Journal) -> None:
        journal.create(a_record("one", idempotency_key="k"), None, LEASE_SECONDS)
        assert not journal.create(a_record("other", idempotency_key="k"), None, LEASE_SECONDS).existed

    def test_no_idempotency_key_never_clashes(self, journal: Journal) -> None:
        assert not any(journal.create(a_record(), None, LEASE_SECONDS).existed for _ in range(3))

    def test_one_idempotency_key_makes_one_execution_among_threads(self, journal: Journal) -> None:
        answers: list[Created] = []
        raised = in_threads(
            8,
            lambda n: answers.append(journal.create(a_record(idempotency_key="k"), an_owner(n), LEASE_SECONDS)),
        )
        assert raised == []
        assert [answer.existed for answer in answers].count(False) == 1
        assert len({answer.record.exec_id for answer in answers}) == 1
        assert len(journal.list(ExecutionQuery(), living)) == 1

    def test_create_sent_again_gives_the_first_lease(self, journal: Journal) -> None:
        record = a_record(idempotency_key="k")
        first = journal.create(record, an_owner(), LEASE_SECONDS)
        again = journal.create(record, an_owner(), LEASE_SECONDS)
        assert not again.existed
        assert again.lease == first.lease
        assert len(journal.list(ExecutionQuery(), living)) == 1

    def test_create_sent_again_after_a_claim_gives_no_lease(self, journal: Journal) -> None:
        record = a_record()
        journal.create(record, an_owner(), LEASE_SECONDS)
        journal.claim(record.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        again = journal.create(record, an_owner(), LEASE_SECONDS)
        assert not again.existed and again.lease is None

    @pytest.mark.parametrize("wrong", [{"status": "running"}, {"status": "completed"}, {"fence": 3}])
    def test_only_new_executions_are_created(self, journal: Journal, wrong: dict[str, Any]) -> None:
        record = a_record(**wrong)
        with pytest.raises(KitaruStateError, match=record.exec_id):
            journal.create(record, None, LEASE_SECONDS)
        with pytest.raises(KitaruNotFoundError):
            journal.get(record.exec_id)

    def test_create_child_commits_the_call_and_the_child(self, journal: Journal) -> None:
        parent = started(journal)
        child = a_record("child", parent_exec_id=parent.exec_id)
        entry = an_entry(">child#1", kind=EntryKind.CHILD, detail={"exec_id": child.exec_id})
        created = journal.create_child(parent, entry, child, an_owner(), LEASE_SECONDS)
        assert created.lease is not None and journal.get(child.exec_id).status == "running"
        assert journal.entries(parent.exec_id) == [entry]
        journal.append(created.lease, [an_entry("inside#1")])
        assert keys(journal, child.exec_id) == ["inside#1"]

    def test_create_child_of_a_lost_parent_writes_neither(self, journal: Journal) -> None:
        parent = started(journal)
        journal.release(parent)
        child = a_record("child", parent_exec_id=parent.exec_id)
        with pytest.raises(KitaruLeaseError, match=parent.exec_id):
            journal.create_child(parent, an_entry(">child#1"), child, an_owner(), LEASE_SECONDS)
        assert journal.entries(parent.exec_id) == []
        with pytest.raises(KitaruNotFoundError):
            journal.get(child.exec_id)

    def test_create_child_that_is_refused_leaves_no_entry(self, journal: Journal) -> None:
        parent = started(journal)
        with pytest.raises(KitaruStateError):
            journal.create_child(parent, an_entry(">c#1"), a_record(status="failed"), an_owner(), LEASE_SECONDS)
        journal.create(a_record("child", idempotency_key="k"), None, LEASE_SECONDS)
        taken = journal.create_child(
            parent, an_entry(">c#2"), a_record("child", idempotency_key="k"), None, LEASE_SECONDS
        )
        assert taken.existed
        assert journal.entries(parent.exec_id) == []

    def test_create_child_sent_again_is_a_no_op(self, journal: Journal) -> None:
        parent = started(journal)
        child = a_record("child", parent_exec_id=parent.exec_id)
        entry = an_entry(">child#1", kind=EntryKind.CHILD)
        first = journal.create_child(parent, entry, child, an_owner(), LEASE_SECONDS)
        again = journal.create_child(parent, entry, child, an_owner(), LEASE_SECONDS)
        assert again.lease == first.lease and not again.existed
        assert keys(journal, parent.exec_id) == [">child#1"]


class ClaimContract:
    """``claim`` and ``renew``."""

    @pytest.mark.parametrize("status", ANY_STATUS)
    def test_claim_takes_what_is_accepted(self, journal: Journal, status: str) -> None:
        exec_id = with_status(journal, status)
        fence = journal.get(exec_id).fence
        if status in ("running", "completed"):  # somebody has the one, nothing follows the other
            with pytest.raises(KitaruStateError, match=exec_id):
                journal.claim(exec_id, an_owner(2), LEASE_SECONDS, (status,) if status == "completed" else (), living)
            assert journal.get(exec_id).fence == fence
            return
        claimed = journal.claim(exec_id, an_owner(2), LEASE_SECONDS, (status,), living)
        stored = journal.get(exec_id)
        assert (stored.status, stored.owner, stored.fence) == ("running", an_owner(2), fence + 1)
        assert claimed.record == stored
        assert claimed.lease.fence == stored.fence and claimed.lease.expires_at == stored.lease_expires_at
        assert stored.started_at is not None
        assert (stored.ended_at, stored.failure, stored.status_reason, stored.wake_at) == (None, None, None, None)
        assert claimed.previous_owner is None and stored.owners_lost == 0

    @pytest.mark.parametrize("status", [status for status in ANY_STATUS if status != "running"])
    def test_claim_refuses_what_is_not_accepted(self, journal: Journal, status: str) -> None:
        exec_id = with_status(journal, status)
        before = journal.get(exec_id)
        accept = [other for other in ANY_STATUS if other not in (status, "running")]
        with pytest.raises(KitaruStateError, match=f"(?s){exec_id}.*{status}") as caught:
            journal.claim(exec_id, an_owner(2), LEASE_SECONDS, accept, living)
        assert not isinstance(caught.value, KitaruLeaseError)
        assert journal.get(exec_id) == before

    def test_claim_of_nothing(self, journal: Journal) -> None:
        with pytest.raises(KitaruNotFoundError, match="no-such-id"):
            journal.claim("no-such-id", an_owner(), LEASE_SECONDS, ("interrupted",), living)

    @pytest.mark.parametrize("alive", [living, unknown])
    def test_a_living_or_unknown_owner_keeps_its_execution(self, journal: Journal, alive: Any) -> None:
        lease = started(journal)
        with pytest.raises(KitaruLeaseError, match=lease.exec_id):
            journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted", "pending"), alive)
        journal.append(lease, [an_entry()])

    @pytest.mark.parametrize("alive", [living, unknown])
    def test_an_expired_lease_is_claimed_whoever_lives(self, journal: Journal, alive: Any) -> None:
        created = journal.create(a_record(), an_owner(), EXPIRED)
        claimed = journal.claim(created.record.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), alive)
        assert claimed.previous_owner == an_owner() and claimed.record.owners_lost == 1

    def test_a_dead_owner_loses_its_execution(self, journal: Journal) -> None:
        lease = started(journal)
        claimed = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        assert claimed.previous_owner == an_owner() and claimed.record.owners_lost == 1
        again = journal.claim(lease.exec_id, an_owner(3), LEASE_SECONDS, ("interrupted",), dead)
        assert again.record.owners_lost == 2
        with pytest.raises(KitaruLeaseError):
            journal.append(lease, [an_entry("zombie#1")])
        with pytest.raises(KitaruLeaseError):
            journal.append(claimed.lease, [an_entry("zombie#2")])

    def test_only_owners_lost_without_progress_add_up(self, journal: Journal) -> None:
        lease = started(journal)
        for number, outcome in enumerate((None, EntryKind.COMPLETED, None, EntryKind.FAILED, EntryKind.CANCELLED)):
            journal.append(lease, [an_entry(f"s#{number}", kind=EntryKind.STARTED), an_entry(kind=EntryKind.METADATA)])
            if outcome is not None:
                journal.append(lease, [an_entry(f"call#{number}", kind=outcome)])
            claimed = journal.claim(lease.exec_id, an_owner(number), LEASE_SECONDS, ("interrupted",), dead)
            assert claimed.record.owners_lost == (1, 1, 2, 1, 1)[number] == journal.get(lease.exec_id).owners_lost
            lease = claimed.lease
        for lost in (2, 3):  # earlier owners' outcomes are no progress of this one
            claimed = journal.claim(lease.exec_id, an_owner(9), LEASE_SECONDS, ("interrupted",), dead)
            assert claimed.record.owners_lost == lost

    def test_losses_are_forgiven_by_the_owner_alone(self, journal: Journal) -> None:
        first = started(journal)
        second = journal.claim(first.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead).lease
        with pytest.raises(KitaruLeaseError):
            journal.forgive_losses(first)
        assert journal.get(first.exec_id).owners_lost == 1
        journal.forgive_losses(second)
        assert journal.get(first.exec_id).owners_lost == 0
        assert journal.claim(first.exec_id, an_owner(3), LEASE_SECONDS, ("interrupted",), dead).record.owners_lost == 1

    def test_retrying_a_failed_execution_counts_lost_owners_afresh(self, journal: Journal) -> None:
        lease = started(journal)
        lease = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead).lease
        journal.finish(lease, "failed", ended_at=1)
        assert journal.get(lease.exec_id).owners_lost == 1
        claimed = journal.claim(lease.exec_id, an_owner(3), LEASE_SECONDS, ("failed",), living)
        assert claimed.record.owners_lost == 0 == journal.get(lease.exec_id).owners_lost

    def test_alive_is_asked_about_the_owner(self, journal: Journal) -> None:
        lease = started(journal)
        asked: list[Any] = []

        def alive(owner: Any) -> bool:
            asked.append(owner)
            return False

        journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), alive)
        assert asked == [an_owner()]

    def test_exactly_one_of_many_claims_wins(self, journal: Journal) -> None:
        for _ in range(5):
            exec_id = with_status(journal, "interrupted")
            won: list[Lease] = []

            def claim(number: int, exec_id: str = exec_id, won: list[Lease] = won) -> None:
                won.append(journal.claim(exec_id, an_owner(number), 60, ("interrupted",), living).lease)

            raised = in_threads(6, claim)
            assert len(won) == 1
            assert [type(error) for error in raised] == [KitaruLeaseError] * 5
            assert journal.get(exec_id).fence == won[0].fence

    def test_a_claim_continues_the_numbering(self, journal: Journal) -> None:
        lease = started(journal)
        journal.append(lease, [an_entry("a#1"), an_entry("b#1")])
        journal.release(lease)
        heir = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), living).lease
        journal.append(heir, [an_entry("c#1")])
        assert [entry.seq for entry in journal.entries(lease.exec_id)] == [1, 2, 3]

    def test_a_claim_clears_a_requested_cancellation(self, journal: Journal) -> None:
        lease = started(journal)
        journal.request_cancel(lease.exec_id, living)
        assert journal.get(lease.exec_id).cancel_requested
        heir = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        assert not heir.record.cancel_requested and not journal.get(lease.exec_id).cancel_requested
        assert journal.poll_cancelled([heir.lease]) == []

    def test_renew_extends_leases_and_names_the_lost_ones(self, journal: Journal) -> None:
        kept, lost = started(journal), started(journal)
        journal.release(lost)
        before = kept.expires_at
        assert journal.renew([kept, lost], LEASE_SECONDS * 10) == [lost]
        assert kept.expires_at > before
        assert journal.get(kept.exec_id).lease_expires_at == kept.expires_at
        assert journal.renew([], LEASE_SECONDS) == []

    def test_a_renewed_lease_is_not_claimed(self, journal: Journal) -> None:
        created = journal.create(a_record(), an_owner(), EXPIRED)
        assert created.lease is not None
        assert journal.renew([created.lease], LEASE_SECONDS) == []
        with pytest.raises(KitaruLeaseError):
            journal.claim(created.record.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), unknown)


class EndContract:
    """``finish``, ``suspend``, ``release`` and ``request_cancel``."""

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    def test_finish_commits_entries_and_end_together(self, journal: Journal, status: str) -> None:
        lease = started(journal)
        result = a_payload(b'"done"') if status == "completed" else None
        failure = {"message": "boom", "calls": ["a#1"]} if status == "failed" else None
        journal.finish(
            lease, status, ended_at=77, result=result, failure=failure, status_reason="why", entries=[an_entry("a#1")]
        )
        stored = journal.get(lease.exec_id)
        assert (stored.status, stored.ended_at, stored.status_reason) == (status, 77, "why")
        assert stored.result == result and stored.failure == failure
        assert stored.owner is None and stored.lease_expires_at is None
        assert keys(journal, lease.exec_id) == ["a#1"]

    def test_a_result_may_be_a_reference(self, journal: Journal) -> None:
        lease = started(journal)
        result = replace(a_payload(), data=None, ref="results/abc")
        journal.finish(lease, "completed", ended_at=1, result=result)
        assert journal.get(lease.exec_id).result == result

    @pytest.mark.parametrize("status", ["running", "waiting", "pending", "interrupted", "done"])
    def test_finish_refuses_what_ends_nothing(self, journal: Journal, status: str) -> None:
        lease = started(journal)
        with pytest.raises(KitaruStateError, match=status):
            journal.finish(lease, status, ended_at=1, entries=[an_entry()])
        assert journal.entries(lease.exec_id) == []
        journal.append(lease, [an_entry()])

    @pytest.mark.parametrize(
        "write",
        [
            lambda journal, lease: journal.append(lease, [an_entry("zombie#1")]),
            lambda journal, lease: journal.append(lease, [an_entry("zombie#1"), an_entry("zombie#2")]),
            lambda journal, lease: journal.finish(lease, "completed", ended_at=1, entries=[an_entry("zombie#1")]),
            lambda journal, lease: journal.suspend(lease, wake_at=5, entries=[an_entry("zombie#1")]),
            lambda journal, lease: journal.create_child(lease, an_entry("zombie#1"), a_record(), None, 1),
        ],
        ids=["append", "append several", "finish", "suspend", "create_child"],
    )
    @pytest.mark.parametrize("loss", ["claimed", "finished", "released", "cancelled", "suspended"])
    def test_every_write_is_fenced(self, journal: Journal, write: Callable[[Journal, Lease], None], loss: str) -> None:
        lease = started(journal)
        journal.append(lease, [an_entry("a#1")])
        if loss == "claimed":
            journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead)
        elif loss == "finished":
            journal.finish(lease, "failed", ended_at=3)
        elif loss == "released":
            journal.release(lease)
        elif loss == "cancelled":
            journal.request_cancel(lease.exec_id, dead)
        else:
            journal.suspend(lease, wake_at=None)
        before, executions = journal.get(lease.exec_id), len(journal.list(ExecutionQuery(), living))
        with pytest.raises(KitaruLeaseError, match=lease.exec_id):
            write(journal, lease)
        assert journal.get(lease.exec_id) == before
        assert keys(journal, lease.exec_id) == ["a#1"]
        assert len(journal.list(ExecutionQuery(), living)) == executions

    def test_finish_sent_again_is_a_no_op(self, journal: Journal) -> None:
        lease = started(journal)
        entries = [an_entry("a#1")]
        for _ in range(3):
            journal.finish(lease, "completed", ended_at=5, result=a_payload(), entries=entries)
        assert keys(journal, lease.exec_id) == ["a#1"]
        assert journal.get(lease.exec_id).fence == lease.fence + 1

    def test_suspend_sent_again_is_a_no_op(self, journal: Journal) -> None:
        lease = started(journal)
        entries = [an_entry("a#1")]
        for _ in range(3):
            journal.suspend(lease, wake_at=5, entries=entries)
        assert keys(journal, lease.exec_id) == ["a#1"]
        assert journal.get(lease.exec_id).fence == lease.fence + 1

    @pytest.mark.parametrize("wake_at", [None, 123])
    def test_suspend_commits_entries_status_and_time(self, journal: Journal, wake_at: int | None) -> None:
        lease = started(journal)
        journal.suspend(lease, wake_at=wake_at, entries=[an_entry("nap#1", kind=EntryKind.TIMER)])
        stored = journal.get(lease.exec_id)
        assert (stored.status, stored.wake_at, stored.owner, stored.ended_at) == ("waiting", wake_at, None, None)
        assert keys(journal, lease.exec_id) == ["nap#1"]

    def test_release_reads_interrupted_and_costs_no_owner(self, journal: Journal) -> None:
        lease = started(journal)
        journal.release(lease, [an_entry("a#1")])
        assert keys(journal, lease.exec_id) == ["a#1"]
        assert [one.exec_id for one in journal.list(ExecutionQuery(statuses=("interrupted",)), living)] == [
            lease.exec_id
        ]
        heir = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), living)
        assert heir.previous_owner is None and heir.record.owners_lost == 0

    def test_release_of_a_lost_lease_is_ignored(self, journal: Journal) -> None:
        lease = started(journal)
        heir = journal.claim(lease.exec_id, an_owner(2), LEASE_SECONDS, ("interrupted",), dead).lease
        before = journal.get(lease.exec_id)
        journal.release(lease, [an_entry("zombie#1")])
        assert journal.get(lease.exec_id) == before and keys(journal, lease.exec_id) == []
        journal.append(heir, [an_entry("a#1")])

    @pytest.mark.parametrize("status", ["pending", "waiting", "interrupted"])
    def test_cancelling_what_nobody_runs_ends_it(self, journal: Journal, status: str) -> None:
        exec_id = with_status(journal, status)
        fence = journal.get(exec_id).fence
        record = journal.request_cancel(exec_id, living)
        assert record == journal.get(exec_id)
        assert (record.status, record.owner, record.cancel_requested) == ("cancelled", None, False)
        assert record.fence == fence + 1 and record.ended_at is not None

    @pytest.mark.parametrize("alive", [living, unknown])
    def test_cancelling_a_living_owner_asks_it(self, journal: Journal, alive: Any) -> None:
        lease, other = started(journal), started(journal)
        record = journal.request_cancel(lease.exec_id, alive)
        assert (record.status, record.cancel_requested) == ("running", True)
        assert journal.poll_cancelled([other, lease]) == [lease.exec_id]
        journal.append(lease, [an_entry()])  # it may still record what it has
        journal.finish(lease, "cancelled", ended_at=1)
        assert journal.get(lease.exec_id).status == "cancelled"
        assert journal.poll_cancelled([lease]) == []

    def test_cancelling_a_dead_owner_keeps_its_zombie_out(self, journal: Journal) -> None:
        lease = started(journal)
        assert journal.request_cancel(lease.exec_id, dead).status == "cancelled"
        with pytest.raises(KitaruLeaseError):
            journal.append(lease, [an_entry()])

    def test_children_are_cancelled_too(self, journal: Journal) -> None:
        parent = started(journal)
        running = started(journal, parent_exec_id=parent.exec_id)
        waiting = with_status(journal, "waiting", parent_exec_id=parent.exec_id)
        grandchild = with_status(journal, "pending", parent_exec_id=waiting)
        done = with_status(journal, "completed", parent_exec_id=parent.exec_id)
        stranger = started(journal)
        journal.request_cancel(parent.exec_id, living)
        assert sorted(journal.poll_cancelled([parent, running, stranger])) == sorted([parent.exec_id, running.exec_id])
        assert journal.get(waiting).status == journal.get(grandchild).status == "cancelled"
        assert journal.get(done).status == "completed"
        assert not journal.get(stranger.exec_id).cancel_requested

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
    def test_a_finished_execution_cannot_be_cancelled(self, journal: Journal, status: str) -> None:
        exec_id = with_status(journal, status)
        before = journal.get(exec_id)
        with pytest.raises(KitaruStateError, match=f"(?s){exec_id}.*{status}"):
            journal.request_cancel(exec_id, living)
        assert journal.get(exec_id) == before

    def test_cancelling_nothing(self, journal: Journal) -> None:
        with pytest.raises(KitaruNotFoundError, match="no-such-id"):
            journal.request_cancel("no-such-id", living)

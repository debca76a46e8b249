"""Reading: a part of the journal's conformance."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kitaru.errors import KitaruNotFoundError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import EntryKind, ExecutionQuery, Owner
from kitaru.testing.conformance.journal_samples import (
    EXPIRED,
    LEASE_SECONDS,
    a_payload,
    a_record,
    an_entry,
    an_owner,
    dead,
    living,
    started,
    unknown,
    with_status,
)

PUBLIC = ("pending", "running", "waiting", "interrupted", "failed", "cancelled", "completed")


def listed(journal: Journal, alive: object = living, **filters: object) -> list[str]:
    return [record.exec_id for record in journal.list(ExecutionQuery(**filters), alive)]  # type: ignore[arg-type]


class ReadContract:
    """``get``, ``find``, ``list``, ``entries``, ``recoverable``, ``find_cached``, ``info``."""

    def test_get_of_nothing(self, journal: Journal) -> None:
        with pytest.raises(KitaruNotFoundError, match="no-such-id") as caught:
            journal.get("no-such-id")
        assert isinstance(caught.value, LookupError)

    def test_what_get_returns_is_the_callers_own(self, journal: Journal) -> None:
        exec_id = with_status(journal, "pending")
        record = journal.get(exec_id)
        record.spec["changed"] = True
        record.status = "completed"
        assert journal.get(exec_id).status == "pending" and "changed" not in journal.get(exec_id).spec

    def test_find_by_idempotency_key(self, journal: Journal) -> None:
        created = journal.create(a_record("mine", idempotency_key="order-1"), None, LEASE_SECONDS)
        assert journal.find("mine", "order-1") == created.record
        assert journal.find("mine", "order-2") is None
        assert journal.find("other", "order-1") is None

    def test_a_listing_is_newest_first(self, journal: Journal) -> None:
        # By creation, not by clock: clocks jump.
        ids = [
            journal.create(a_record(created_at=at), None, LEASE_SECONDS).record.exec_id for at in (300, 100, 200, 200)
        ]
        assert listed(journal) == ids[::-1]

    def test_a_listing_leaves_out_what_may_be_large(self, journal: Journal) -> None:
        lease = started(journal)
        journal.finish(lease, "completed", ended_at=5, result=a_payload(b"x" * 100))
        (found,) = journal.list(ExecutionQuery(), living)
        whole = journal.get(lease.exec_id)
        assert whole.result is not None
        assert found == replace(whole, inputs=b"", result=replace(whole.result, data=None))

    def test_filters_by_flow_stack_and_parent(self, journal: Journal) -> None:
        one = with_status(journal, "pending", flow_name="a", stack_name="x")
        two = with_status(journal, "pending", flow_name="a", stack_name="y", parent_exec_id=one)
        three = with_status(journal, "pending", flow_name="b", stack_name="x", parent_exec_id=one)
        assert listed(journal, flow_name="a") == [two, one]
        assert listed(journal, stack_name="x") == [three, one]
        assert listed(journal, parent_exec_id=one) == [three, two]
        assert listed(journal, flow_name="a", stack_name="x") == [one]
        assert listed(journal, flow_name="none") == []

    def test_filters_are_data(self, journal: Journal) -> None:
        odd = "a' OR 1=1 --%_"
        exec_id = with_status(journal, "pending", flow_name=odd, stack_name='"; DROP')
        with_status(journal, "pending")
        assert listed(journal, flow_name=odd) == listed(journal, stack_name='"; DROP') == [exec_id]
        assert listed(journal, statuses=(odd,)) == []
        assert listed(journal, before=odd) == []

    def test_filters_by_public_status(self, journal: Journal) -> None:
        ids = {status: with_status(journal, status) for status in PUBLIC}
        for status in PUBLIC:
            assert listed(journal, statuses=(status,)) == [ids[status]], status
        assert listed(journal, statuses=("failed", "interrupted")) == [ids["failed"], ids["interrupted"]]
        assert listed(journal, statuses=("running", "interrupted")) == [ids["interrupted"], ids["running"]]
        assert len(listed(journal, statuses=PUBLIC)) == len(PUBLIC)

    def test_interrupted_follows_owner_and_lease(self, journal: Journal) -> None:
        here, away = an_owner(1), an_owner(2, "away")
        one = journal.create(a_record(), here, LEASE_SECONDS).record.exec_id
        two = journal.create(a_record(), away, LEASE_SECONDS).record.exec_id
        expired = journal.create(a_record(), away, EXPIRED).record.exec_id

        def only_here_is_dead(owner: Owner) -> bool | None:
            return False if owner == here else None

        for alive, gone, there in (
            (living, [expired], [two, one]),
            (unknown, [expired], [two, one]),
            (dead, [expired, two, one], []),
            (only_here_is_dead, [expired, one], [two]),
        ):
            assert listed(journal, alive, statuses=("interrupted",)) == gone
            assert listed(journal, alive, statuses=("running",)) == there

    def test_pages_have_no_gaps_and_no_repeats(self, journal: Journal) -> None:
        ids = [with_status(journal, "pending", flow_name="ab"[n % 2]) for n in range(11)]
        of_a: dict[str, object] = {"flow_name": "a"}
        assert listed(journal, **of_a) == ids[::-2]
        for filters in (of_a, {}):
            wanted = listed(journal, **filters)
            pages: list[str] = []
            before = None
            while page := listed(journal, limit=2, before=before, **filters):
                assert len(page) <= 2
                pages += page
                before = page[-1]
                with_status(journal, "pending", flow_name="ab"[len(pages) % 2])  # arrives while somebody pages
            assert pages == wanted

    def test_entries_after_and_under_a_prefix(self, journal: Journal) -> None:
        lease = started(journal)
        names = ["a#1", "a#1/b#1", "a#10", "a#1/b#2", "c_1", "cx1", "%"]
        journal.append(lease, [an_entry(name) for name in names])

        def found(**filters: object) -> list[str]:
            return [entry.key for entry in journal.entries(lease.exec_id, **filters)]  # type: ignore[arg-type]

        assert found() == names
        assert found(after=5) == names[5:]
        assert found(after=99) == []
        assert found(prefix="a#1/") == ["a#1/b#1", "a#1/b#2"]
        assert found(prefix="c_") == ["c_1"], "a prefix is text, not a pattern"
        assert found(prefix="%") == ["%"]
        assert found(prefix="a#1", after=2) == ["a#10", "a#1/b#2"]

    def test_entries_of_nothing(self, journal: Journal) -> None:
        assert journal.entries(with_status(journal, "pending")) == []
        with pytest.raises(KitaruNotFoundError, match="no-such-id"):
            journal.entries("no-such-id")

    def test_recoverable_is_what_nobody_runs_and_what_is_due(self, journal: Journal) -> None:
        for status in ("pending", "completed", "failed", "cancelled", "waiting"):
            with_status(journal, status)
        due, late = started(journal), started(journal)
        journal.suspend(due, wake_at=1_000)
        journal.suspend(late, wake_at=2_000)
        released = with_status(journal, "interrupted")
        expired = journal.create(a_record(), an_owner(), EXPIRED).record.exec_id
        running = started(journal).exec_id
        found = [record.exec_id for record in journal.recoverable(1_000, living)]
        assert found == [due.exec_id, released, expired], "oldest first"
        everything = [record.exec_id for record in journal.recoverable(2_000, dead)]
        assert everything == [due.exec_id, late.exec_id, released, expired, running]

    def test_children_are_left_to_their_unfinished_parents(self, journal: Journal) -> None:
        parent = with_status(journal, "interrupted")
        finished = with_status(journal, "failed")
        with_status(journal, "interrupted", parent_exec_id=parent)
        orphan = with_status(journal, "interrupted", parent_exec_id=finished)
        unknown_parent = with_status(journal, "interrupted", parent_exec_id="elsewhere")
        found = [record.exec_id for record in journal.recoverable(0, living)]
        assert found == [parent, orphan, unknown_parent]

    def test_find_cached_gives_the_newest_completed_output(self, journal: Journal) -> None:
        one, two = started(journal), started(journal)
        key = b"k" * 32
        assert journal.find_cached(key) is None
        newest = a_payload(b"newest")
        journal.append(two, [an_entry("a#1", cache_key=key, ended_at=50, output=newest)])
        journal.append(one, [an_entry("a#1", cache_key=key, ended_at=40, output=a_payload(b"older"))])
        journal.append(one, [an_entry("a#2", cache_key=key, ended_at=90, kind=EntryKind.FAILED, output=None)])
        journal.append(one, [an_entry("a#3", cache_key=b"other", ended_at=99)])
        assert journal.find_cached(key) == newest
        assert journal.find_cached(b"none") is None

    def test_find_cached_may_give_a_reference(self, journal: Journal) -> None:
        lease = started(journal)
        payload = replace(a_payload(b"large"), data=None, ref="blobs/large")
        journal.append(lease, [an_entry("a#1", cache_key=b"k", output=payload)])
        assert journal.find_cached(b"k") == payload

    def test_poll_cancelled_takes_any_number_of_leases(self, journal: Journal) -> None:
        lease = started(journal)
        journal.request_cancel(lease.exec_id, living)
        assert journal.poll_cancelled([]) == []
        assert journal.poll_cancelled([*[started(journal)] * 40_000, lease]) == [lease.exec_id]

    def test_version_is_a_cheap_number(self, journal: Journal) -> None:
        seen = journal.version()
        assert isinstance(seen, int) and journal.version() == seen
        exec_id = with_status(journal, "waiting")
        after = journal.version()
        assert after != seen
        journal.request_cancel(exec_id, living)
        assert journal.version() != after

    def test_info_says_what_doctor_needs(self, journal: Journal) -> None:
        with_status(journal, "pending")
        info = journal.info()
        assert info["url"] == journal.url and info["durability"] == journal.durability
        assert info["durability"] in ("full", "process")
        assert isinstance(info["kind"], str) and isinstance(info["schema_version"], int)
        assert info["sound"] is True, info["notes"]
        assert all(isinstance(note, str) for note in info["notes"])

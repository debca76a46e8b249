"""The contract of journals about whole executions: removed in two steps, referred to, brought in from elsewhere."""

from __future__ import annotations

import pytest

from kitaru.errors import KitaruLeaseError, KitaruNotFoundError, KitaruStateError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import EndedQuery, ExecutionQuery, Payload
from kitaru.testing.conformance.journal_samples import (
    a_payload,
    a_record,
    an_entry,
    an_owner,
    living,
    started,
    with_status,
)

_REF = Payload("json", b"d" * 32, 99_999, None, "sha256/aa")


class RetentionContract:
    """See :class:`kitaru.testing.conformance.journal.JournalConformance`."""

    def test_a_discarded_execution_is_gone_and_its_key_is_free(self, journal: Journal) -> None:
        lease = started(journal, idempotency_key="order-1")
        journal.append(lease, [an_entry("a#1"), an_entry("b#1")])
        journal.finish(lease, "completed", ended_at=5)
        assert list(journal.discard([lease.exec_id, "unknown"])) == [lease.exec_id]
        with pytest.raises(KitaruNotFoundError):
            journal.get(lease.exec_id)
        with pytest.raises(KitaruNotFoundError):
            journal.entries(lease.exec_id)
        with pytest.raises(KitaruLeaseError):
            journal.append(lease, [an_entry("late#1")])
        assert journal.list(ExecutionQuery(), living) == []
        assert journal.find("flow", "order-1") is None
        again = journal.create(a_record(idempotency_key="order-1"), an_owner(), 60)
        assert not again.existed
        assert journal.entries(again.record.exec_id) == []

    def test_what_is_left_of_it_is_purged_piece_by_piece(self, journal: Journal) -> None:
        lease = started(journal)
        journal.append(lease, [an_entry(f"a#{number}") for number in range(5)])
        journal.append(lease, [an_entry("big#1", output=_REF)])
        journal.finish(lease, "failed", ended_at=5, failure={"message": "no"})
        journal.discard([lease.exec_id])
        assert list(journal.discarded()) == [lease.exec_id]
        assert journal.referenced(["sha256/aa"]) == {"sha256/aa"}, "until its entries are purged"
        journal.forget_discarded(lease.exec_id)
        assert list(journal.discarded()) == [lease.exec_id]
        assert [journal.purge(lease.exec_id, 4), journal.purge(lease.exec_id, 4)] == [False, True]
        assert journal.purge(lease.exec_id, 4) and journal.purge("unknown", 4)
        assert journal.referenced(["sha256/aa"]) == set()
        journal.forget_discarded(lease.exec_id)
        assert list(journal.discarded()) == []

    @pytest.mark.parametrize("status", ["pending", "running", "interrupted", "waiting"])
    def test_what_has_not_ended_is_not_discarded(self, journal: Journal, status: str) -> None:
        exec_id = with_status(journal, status)
        assert list(journal.discard([exec_id])) == []
        assert journal.get(exec_id).exec_id == exec_id
        assert list(journal.ended(EndedQuery())) == []

    def test_what_others_need_is_not_discarded(self, journal: Journal) -> None:
        parent = started(journal)
        child = a_record(parent_exec_id=parent.exec_id, parent_call_key="child#1")
        made = journal.create_child(parent, an_entry("child#1"), child, an_owner(), 60)
        assert made.lease is not None
        replay = with_status(journal, "completed", original_exec_id=parent.exec_id)
        journal.finish(parent, "completed", ended_at=5)
        assert list(journal.discard([parent.exec_id])) == []
        journal.finish(made.lease, "completed", ended_at=6)
        assert list(journal.discard([parent.exec_id, child.exec_id])) == []
        assert list(journal.discard([replay])) == [replay]
        assert list(journal.discard([parent.exec_id])) == [parent.exec_id]
        assert list(journal.discard([child.exec_id])) == [child.exec_id]

    def test_ended_ones_by_age_status_flow_and_number(self, journal: Journal) -> None:
        ids = []
        for number, (status, flow) in enumerate([("completed", "f"), ("failed", "f"), ("completed", "g")]):
            lease = started(journal, flow_name=flow)
            failure = {"message": "no"} if status == "failed" else None
            journal.finish(lease, status, ended_at=100 - number, failure=failure)
            ids.append(lease.exec_id)
        started(journal, flow_name="f")
        assert list(journal.ended(EndedQuery())) == ids[::-1]
        assert list(journal.ended(EndedQuery(before=100))) == [ids[2], ids[1]]
        assert list(journal.ended(EndedQuery(statuses=("completed",)))) == [ids[2], ids[0]]
        assert list(journal.ended(EndedQuery(flow_name="f"))) == [ids[1], ids[0]]
        assert list(journal.ended(EndedQuery(keep_last=1))) == [ids[0]]

    def test_references_of_entries_and_results(self, journal: Journal) -> None:
        lease = started(journal)
        journal.append(lease, [an_entry(output=_REF), an_entry("b#1", output=a_payload())])
        journal.finish(lease, "completed", ended_at=1, result=Payload("json", b"r" * 32, 9, None, "sha256/bb"))
        assert journal.referenced(["sha256/aa", "sha256/bb", "sha256/cc"]) == {"sha256/aa", "sha256/bb"}
        assert journal.referenced([]) == set()

    def test_an_execution_from_elsewhere_is_stored_as_it_is(self, journal: Journal) -> None:
        record = a_record(status="failed", started_at=3, ended_at=9, failure={"message": "no"}, result=None, fence=4)
        entries = [an_entry("a#1", seq=1), an_entry("b#1", seq=3)]
        assert journal.insert(record, entries)
        assert journal.get(record.exec_id) == record
        assert journal.entries(record.exec_id) == entries
        assert not journal.insert(record, [])
        assert len(journal.entries(record.exec_id)) == 2
        claimed = journal.claim(record.exec_id, an_owner(), 60, ("failed",), living)
        assert claimed.lease.fence > 4 and claimed.lease.next_seq == 4

    def test_an_execution_from_elsewhere_takes_no_key_away_and_must_have_ended(self, journal: Journal) -> None:
        own = with_status(journal, "completed", idempotency_key="order-1")
        record = a_record(status="completed", ended_at=1, idempotency_key="order-1")
        assert journal.insert(record, [])
        assert journal.get(record.exec_id).idempotency_key is None
        found = journal.find("flow", "order-1")
        assert found is not None and found.exec_id == own
        with pytest.raises(KitaruStateError):
            journal.insert(a_record(status="running"), [])

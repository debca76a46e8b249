"""Appending entries: a part of the journal's conformance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kitaru.errors import KitaruError, KitaruLeaseError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import EntryKind
from kitaru.testing.conformance.journal_samples import (
    a_payload,
    an_entry,
    an_owner,
    dead,
    in_threads,
    keys,
    started,
)


class EntryContract:
    """``append``."""

    def test_every_field_comes_back(self, journal: Journal) -> None:
        lease = started(journal)
        full = an_entry("a#1", cache_key=b"c" * 32, attempt=3)
        bare = an_entry(
            "b/ü#1", inputs_digest=None, inputs=None, output=None, detail=None, name="", started_at=0, ended_at=0
        )
        stored_elsewhere = an_entry("c#1", output=replace(a_payload(), data=None, ref="blobs/1"))
        empty = an_entry("d#1", output=a_payload(b""), inputs=b"", detail={})
        for entry in (full, bare, stored_elsewhere, empty):
            journal.append(lease, [entry])
        assert journal.entries(lease.exec_id) == [full, bare, stored_elsewhere, empty]

    @pytest.mark.parametrize("kind", list(EntryKind))
    def test_every_kind_comes_back_as_itself(self, journal: Journal, kind: EntryKind) -> None:
        lease = started(journal)
        journal.append(lease, [an_entry("a#1", kind=kind)])
        (found,) = journal.entries(lease.exec_id)
        assert found.kind is kind

    def test_entries_are_numbered_in_commit_order(self, journal: Journal) -> None:
        lease = started(journal)
        other = started(journal)
        single, pair = an_entry("a#1"), [an_entry("b#1"), an_entry("c#1")]
        journal.append(lease, [single])
        journal.append(other, [an_entry("x#1")])
        journal.append(lease, pair)
        journal.append(lease, [])
        assert [single.seq, pair[0].seq, pair[1].seq] == [1, 2, 3] and lease.next_seq == 4
        assert [(entry.seq, entry.key) for entry in journal.entries(lease.exec_id)] == [
            (1, "a#1"),
            (2, "b#1"),
            (3, "c#1"),
        ]
        assert [entry.seq for entry in journal.entries(other.exec_id)] == [1]

    def test_stored_entries_are_the_journals_own(self, journal: Journal) -> None:
        lease = started(journal)
        entry = an_entry("a#1")
        journal.append(lease, [entry])
        assert entry.detail is not None and entry.output is not None
        entry.detail["later"] = True
        entry.output.data = b"changed"
        (found,) = journal.entries(lease.exec_id)
        assert found.detail is not None and "later" not in found.detail
        assert found.output is not None and found.output.data != b"changed"

    @pytest.mark.parametrize("count", [1, 3])
    def test_sending_entries_again_is_a_no_op(self, journal: Journal, count: int) -> None:
        lease = started(journal)
        entries = [an_entry(f"a#{number}") for number in range(count)]
        for _ in range(3):
            journal.append(lease, entries)
        journal.append(lease, [an_entry("z#1")])
        assert keys(journal, lease.exec_id) == [entry.key for entry in entries] + ["z#1"]
        assert [entry.seq for entry in journal.entries(lease.exec_id)] == list(range(1, count + 2))

    def test_sending_a_half_known_group_again_adds_the_rest(self, journal: Journal) -> None:
        lease = started(journal)
        first = an_entry("a#1")
        journal.append(lease, [first])
        journal.append(lease, [first, an_entry("b#1")])
        assert keys(journal, lease.exec_id) == ["a#1", "b#1"]

    def test_sending_again_is_fenced_too(self, journal: Journal) -> None:
        lease = started(journal)
        entry = an_entry("a#1")
        journal.append(lease, [entry])
        journal.claim(lease.exec_id, an_owner(2), 60, ("interrupted",), dead)
        with pytest.raises(KitaruLeaseError):
            journal.append(lease, [entry])

    def test_a_refused_entry_refuses_its_whole_call(self, journal: Journal) -> None:
        lease = started(journal)
        with pytest.raises((KitaruError, TypeError, ValueError)):
            journal.append(lease, [an_entry("a#1"), an_entry("b#1", detail={"no json": object()})])
        assert journal.entries(lease.exec_id) == []
        journal.append(lease, [an_entry("c#1")])
        assert keys(journal, lease.exec_id) == ["c#1"]

    def test_concurrent_appends_are_all_there_once(self, journal: Journal) -> None:
        leases = [started(journal) for _ in range(4)]
        per_thread = 25

        def work(number: int) -> None:
            for index in range(per_thread):
                journal.append(leases[number % 4], [an_entry(f"t{number}#{index}")] * 1)

        assert in_threads(8, work) == []
        for place, lease in enumerate(leases):
            found = journal.entries(lease.exec_id)
            assert [entry.seq for entry in found] == list(range(1, 2 * per_thread + 1))
            for number in (place, place + 4):
                own = [entry.key for entry in found if entry.key.startswith(f"t{number}#")]
                assert own == [f"t{number}#{index}" for index in range(per_thread)], "each thread's own order is kept"

    def test_one_refused_call_does_not_fail_its_group(self, journal: Journal) -> None:
        good = [started(journal) for _ in range(4)]
        lost = [started(journal) for _ in range(4)]
        for lease in lost:
            journal.claim(lease.exec_id, an_owner(2), 60, ("interrupted",), dead)
        refused: list[Any] = []

        def work(number: int) -> None:
            for index in range(10):
                if number < 4:
                    journal.append(good[number], [an_entry(f"a#{index}"), an_entry(f"b#{index}")])
                else:
                    with pytest.raises(KitaruLeaseError) as caught:
                        journal.append(lost[number - 4], [an_entry(f"a#{index}")])
                    refused.append(caught.value)

        assert in_threads(8, work) == []
        assert len(refused) == 40
        assert [len(journal.entries(lease.exec_id)) for lease in good] == [20] * 4
        assert [journal.entries(lease.exec_id) for lease in lost] == [[]] * 4

"""The contract of ``kitaru.journal.protocol.Journal``, sentence by sentence."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kitaru.errors import KitaruJournalError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import ExecutionQuery
from kitaru.testing.conformance.journal_entries import EntryContract
from kitaru.testing.conformance.journal_executions import ClaimContract, CreateContract, EndContract
from kitaru.testing.conformance.journal_reading import ReadContract
from kitaru.testing.conformance.journal_retention import RetentionContract
from kitaru.testing.conformance.journal_samples import a_record, an_entry, an_owner, living, started
from kitaru.testing.conformance.journal_waits import WaitContract

Reopen = Callable[[], Journal]


class JournalConformance(
    CreateContract, ClaimContract, EntryContract, EndContract, ReadContract, RetentionContract, WaitContract
):
    """Inherit this in a class named ``Test...`` and define the fixture ``journal``: a new, empty journal.

    A journal that other connections can open defines ``reopen`` too: a function that opens the same store once more.
    """

    @pytest.fixture
    def journal(self) -> Journal:
        """A new, empty journal. To be overridden."""
        pytest.fail("define a fixture `journal` that gives a new, empty journal")

    @pytest.fixture
    def reopen(self) -> Reopen | None:
        """Opens the store of ``journal`` through another connection; None when it lives in this process only."""
        return None

    def test_a_second_connection_sees_every_commit(self, journal: Journal, reopen: Reopen | None) -> None:
        second = _second(reopen)
        lease = started(journal)
        journal.append(lease, [an_entry("a#1")])
        assert [entry.key for entry in second.entries(lease.exec_id)] == ["a#1"]
        assert second.get(lease.exec_id) == journal.get(lease.exec_id)
        second.close()

    def test_version_changes_when_another_connection_commits(self, journal: Journal, reopen: Reopen | None) -> None:
        second = _second(reopen)
        lease = started(journal)
        seen = second.version()
        assert second.version() == seen, "nothing was committed in between"
        journal.append(lease, [an_entry("a#1")])
        after_append = second.version()
        assert after_append != seen
        journal.finish(lease, "completed", ended_at=1)
        assert second.version() != after_append
        second.close()

    def test_what_was_committed_is_there_after_close(self, journal: Journal, reopen: Reopen | None) -> None:
        if reopen is None:
            pytest.skip("this journal lives in its process only")
        lease = started(journal, idempotency_key="order-1")
        journal.append(lease, [an_entry("a#1"), an_entry("b#1")])
        before, entries = journal.get(lease.exec_id), journal.entries(lease.exec_id)
        journal.close()
        second = _second(reopen)
        assert second.get(lease.exec_id) == before
        assert second.entries(lease.exec_id) == entries
        # Open leases stay as they are: the token is still the newest, so its owner may go on.
        second.append(lease, [an_entry("c#1")])
        assert len(second.entries(lease.exec_id)) == 3
        second.close()

    def test_fences_hold_across_connections(self, journal: Journal, reopen: Reopen | None) -> None:
        from kitaru.errors import KitaruLeaseError

        second = _second(reopen)
        lease = started(journal)
        journal.release(lease)
        taken = second.claim(lease.exec_id, an_owner(2), 60, ("interrupted",), living).lease
        with pytest.raises(KitaruLeaseError):
            journal.append(lease, [an_entry("zombie#1")])
        second.append(taken, [an_entry("heir#1")])
        assert [entry.key for entry in journal.entries(lease.exec_id)] == ["heir#1"]
        second.close()

    def test_closing_twice_is_fine_and_use_after_it_is_refused(self, journal: Journal) -> None:
        lease = started(journal)
        journal.close()
        journal.close()
        for use in (
            lambda: journal.append(lease, [an_entry()]),
            lambda: journal.get(lease.exec_id),
            lambda: journal.create(a_record(), None, 1),
            lambda: journal.list(ExecutionQuery(), living),
            journal.version,
            journal.info,
        ):
            with pytest.raises(KitaruJournalError):
                use()


def _second(reopen: Reopen | None) -> Journal:
    if reopen is None:
        pytest.skip("this journal lives in its process only")
    return reopen()

"""The state machine is checked on every write: any sequence of calls, with any lease, keeps to the diagram."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kitaru.errors import KitaruError, KitaruLeaseError
from kitaru.journal.memory import MemoryJournal
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Lease, Owner
from kitaru.journal.sqlite import SqliteJournal

#: The diagram, drawn a second time: from a stored status to the ones a single write may leave.
MAY_FOLLOW = {
    "pending": {"running", "cancelled"},
    "running": {"waiting", "completed", "failed", "cancelled"},
    "waiting": {"running", "cancelled"},
    "failed": {"running"},
    "cancelled": {"running"},
    "completed": set(),
}
HERE = Owner("host", "boot", "ns", 1, 1)
EVERY_STATUS = ("pending", "interrupted", "waiting", "cancelled", "failed", "completed")

OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["claim", "append", "finish", "suspend", "release", "cancel", "renew"]),
        st.integers(0, 3),  # which lease: 0 is the newest, others are older ones
        st.sampled_from(["completed", "failed", "cancelled"]),
    ),
    max_size=14,
)


@pytest.fixture(params=["sqlite", "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    made: Journal = MemoryJournal() if request.param == "memory" else SqliteJournal(str(tmp_path / "kitaru.db"))
    yield made
    made.close()


def _apply(journal: Journal, exec_id: str, leases: list[Lease], operation: tuple[str, int, str]) -> None:
    name, age, status = operation
    lease = leases[-1 - age] if age < len(leases) else None
    if name == "claim":
        leases.append(journal.claim(exec_id, HERE, 30, EVERY_STATUS, lambda owner: False).lease)
    elif name == "cancel":
        journal.request_cancel(exec_id, lambda owner: True)
    elif lease is None:
        return
    elif name == "append":
        journal.append(lease, [Entry(EntryKind.VALUE, f"now#{lease.next_seq}", "now")])
    elif name == "finish":
        journal.finish(lease, status, ended_at=1)
    elif name == "suspend":
        journal.suspend(lease, wake_at=None)
    elif name == "release":
        journal.release(lease)
    elif journal.renew([lease], 30):
        raise KitaruLeaseError("lost")


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(operations=OPERATIONS)
def test_no_sequence_leaves_the_diagram(journal: Journal, operations: list[tuple[str, int, str]]) -> None:
    exec_id = str(uuid.uuid4())  # examples share a journal
    created = journal.create(ExecutionRecord(exec_id, "flow", seed=b"s"), HERE, 30)
    leases = [created.lease] if created.lease is not None else []
    for operation in operations:
        before, entries = journal.get(exec_id), len(journal.entries(exec_id))
        try:
            _apply(journal, exec_id, leases, operation)
        except KitaruError:
            assert journal.get(exec_id) == before, f"{operation} was refused and changed the record"
            assert len(journal.entries(exec_id)) == entries, f"{operation} was refused and wrote an entry"
            continue
        after = journal.get(exec_id)
        assert after.fence >= before.fence
        if after.status != before.status:
            assert after.status in MAY_FOLLOW[before.status], f"{operation}: {before.status} -> {after.status}"
        wrote = after != before or len(journal.entries(exec_id)) > entries
        if wrote and operation[0] not in ("claim", "cancel"):
            assert before.owner is not None and operation[1] == 0, f"{operation} without the newest lease was accepted"
        assert (after.owner is not None) <= (after.status == "running"), "an execution that does not run has an owner"

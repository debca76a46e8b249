"""A journal that lives in this process: for tests, and for flows that nobody needs to find again (``memory:``)."""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from kitaru.errors import KitaruJournalError
from kitaru.journal import transitions
from kitaru.journal.memory_retention import MemoryRetention, copied, copied_entry, copied_wait
from kitaru.journal.protocol import Durability
from kitaru.journal.records import (
    OUTCOME_KINDS,
    Claimed,
    Created,
    Entry,
    EntryKind,
    ExecutionQuery,
    ExecutionRecord,
    Lease,
    Owner,
    Payload,
    WaitRecord,
)
from kitaru.journal.transitions import FINISHED, Alive, owner_status, public_status

Records = list[ExecutionRecord]  # the class below has a method called list
Waits = list[WaitRecord]


class MemoryJournal(MemoryRetention):
    """See :class:`kitaru.journal.protocol.Journal` for the contract. Nothing in it survives the process.

    Records and entries are copied on the way in and out: a caller that changes one changes its own.

    Args:
        durability: what it is told to be; it is ``"full"`` and ``"process"`` alike within the life of the process.
        now: wall time in microseconds, for leases and due dates.
    """

    def __init__(self, *, durability: Durability = "full", now: Callable[[], int] | None = None) -> None:
        self._durability = durability
        self._now = now or (lambda: time.time_ns() // 1000)
        self._lock = threading.RLock()
        self._rows: list[ExecutionRecord] = []  # row number - 1 is the place
        self._numbers: dict[str, int] = {}
        self._entries: dict[int, list[Entry]] = {}
        self._outcomes: dict[int, int] = {}  # the token under which an execution's newest outcome was recorded
        self._gone: list[int] = []  # row numbers of removed executions whose entries may be left
        self._waits: dict[int, dict[str, WaitRecord]] = {}  # by row number and key
        self._changes = 0
        self._closed = False

    @property
    def url(self) -> str:
        return "memory:"

    @property
    def address(self) -> str:
        return self.url

    @property
    def polling_seconds(self) -> float:
        return 0.0

    def heard(self) -> int:
        return 0

    @property
    def durability(self) -> Durability:
        return self._durability

    # -- writing ------------------------------------------------------------------------------------------------

    def create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        with self._writing():
            return self._create(record, owner, lease_seconds)

    def create_child(
        self, lease: Lease, entry: Entry, record: ExecutionRecord, owner: Owner | None, lease_seconds: float
    ) -> Created:
        with self._writing():
            self._check(lease)
            # The execution first: it may be refused, and then the entry must not be there either.
            created = self._create(record, owner, lease_seconds)
            if not created.existed:
                self._insert(lease, [entry])
            return created

    def _create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        no = self._numbers.get(record.exec_id)
        if no is not None:  # sent again after a failure whose end was unknown
            stored = self._rows[no - 1]
            first = transitions.first_lease(stored, owner)
            return Created(copied(stored), self._lease(no, stored) if first else None)
        if record.idempotency_key is not None:
            earlier = self._find(record.flow_name, record.idempotency_key)
            if earlier is not None:
                return Created(copied(earlier), None, existed=True)
        transitions.check_new(record)
        stored = copied(record)
        if owner is not None:
            transitions.owned(stored, owner, self._expiry(lease_seconds))
        self._rows.append(stored)
        no = self._numbers[record.exec_id] = len(self._rows)
        self._entries[no] = []
        self._waits[no] = {}
        return Created(copied(stored), self._lease(no, stored) if owner is not None else None)

    def claim(self, exec_id: str, owner: Owner, lease_seconds: float, accept: Collection[str], alive: Alive) -> Claimed:
        with self._writing():
            no, record = self._require(exec_id)
            cancelled = record.status == "cancelled"
            progressed = self._outcomes.get(no) == record.fence
            previous = transitions.claimed(
                record, owner, accept, alive, self._now(), self._expiry(lease_seconds), lambda: progressed
            )
            for wait in self._waits[no].values():
                if cancelled and wait.status == "aborted":
                    wait.status, wait.resolved_at = "open", None
            self._rows[no - 1] = record
            return Claimed(copied(record), self._lease(no, record), previous)

    def forgive_losses(self, lease: Lease) -> None:
        with self._writing():
            self._check(lease)
            self._rows[lease.no - 1].owners_lost = 0

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        lost = []
        with self._writing():
            expires_at = self._expiry(lease_seconds)
            for lease in leases:
                record = self._rows[lease.no - 1]
                if record.fence == lease.fence:
                    record.lease_expires_at = lease.expires_at = expires_at
                else:
                    lost.append(lease)
        return lost

    def append(self, lease: Lease, entries: Sequence[Entry]) -> None:
        with self._writing():
            self._insert(lease, entries)

    def finish(
        self,
        lease: Lease,
        status: str,
        *,
        ended_at: int,
        result: Payload | None = None,
        failure: dict[str, Any] | None = None,
        status_reason: str | None = None,
        entries: Sequence[Entry] = (),
        parent: str | None = None,
    ) -> None:
        transitions.check_end(status)
        with self._writing():
            record = copied(self._rows[lease.no - 1])
            if transitions.is_end_of(record, lease, status, ended_at):
                return
            self._check(lease)
            transitions.ended(
                record, status, ended_at=ended_at, result=result, failure=failure, status_reason=status_reason
            )
            self._insert(lease, entries)
            self._rows[lease.no - 1] = copied(record)
            self._wake(parent, ended_at)

    append_durably = append  # nothing here outlives the process: there is only one durability

    def suspend(
        self,
        lease: Lease,
        *,
        wake_at: int | None,
        entries: Sequence[Entry] = (),
        waits: Sequence[str] = (),
        children: Sequence[str] = (),
    ) -> bool:
        with self._writing():
            record = copied(self._rows[lease.no - 1])
            due, wake_at = self._due_at_once(lease.no, waits, children, wake_at)
            if transitions.is_end_of(record, lease, "waiting", wake_at):
                return due
            self._check(lease)
            now = self._now()
            ended = transitions.suspended(record, now if due else wake_at, now)
            self._insert(lease, entries)
            self._rows[lease.no - 1] = record
            if ended:
                self._wake(record.parent_exec_id, now)
                return False
            return due

    def _due_at_once(
        self, no: int, waits: Sequence[str], children: Sequence[str], wake_at: int | None
    ) -> tuple[bool, int | None]:
        found = [wait for wait in self._waits[no].values() if wait.wait_id in waits and wait.status == "open"]
        if len(found) != len(waits):
            return True, wake_at
        rows = [self._rows[self._numbers[child] - 1] for child in children if child in self._numbers]
        return transitions.soonest([(row.status, row.wake_at) for row in rows], wake_at)

    def open_wait(self, lease: Lease, wait: WaitRecord, entries: Sequence[Entry] = ()) -> WaitRecord:
        with self._writing():
            self._check(lease)
            self._insert(lease, entries)
            kept = self._waits[lease.no]
            stored = kept.get(wait.key)
            if stored is not None:
                transitions.takes_over(stored, copied_wait(wait))
                return copied_wait(stored)
            name = transitions.free_name(wait.name, _names(kept.values(), wait.name))
            stored = kept[wait.key] = replace(copied_wait(wait), name=name)
            return copied_wait(stored)

    def resolve_wait(
        self, exec_id: str, wait_id: str, status: str, answer: Payload | None, at: int, *, lease: Lease | None = None
    ) -> WaitRecord:
        with self._writing():
            if lease is not None:
                self._check(lease)
            no, record = self._require(exec_id)
            for wait in self._waits[no].values():
                if wait.wait_id == wait_id:
                    transitions.resolved(wait, record, status, copy.copy(answer), at)
                    self._wake(exec_id, at)
                    return copied_wait(wait)
            raise transitions.no_such_wait(exec_id, wait_id)

    def _wake(self, exec_id: str | None, at: int) -> None:
        while exec_id is not None and exec_id in self._numbers:
            record = self._rows[self._numbers[exec_id] - 1]
            if record.status == "waiting":
                record.wake_at = at
            exec_id = record.parent_exec_id

    def release(self, lease: Lease, entries: Sequence[Entry] = ()) -> None:
        with self._writing():
            record = self._rows[lease.no - 1]
            if record.fence != lease.fence:
                return
            self._insert(lease, entries)
            transitions.released(record)

    def request_cancel(self, exec_id: str, alive: Alive, reason: str | None = None) -> ExecutionRecord:
        with self._writing():
            no, record = self._require(exec_id)
            transitions.check_cancel(record)
            self._cancel(self._rows[no - 1], alive, reason)
            if self._rows[no - 1].status == "cancelled":
                self._wake(record.parent_exec_id, self._now())
            return self.get(exec_id)

    def _cancel(self, record: ExecutionRecord, alive: Alive, reason: str | None = None) -> None:
        transitions.cancelled(record, alive, self._now(), reason)
        for child in self.living():
            if child.parent_exec_id == record.exec_id and child.status not in FINISHED:
                self._cancel(child, alive)

    # -- reading ------------------------------------------------------------------------------------------------

    def poll_cancelled(self, leases: Sequence[Lease]) -> list[str]:
        with self._reading():
            return [lease.exec_id for lease in leases if self._rows[lease.no - 1].cancel_requested]

    def get(self, exec_id: str) -> ExecutionRecord:
        with self._reading():
            return self._require(exec_id)[1]

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        with self._reading():
            found = self._find(flow_name, idempotency_key)
            return None if found is None else self._counted(found)

    def entries(self, exec_id: str, *, after: int = 0, prefix: str | None = None) -> list[Entry]:
        with self._reading():
            no, _ = self._require(exec_id)
            found = sorted(self._entries[no], key=lambda entry: entry.seq)
            return [copied_entry(one) for one in found if one.seq > after and one.key.startswith(prefix or "")]

    def waits(self, exec_id: str, *, open_only: bool = False) -> Waits:
        with self._reading():
            no, _ = self._require(exec_id)
            found = sorted(self._waits[no].values(), key=lambda wait: (wait.created_at, wait.key))
            return [copied_wait(wait) for wait in found if wait.status == "open" or not open_only]

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]:
        with self._reading():
            return [
                _listed(record)
                for record in self.living()
                if self._is_due(record, now, alive) and not self._parent_continues(record)
            ]

    def _is_due(self, record: ExecutionRecord, now: int, alive: Alive) -> bool:
        if record.status == "waiting":
            return record.wake_at is not None and record.wake_at <= now
        return owner_status(record, alive, self._now()) == "interrupted"

    def _parent_continues(self, record: ExecutionRecord) -> bool:
        no = self._numbers.get(record.parent_exec_id or "")
        return no is not None and self._rows[no - 1].status not in FINISHED

    def find_cached(self, cache_key: bytes) -> Payload | None:
        with self._reading():
            hits = [
                (entry.ended_at, no, entry.seq, entry.output)
                for no, entries in self._entries.items()
                for entry in entries
                if entry.cache_key == cache_key and entry.kind == EntryKind.COMPLETED
            ]
            return copy.copy(max(hits, key=lambda hit: hit[:3])[3]) if hits else None

    def version(self) -> int:
        with self._reading():
            return self._changes

    def info(self) -> dict[str, Any]:
        with self._reading():
            return {
                "url": self.url,
                "kind": "memory",
                "durability": self._durability,
                "schema_version": 0,
                "executions": len(self._numbers),
                "sound": True,
                "notes": ["the journal is kept in memory: it ends with the process"],
            }

    def close(self) -> None:
        with self._lock:
            self._closed = True

    def list(self, query: ExecutionQuery, alive: Alive) -> Records:
        with self._reading():
            before = len(self._rows) + 1
            if query.before is not None:
                before = self._numbers.get(query.before, 0)
            found: Records = []
            for record in reversed(self._rows[: before - 1] if before else []):
                if query.limit is not None and len(found) >= query.limit:
                    break
                if not self.lives(record):
                    continue
                counted = self._counted(record)
                if self._fits(counted, query, alive):
                    found.append(_listed(counted))
            return found

    def _fits(self, record: ExecutionRecord, query: ExecutionQuery, alive: Alive) -> bool:
        for wanted, value in (
            (query.flow_name, record.flow_name),
            (query.stack_name, record.stack_name),
            (query.parent_exec_id, record.parent_exec_id),
        ):
            if wanted is not None and wanted != value:
                return False
        if record.created_at < (query.since or 0) or (query.until is not None and record.created_at >= query.until):
            return False
        return not query.statuses or public_status(record, alive, self._now()) in query.statuses

    # -- parts --------------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock:
            if self._closed:
                raise KitaruJournalError("the journal memory: is closed.")
            yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._reading():
            yield
            self._changes += 1

    def _expiry(self, lease_seconds: float) -> int:
        return self._now() + round(lease_seconds * 1e6)

    def _lease(self, no: int, record: ExecutionRecord) -> Lease:
        next_seq = max((entry.seq for entry in self._entries[no]), default=0) + 1
        return Lease(record.exec_id, no, record.fence, record.lease_expires_at or 0, next_seq)

    def _check(self, lease: Lease) -> None:
        if self._rows[lease.no - 1].fence != lease.fence:
            raise transitions.lost(lease)

    def _insert(self, lease: Lease, entries: Sequence[Entry]) -> None:
        if not entries:
            return
        self._check(lease)
        stored = self._entries[lease.no]
        new = []
        for entry in entries:
            resent = entry.seq != 0
            if not resent:
                entry.seq = lease.next_seq
                lease.next_seq += 1
            if not resent or all(known.seq != entry.seq for known in stored):
                new.append(copied_entry(entry))
        if any(entry.kind in OUTCOME_KINDS for entry in new):
            self._outcomes[lease.no] = lease.fence
        stored += new  # only now: an entry that is refused refuses all of them

    def _require(self, exec_id: str) -> tuple[int, ExecutionRecord]:
        no = self._numbers.get(exec_id)
        if no is None:
            raise transitions.not_found(exec_id)
        return no, self._counted(self._rows[no - 1])

    def _counted(self, record: ExecutionRecord) -> ExecutionRecord:
        waits = self._waits[self._numbers[record.exec_id]].values()
        return replace(copied(record), open_waits=sum(wait.status == "open" for wait in waits))

    def _find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        for record in self.living():
            if record.flow_name == flow_name and record.idempotency_key == idempotency_key:
                return record
        return None


def _listed(record: ExecutionRecord) -> ExecutionRecord:
    """A copy for listings, which leave out what may be large."""
    found = copied(record)
    found.inputs = b""
    if found.result is not None:
        found.result.data = None
    return found


def _names(waits: Collection[WaitRecord], name: str) -> set[str]:
    return {wait.name for wait in waits if wait.name == name or wait.name.startswith(name + "#")}

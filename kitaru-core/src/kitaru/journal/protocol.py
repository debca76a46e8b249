"""The journal's contract. Every implementation passes ``kitaru.testing.conformance.JournalConformance``.

A journal is used from many threads of one process and, where it is persistent, by many processes at once.
Anything that returns has been committed at the journal's durability; anything that raises
:class:`~kitaru.errors.KitaruJournalError` may or may not have been, and is safe to send again unchanged.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal, Protocol

from kitaru.journal.records import (
    Claimed,
    Created,
    EndedQuery,
    Entry,
    ExecutionQuery,
    ExecutionRecord,
    Lease,
    Owner,
    Payload,
    Tally,
    TallyQuery,
    WaitRecord,
)
from kitaru.journal.transitions import Alive

Durability = Literal["full", "process"]


class Journal(Protocol):
    """Executions and their entries.

    ``durability="full"``: what was committed survives power loss (one fsync per commit group).
    ``"process"``: it survives ``kill -9``, not power loss.
    """

    @property
    def url(self) -> str:
        """The address that opens this journal again, without secrets."""

    @property
    def address(self) -> str:
        """The address as it was given, secrets included: for the environment of a process that continues an execution,
        never for a text."""

    @property
    def durability(self) -> Durability: ...

    def create(self, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
        """Store a new execution, in one commit (full durability when it has an idempotency key).

        With ``owner`` it is stored as ``running`` and owned (fence 1), else as ``pending``. When
        ``(flow_name, idempotency_key)`` is taken nothing is written and the earlier record is returned with
        ``existed=True`` and no lease. Sending the same record again after an ambiguous failure is a no-op that
        returns ``existed=False`` and the lease of the first time (no lease, if somebody has claimed it since).

        Raises KitaruStateError when ``record`` is not that of a new execution: pending, without owner and fence.
        """

    def create_child(
        self, lease: Lease, entry: Entry, record: ExecutionRecord, owner: Owner | None, lease_seconds: float
    ) -> Created:
        """Like :meth:`create`, in one transaction with ``entry`` (kind CHILD) in the parent's journal.

        Raises KitaruLeaseError, and writes neither, when the parent's lease is not the newest. Where the idempotency
        key is taken neither is written either.
        """

    def claim(
        self,
        exec_id: str,
        owner: Owner,
        lease_seconds: float,
        accept: Collection[str],
        alive: Alive,
    ) -> Claimed:
        """Take an execution over: new fence, new owner, status ``running``; one transaction, exactly one winner.

        ``accept`` holds the public statuses that may be claimed. A started execution counts as ``interrupted``
        when it has no owner, its lease has expired, or ``alive(owner)`` is False (None: cannot tell). A claim of
        an execution with a lost owner raises ``owners_lost`` by one (or sets it to 1, when that owner had recorded the
        outcome of a call: only losses without progress add up), that of a failed one sets it to 0; any claim
        clears ``cancel_requested`` and what an earlier end left (``ended_at``, ``failure``, ``status_reason``,
        ``wake_at``), and that of a cancelled one opens its aborted waits again.

        Raises:
            KitaruNotFoundError: no such execution.
            KitaruLeaseError: somebody who is alive runs it.
            KitaruStateError: its status is not in ``accept``, or is one that nothing follows (``completed``); the text
                names id and status.
        """

    def forgive_losses(self, lease: Lease) -> None:
        """Set ``owners_lost`` to 0: the execution has come to where nothing is left to run until a wait or timer ends.

        What takes its owner down from now on is no call of it.

        Raises KitaruLeaseError when ``lease`` is not the newest.
        """

    def renew(self, leases: Sequence[Lease], lease_seconds: float) -> list[Lease]:
        """Extend leases (sets their ``expires_at``) and return those that were lost to another owner."""

    def append(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Commit ``entries`` in this order, all or none, giving each its ``seq`` if it has none yet.

        Calls that arrive while a commit is in progress are committed together as one group; within a group one
        refused call does not fail the others. Calling again with the same entries (same ``seq`` and content)
        after a KitaruJournalError is a no-op where they were committed.

        Raises KitaruLeaseError, writing nothing, when ``lease`` is not the newest.
        """

    def append_durably(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Like :meth:`append`, with full durability in every mode and as a commit of its own."""

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
        """Commit ``entries`` and the end of the execution (completed, failed or cancelled) and drop the lease.

        ``parent``, the execution whose child this is, is due from now on if it is suspended, and those above it too.

        Sending the same end again after a KitaruJournalError is a no-op where it was committed.

        Raises KitaruLeaseError, writing nothing, when ``lease`` is not the newest, and KitaruStateError when
        ``status`` ends nothing.
        """

    def suspend(
        self,
        lease: Lease,
        *,
        wake_at: int | None,
        entries: Sequence[Entry] = (),
        waits: Sequence[str] = (),
        children: Sequence[str] = (),
    ) -> bool:
        """Commit ``entries``, status ``waiting`` and ``wake_at``, and drop the lease. Like :meth:`finish` otherwise.

        What it waits for is looked at in the same transaction: when one of ``waits`` (ids) is not open any more, or one
        of ``children`` (execution ids) is not waiting any more, it is due at once, and the answer is True. ``wake_at``
        is brought forward to that of the first child that is due.

        One whose cancellation was requested meanwhile is cancelled instead, and what is suspended on it due: its owner
        does not look for requests any more.
        """

    def open_wait(self, lease: Lease, wait: WaitRecord, entries: Sequence[Entry] = ()) -> WaitRecord:
        """Commit ``entries`` and the wait under ``wait.key`` of the lease's execution, unless there is one already;
        give the stored one.

        A new wait gets the name it asks for, or ``name#2``, ``name#3``... where that is taken in its execution. One
        that is still open takes over question, schema and metadata (its code may have changed), never its deadline.
        Sending the same again is a no-op.

        Raises KitaruLeaseError, writing nothing, when ``lease`` is not the newest.
        """

    def resolve_wait(
        self, exec_id: str, wait_id: str, status: str, answer: Payload | None, at: int, *, lease: Lease | None = None
    ) -> WaitRecord:
        """End an open wait, exactly once, with full durability in every mode; give it as it is afterwards.

        A suspended execution, and those above it that wait for it, are due from ``at`` on (``wake_at``), in the same
        transaction.

        Args:
            status: ``answered``, ``aborted``, ``expired`` or ``withdrawn``.
            lease: the owner's, where only the owner may end it.

        Raises:
            KitaruNotFoundError: no such execution or wait.
            KitaruStateError: it has been ended before, its deadline is over (unless ``expired`` or ``withdrawn``), or
                its execution has ended.
            KitaruLeaseError: ``lease`` is not the newest.
        """

    def waits(self, exec_id: str, *, open_only: bool = False) -> list[WaitRecord]:
        """An execution's waits, oldest first. Raises KitaruNotFoundError."""

    def release(self, lease: Lease, entries: Sequence[Entry] = ()) -> None:
        """Give the execution up without ending it: it reads ``interrupted`` from now on. A lost lease is ignored."""

    def request_cancel(self, exec_id: str, alive: Alive, reason: str | None = None) -> ExecutionRecord:
        """Ask for the end of an execution and return its record as it is afterwards.

        Without a live owner it is ``cancelled`` at once, with ``reason`` (and its fence raised, so a zombie stays
        out), and what is suspended on it is due; with one ``cancel_requested`` is set and the owner ends it. Children
        are asked too. A finished execution: KitaruStateError with id and status. No such execution:
        KitaruNotFoundError.
        """

    def poll_cancelled(self, leases: Sequence[Lease]) -> list[str]:
        """The ids among ``leases`` whose cancellation was requested."""

    def get(self, exec_id: str) -> ExecutionRecord:
        """The stored record. Raises KitaruNotFoundError."""

    def find(self, flow_name: str, idempotency_key: str) -> ExecutionRecord | None:
        """The execution under this key, or None."""

    def entries(self, exec_id: str, *, after: int = 0, prefix: str | None = None) -> list[Entry]:
        """An execution's entries in commit order, in one query; only ``seq > after`` and keys that
        start with ``prefix``.

        Raises KitaruNotFoundError.
        """

    def recoverable(self, now: int, alive: Alive) -> list[ExecutionRecord]:
        """Started executions without a live owner, and suspended ones that are due (``wake_at <= now``), oldest
        first, without what may be large (see :meth:`list`).

        Children whose parent would continue them (the parent is itself unfinished) are left out.
        """

    def find_cached(self, cache_key: bytes) -> Payload | None:
        """The output of the newest COMPLETED entry (by ``ended_at``) with this ``cache_key``, in any execution; a
        ``ref`` if its bytes are not inline. None when there is none."""

    def tallies(self, query: TallyQuery, alive: Alive) -> Sequence[Tally]:
        """Counts, durations and logged costs of executions (see ``journal.tallies``), computed in the store; by day,
        flow and status, in that order."""

    def ended(self, query: EndedQuery) -> Sequence[str]:
        """Ids of ended executions that ``query`` means, by ``ended_at``."""

    def discard(self, exec_ids: Sequence[str]) -> Sequence[str]:
        """Remove executions, in one transaction; gives the ids of those that were removed.

        From then on they are not found, and their idempotency keys are free. Left as they are: unknown ones, those
        that have not ended, and those that others need: children of an execution that exists, parents of one that has
        not ended, originals of replays that exist. What was stored for the removed ones is named by :meth:`discarded`
        until it is gone.
        """

    def discarded(self) -> Sequence[str]:
        """Ids of removed executions that may have left something behind, oldest first."""

    def purge(self, exec_id: str, limit: int) -> bool:
        """Delete up to ``limit`` entries that a removed execution has left behind, and its waits; True when no entry is
        left."""

    def forget_discarded(self, exec_id: str) -> None:
        """A removed execution has nothing left behind: :meth:`discarded` need not name it any more. One that still has
        entries stays."""

    def referenced(self, refs: Sequence[str]) -> set[str]:
        """Those of these artifact store keys that some entry (also one not purged yet), wait or result refers to."""

    def insert(self, record: ExecutionRecord, entries: Sequence[Entry], waits: Sequence[WaitRecord] = ()) -> bool:
        """Store an execution that came from another journal, its entries and waits as they are; one transaction.

        False, and nothing is written, when one of this id exists. It gets no owner; an idempotency key that is taken
        is left out. Raises KitaruStateError unless it has ended.
        """

    def version(self) -> int:
        """A number that changes when another connection or process has committed; cheap enough to poll.

        This journal's own appends need not change it; its other writes do.
        """

    @property
    def polling_seconds(self) -> float:
        """How often those who wait for somebody else's writes may ask :meth:`version`; 0: with every tick of theirs.

        Where it is above 0, :meth:`heard` tells them in between.
        """

    def heard(self) -> int:
        """A number that changes soon after another process has committed anything but entries. Costs nothing, promises
        nothing: always 0 where nobody tells this process."""

    def info(self) -> dict[str, Any]:
        """For ``kitaru doctor``: at least url, kind, durability, schema_version, sound (bool) and notes (list of
        str)."""

    def close(self) -> None:
        """Release everything. Idempotent; open leases stay as they are. Any later use raises KitaruJournalError."""

    def list(self, query: ExecutionQuery, alive: Alive) -> list[ExecutionRecord]:
        """Newest first by creation. Filters, ``interrupted`` included, are evaluated inside the store.

        ``query.before`` is the last id of the page before; an unknown one gives nothing. What may be large is left
        out: ``inputs`` is empty and a result has no ``data``.
        """

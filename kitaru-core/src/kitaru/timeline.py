"""An execution's calls, folded from its journal entries as they arrive: what snapshots and live views are made from.

Slotted dataclasses, no pydantic: a live view folds a running execution many times a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kitaru.journal.records import OUTCOME_KINDS, Entry, EntryKind, Payload
from kitaru.runtime import identity
from kitaru.statuses import CallStatus

_END_STATUS = {
    EntryKind.COMPLETED: CallStatus.COMPLETED,
    EntryKind.FAILED: CallStatus.FAILED,
    EntryKind.ATTEMPT_FAILED: CallStatus.FAILED,
    EntryKind.CANCELLED: CallStatus.CANCELLED,
}


@dataclass(slots=True)
class FoldedAttempt:
    """One try of a call; ``status`` RUNNING until an entry ends it. Times are microseconds since the epoch."""

    number: int
    status: CallStatus
    started_at: int
    ended_at: int | None = None
    failure: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class FoldedArtifact:
    """A value that a body saved under a name; ``seq`` is the place of its entry."""

    name: str
    payload: Payload
    seq: int
    label: str
    tags: list[str]


@dataclass(slots=True)
class FoldedCall:
    """One call of a checkpoint: the attempts so far and the outcome, if it has one."""

    key: str
    name: str
    invocation_id: str
    attempts: list[FoldedAttempt] = field(default_factory=list)
    status: CallStatus = CallStatus.RUNNING
    output: Payload | None = None
    output_seq: int = 0
    checkpoint_type: str | None = None
    cached: bool = False
    parents: list[str] = field(default_factory=list)
    saved: list[FoldedArtifact] = field(default_factory=list)
    original_call_id: str | None = None
    in_doubt: bool = False  # an effect whose body began, and of whose end nothing certain is known
    metadata: dict[str, Any] = field(default_factory=dict)
    attempt_metadata: dict[int, dict[str, Any]] = field(default_factory=dict)

    @property
    def started_at(self) -> int | None:
        """When the last attempt began."""
        return self.attempts[-1].started_at if self.attempts else None

    @property
    def ended_at(self) -> int | None:
        """When the call ended; None while it has no outcome."""
        return self.attempts[-1].ended_at if self.attempts and self.status is not CallStatus.RUNNING else None


@dataclass(slots=True)
class FoldedChild:
    """A child flow that was started by the call ``parent`` (``""``: by the flow body)."""

    exec_id: str
    flow_name: str
    started_at: int
    parent: str


class Timeline:
    """Folds entries, in commit order, into calls. Calls keep the order in which the journal first named them."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.calls: dict[str, FoldedCall] = {}
        self.children: list[FoldedChild] = []
        self.metadata: dict[str, Any] = {}
        self.seq = 0
        self._labels: dict[str, str] = {}
        self._early: dict[str, list[Entry]] = {}  # notes of calls that no entry has named yet
        self.add(entries)

    def add(self, entries: Iterable[Entry]) -> list[FoldedCall]:
        """Take further entries; gives the calls that changed, each once."""
        changed: dict[str, FoldedCall] = {}
        for entry in entries:
            self.seq = max(self.seq, entry.seq)
            call = self._fold(entry)
            if call is not None:
                changed[call.key] = call
        return list(changed.values())

    def running(self) -> Iterator[FoldedCall]:
        """The calls without an outcome."""
        return (call for call in self.calls.values() if call.status is CallStatus.RUNNING)

    def _fold(self, entry: Entry) -> FoldedCall | None:
        kind = entry.kind
        if kind in (EntryKind.STARTED, EntryKind.INTENT):
            call = self._call(entry)
            call.in_doubt = call.in_doubt or kind == EntryKind.INTENT
            call.status, call.output = CallStatus.RUNNING, None
            last = call.attempts[-1] if call.attempts else None
            if last is None or last.number != entry.attempt or last.status is not CallStatus.RUNNING:
                self._begin_attempt(call, entry)
            return call
        if kind in _END_STATUS:
            call = self._call(entry)
            self._end_attempt(call, entry)
            call.in_doubt = bool((entry.detail or {}).get("in_doubt"))
            if kind in OUTCOME_KINDS:
                call.status = _END_STATUS[kind]
                call.output, call.output_seq = entry.output, entry.seq
                detail = entry.detail or {}
                call.cached = bool(detail.get("cached"))
                call.original_call_id = detail.get("original_call_id")
            return call
        if kind == EntryKind.REOPENED:
            reopened = self.calls.get(entry.key)
            if reopened is not None:
                reopened.status, reopened.output = CallStatus.RUNNING, None
            return reopened
        if kind in (EntryKind.METADATA, EntryKind.ARTIFACT):
            return self._fold_note(entry)
        if kind == EntryKind.CHILD:
            exec_id = (entry.detail or {}).get("exec_id", "")
            parent = identity.parent_key(entry.key)
            self.children.append(FoldedChild(exec_id, entry.name, entry.started_at, parent))
        return None  # journaled values and timers are no calls

    def _call(self, entry: Entry) -> FoldedCall:
        call = self.calls.get(entry.key)
        detail = entry.detail or {}
        label = detail.get("label")
        if label is not None:
            self._labels[entry.key] = label
        if call is None:
            call = self.calls[entry.key] = FoldedCall(entry.key, entry.name, self._invocation_id(entry.key))
            for note in self._early.pop(entry.key, ()):
                _add_note(call, note)
        if detail.get("type") is not None:
            call.checkpoint_type = detail["type"]
        if "parents" in detail:
            call.parents = detail["parents"]
        return call

    def _begin_attempt(self, call: FoldedCall, entry: Entry) -> FoldedAttempt:
        metadata = call.attempt_metadata.setdefault(entry.attempt, {})
        attempt = FoldedAttempt(entry.attempt, CallStatus.RUNNING, entry.started_at, metadata=metadata)
        call.attempts.append(attempt)
        return attempt

    def _end_attempt(self, call: FoldedCall, entry: Entry) -> None:
        attempt = call.attempts[-1] if call.attempts else None
        if attempt is None or attempt.number != entry.attempt or attempt.status is not CallStatus.RUNNING:
            # Most attempts end before anything says that they started: the end carries both times.
            attempt = self._begin_attempt(call, entry)
        attempt.status = _END_STATUS[entry.kind]
        attempt.ended_at = entry.ended_at
        attempt.failure = (entry.detail or {}).get("failure")

    def _fold_note(self, entry: Entry) -> FoldedCall | None:
        if not entry.key:
            merge_metadata(self.metadata, entry.detail or {})
            return None
        call = self.calls.get(entry.key)
        if call is None:  # notes may be committed before anything else of their call, whose names they do not know
            self._early.setdefault(entry.key, []).append(entry)
        else:
            _add_note(call, entry)
        return call

    def _invocation_id(self, key: str) -> str:
        own = self._labels.get(key)
        if own is None:
            _, name, occurrence = identity.key_parts(key)
            own = name if occurrence in (None, 1) else f"{name}#{occurrence}"
        parent = identity.parent_key(key)
        if not parent:
            return own
        outer = self.calls.get(parent)
        return f"{outer.invocation_id if outer is not None else self._invocation_id(parent)}/{own}"


def _add_note(call: FoldedCall, entry: Entry) -> None:
    detail = entry.detail or {}
    if entry.kind == EntryKind.METADATA:
        merge_metadata(call.metadata, detail)
        merge_metadata(call.attempt_metadata.setdefault(entry.attempt, {}), detail)
    elif entry.output is not None:
        if detail.get("occurrence", 1) == 1:  # an attempt's first one: what earlier attempts saved is gone
            call.saved = [saved for saved in call.saved if saved.name != entry.name]
        saved = FoldedArtifact(
            entry.name, entry.output, entry.seq, detail.get("type", "output"), detail.get("tags", [])
        )
        call.saved.append(saved)


def merge_metadata(into: dict[str, Any], values: dict[str, Any]) -> None:
    """Add logged values: two dicts under one key are merged, of anything else the latest wins."""
    for key, value in values.items():
        earlier = into.get(key)
        if isinstance(earlier, dict) and isinstance(value, dict):
            into[key] = {**earlier, **value}
        else:
            into[key] = value

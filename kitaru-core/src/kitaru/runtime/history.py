"""What an execution's journal already holds, and which recorded entry answers a call made now.

Matching, in this order (design 6 and 13.1): the record under the call's own key when its inputs agree; another
unconsumed record of the same name and parent with equal inputs (so reordered calls find themselves); otherwise, in
the flow body, a divergence, and inside a checkpoint's body (which may be nondeterministic) a new call.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kitaru.journal.records import OUTCOME_KINDS, Entry, EntryKind
from kitaru.runtime import identity

if TYPE_CHECKING:
    from kitaru.runtime.replay_source import Source

_CALL_KINDS = OUTCOME_KINDS | {EntryKind.STARTED, EntryKind.INTENT, EntryKind.ATTEMPT_FAILED, EntryKind.CHILD}
_COMPLETED, _CHILD = EntryKind.COMPLETED, EntryKind.CHILD  # looking a member up costs as much as a call
VALUE_KINDS = frozenset((EntryKind.VALUE, EntryKind.TIMER, EntryKind.WAITED))


@dataclass(slots=True)
class Recorded:
    """What is known of one call: its outcome if it has one, the inputs it was called with, its failed attempts."""

    key: str
    name: str
    first: Entry
    outcome: Entry | None = None
    last_attempt: int = 0
    failed_attempts: int = 0
    doubt: Entry | None = None  # of an effect: the entry that leaves open whether it happened
    copies: list[Entry] | None = None  # answered by a replay's original: what to commit once the flow has it

    @property
    def inputs_digest(self) -> bytes | None:
        return (self.outcome or self.first).inputs_digest

    @property
    def inputs(self) -> bytes | None:
        return (self.outcome or self.first).inputs or self.first.inputs


@dataclass(slots=True)
class Match:
    """Answer of :meth:`History.match`: the record to continue from, or a contradiction (``differs``)."""

    key: str
    recorded: Recorded | None
    differs: bool = False


@dataclass(slots=True)
class History:
    """The unconsumed records of one execution. Used under the run's history lock."""

    calls: dict[str, Recorded] = field(default_factory=dict)
    values: dict[str, Entry] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)  # by parent's key: label -> key of the call
    order: list[int] = field(default_factory=list)
    logged: deque[dict[str, Any]] = field(default_factory=deque)
    source: Source | None = None  # of a replay: its original
    _used: set[str] = field(default_factory=set)
    _by_inputs: dict[tuple[str, str, bytes], list[str]] | None = None

    @property
    def empty(self) -> bool:
        return not self.calls and not self.values and not self.logged and self.source is None

    def match(self, key: str, name: str, digest: bytes | None, *, strict: bool) -> Match:
        """Find the record for a call and consume it. ``strict``: a flow body's call, whose inputs must agree.

        The returned key is the one the call must use from now on: that of the adopted record, or a fresh one.
        """
        recorded = self.calls.get(key)
        if recorded is not None and recorded.name == name:
            known = recorded.inputs_digest
            if known == digest or known is None or digest is None:
                return self._consume(recorded)
        if (recorded is not None or key in self._used) and digest is not None:
            other = self._find_equal(identity.parent_key(key), name, digest)
            if other is not None:
                return self._consume(other)
        if recorded is not None and strict:
            return Match(key, recorded, differs=True)
        return Match(self._fresh(key), None)

    def logged_again(self, values: dict[str, Any]) -> bool:
        """Whether the flow body's next metadata is what it logged there before; otherwise all of it counts as new."""
        if self.logged and self.logged[0] == values:
            self.logged.popleft()
            return True
        self.logged.clear()
        return False

    def consume(self, key: str) -> None:
        """Mark the record under ``key`` as taken."""
        self._used.add(key)
        self.calls.pop(key, None)

    def take(self, recorded: Recorded) -> bool:
        """:meth:`consume` one record, without the lock; False when somebody else has it."""
        self._used.add(recorded.key)
        return self.calls.pop(recorded.key, None) is recorded

    def add(self, entries: Iterable[Entry]) -> None:
        """Make entries of an earlier attempt available again (a parent that is tried anew)."""
        for recorded in fold_calls(entries).values():
            self.calls[recorded.key] = recorded
            self._used.discard(recorded.key)
        self._by_inputs = None

    def _consume(self, recorded: Recorded) -> Match:
        self.consume(recorded.key)
        return Match(recorded.key, recorded)

    def _find_equal(self, parent: str, name: str, digest: bytes) -> Recorded | None:
        if self._by_inputs is None:
            self._by_inputs = {}
            for key, recorded in self.calls.items():
                if recorded.inputs_digest is not None:
                    place = (identity.parent_key(key), recorded.name, recorded.inputs_digest)
                    self._by_inputs.setdefault(place, []).append(key)
        for key in self._by_inputs.get((parent, name, digest), ()):
            if key in self.calls:
                return self.calls[key]
        return None

    def _fresh(self, key: str) -> str:
        """``key``, or the next occurrence of it that no record has: two calls never share a key."""
        if key not in self._used and key not in self.calls:
            return key
        stem, _, occurrence = key.rpartition("#")
        number = int(occurrence) + 1 if stem else 1
        while (fresh := f"{stem}#{number}" if stem else f"{key}#{number}") in self._used or fresh in self.calls:
            number += 1
        self._used.add(fresh)
        return fresh


def load(entries: Iterable[Entry]) -> History:
    """Fold an execution's entries (commit order) into the records that a new owner continues from.

    Records inside a call that has an outcome are left out: that call answers from its own record.
    """
    history = History()
    listed = entries if isinstance(entries, list) else list(entries)
    calls = fold_calls(listed)
    nested = any("/" in key for key in calls)
    ended: set[str] = set()
    if nested:  # a child flow is no such call: what was read from its handle lies inside its key
        outcomes = ((key, recorded.outcome) for key, recorded in calls.items())
        ended = {key for key, outcome in outcomes if outcome is not None and outcome.kind is not EntryKind.CHILD}
        calls = {key: recorded for key, recorded in calls.items() if not _inside(key, ended)}
    history.calls = calls
    known = [recorded.outcome for recorded in calls.values() if recorded.outcome is not None]
    order = history.order = [outcome.seq for outcome in known if outcome.kind is not _CHILD]
    for entry in listed:
        kind = entry.kind
        if kind is _COMPLETED and entry.detail is None:  # by far the commonest
            continue
        if kind in VALUE_KINDS:
            if nested and _inside(entry.key, ended):  # read inside a call that answers from its own record
                continue
            history.values[entry.key] = entry
            if kind is EntryKind.WAITED:
                order.append(entry.seq)
        elif kind is EntryKind.REOPENED:  # what was read out of a reopened child is read again
            for key in [key for key in history.values if key.startswith(entry.key + "/")]:
                del history.values[key]
        elif kind is EntryKind.METADATA:  # its detail is the user's own: any key may stand in it
            if not entry.key and entry.detail:
                history.logged.append(entry.detail)
            continue
        if entry.detail is not None and (label := entry.detail.get("label")):
            history.labels.setdefault(identity.parent_key(entry.key), {})[label] = entry.key
    order.sort(reverse=True)
    return history


def fold_calls(entries: Iterable[Entry]) -> dict[str, Recorded]:
    """What entries (commit order) say of each call, child flows included, by key in the order they first name them."""
    calls: dict[str, Recorded] = {}
    for entry in entries:
        kind = entry.kind
        key = entry.key
        recorded = calls.get(key)
        if recorded is None:
            if kind is _COMPLETED:  # one entry for one call: by far the commonest
                calls[key] = Recorded(key, entry.name, entry, entry, entry.attempt)
                continue
            if kind not in _CALL_KINDS:
                continue
            recorded = calls[key] = Recorded(key, entry.name, entry)
        elif kind is EntryKind.REOPENED:
            recorded.outcome, recorded.failed_attempts = None, 0
            continue
        elif kind not in _CALL_KINDS:
            continue
        recorded.last_attempt = max(recorded.last_attempt, entry.attempt)
        if kind is EntryKind.ATTEMPT_FAILED:
            recorded.failed_attempts += 1
            recorded.doubt = None
        elif kind is EntryKind.STARTED or kind is EntryKind.INTENT:
            if kind is EntryKind.INTENT:
                recorded.doubt = entry
            if recorded.inputs_digest != entry.inputs_digest:  # rerun under another set of inputs
                recorded.first, recorded.outcome = entry, None
        else:
            recorded.outcome = entry
            recorded.doubt = entry if entry.detail is not None and entry.detail.get("in_doubt") else None
    return calls


def with_ancestors(keys: Iterable[str]) -> list[str]:
    """``keys`` and the keys of the calls around them, outermost last, each once."""
    found: dict[str, None] = {}
    for inner in keys:
        key = inner
        while key:
            found[key] = None
            key = identity.parent_key(key)
    return list(found)


def _inside(key: str, ended: set[str]) -> bool:
    while "/" in key:
        key = key.rpartition("/")[0]
        if key in ended:
            return True
    return False

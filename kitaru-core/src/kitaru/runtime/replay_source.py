"""What the original of a replay answers while the replay runs; see :mod:`kitaru.runtime.replay`.

Nothing is copied ahead: the replay holds on to its original, and each answer is copied into its own journal when the
flow's code has asked for it, in the same commit as what follows. So a replay that is killed and resumed finds its
copies, and the rest where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruNotFoundError, KitaruStateError
from kitaru.journal.records import REUSED, Entry, EntryKind, Payload
from kitaru.runtime import identity
from kitaru.runtime.history import VALUE_KINDS, History, Recorded, with_ancestors
from kitaru.runtime.replay import calls_in_order, is_decision, payload_from_json, usable_calls

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

#: Kinds that say something about a call beside its outcome: copied with it.
_ATTACHED_KINDS = frozenset((EntryKind.METADATA, EntryKind.ARTIFACT))


class Source:
    """The records of the original that may still answer calls of a replay. Used under the run's lock."""

    __slots__ = (
        "_again",
        "_around",
        "_attached",
        "_by_inputs",
        "_changed",
        "_every",
        "_overrides",
        "_reached",
        "calls",
        "exec_id",
        "frontier",
        "replaced",
    )

    def __init__(self, exec_id: str, told: Mapping[str, Any], entries: Iterable[Entry], shift: int) -> None:
        self.exec_id = exec_id
        self.frontier: str | None = told["frontier"]
        self._overrides = {key: payload_from_json(one) for key, one in told["overrides"].items()}
        self._changed: bool = told["changed"]
        self.replaced = frozenset(told["answers"])
        self._reached = False
        listed = list(entries)
        every = calls_in_order(listed)
        self._every = every  # to find effects, which are not repeated even from the frontier on
        self.calls = usable_calls(every, self.frontier, told["reopened"], [*self._overrides, *told["answers"]])
        self._again = every.keys() - self.calls.keys()
        moved = [*self._overrides, *told["answers"], *([self.frontier] if self.frontier is not None else [])]
        self._around = set(with_ancestors(moved)).difference(moved)
        self._attached = _attachments(listed, every)
        self._by_inputs: dict[tuple[str, str, bytes], list[str]] | None = None
        for recorded in every.values():
            if recorded.outcome is not None:
                recorded.outcome = replace(recorded.outcome, seq=recorded.outcome.seq - shift)

    def order(self) -> list[int]:
        """Places of the outcomes in the order of delivery; those inside another reusable call are not waited for."""
        return [
            recorded.outcome.seq
            for key, recorded in self.calls.items()
            if recorded.outcome is not None and not self.answers_inside(key)
        ]

    def answers_inside(self, key: str) -> bool:
        """Whether a reusable call lies around ``key``: then nobody asks for ``key`` itself."""
        return any(one in self.calls for one in with_ancestors([key])[1:])

    def continue_after(self, own: Mapping[str, Recorded]) -> None:
        """Take note of what the replay recorded under earlier owners: each record of the original answers once."""
        taken = set()
        for key, recorded in own.items():
            copied = None if recorded.outcome is None else (recorded.outcome.detail or {}).get("original_call_id")
            taken.add(copied)
            self._reached = self._reached or key == self.frontier
            self._changed = self._changed or (copied is None and key not in self._around)
        for key in [key for key in self._every if identity.call_id(self.exec_id, key) in taken]:
            del self._every[key]
            self.calls.pop(key, None)

    def answer(self, frame: Frame, key: str) -> Recorded | None:
        """The record that answers the call in ``frame``, whose key is ``key`` from now on; None: it runs.

        What is returned carries the copies to commit once the flow's code has the answer.
        """
        if frame.spec is None or frame.inputs is None:  # a child flow: a replay makes new ones
            self._changed = True
            return None
        if frame.key == self.frontier:
            self._reached = True
        override = self._overrides.pop(frame.key, None)
        if override is not None:
            return self._overridden(frame, key, override)
        recorded = self._find(frame)
        if recorded is None and frame.spec.effect:
            recorded = self._find_effect(frame)
            if recorded is not None and recorded.outcome is None:
                self._changed = True
                return recorded
        if recorded is None:
            if frame.key not in self._around:
                self._changed = True
            return None
        self.calls.pop(recorded.key, None)
        self._every.pop(recorded.key, None)
        return self._copied(frame, key, recorded)

    def _find(self, frame: Frame) -> Recorded | None:
        inputs = frame.inputs
        assert inputs is not None
        digest = inputs.digest
        whole = digest is not None and inputs.complete
        recorded = self.calls.get(frame.key)
        # Arguments that only pickle can encode cannot be compared. As long as nothing differs from the original they
        # are what they were; afterwards nobody knows, and a call too many is better than a wrong result.
        told_apart = whole or not self._changed
        if recorded is not None and recorded.name == frame.name and recorded.inputs_digest == digest and told_apart:
            return recorded
        if not whole or self._reached or frame.key in self._again:
            return None
        assert digest is not None
        if self._by_inputs is None:
            self._by_inputs = {}
            for key, one in self.calls.items():
                if one.inputs_digest is not None:
                    place = (identity.parent_key(key), one.name, one.inputs_digest)
                    self._by_inputs.setdefault(place, []).append(key)
        for key in self._by_inputs.get((identity.parent_key(frame.key), frame.name, digest), ()):
            if key in self.calls:
                return self.calls[key]
        return None

    def _find_effect(self, frame: Frame) -> Recorded | None:
        """The record of an effect that would run again: its result if the inputs are equal, else a doubt to decide."""
        inputs = frame.inputs
        assert inputs is not None
        parent = identity.parent_key(frame.key)
        around = [one for one in self._every.values() if one.name == frame.name]
        around = [one for one in around if identity.parent_key(one.key) == parent]
        if inputs.digest is not None and inputs.complete:
            for one in sorted(around, key=lambda one: one.key != frame.key):
                ended = one.outcome is not None and one.outcome.kind is EntryKind.COMPLETED
                if ended and one.inputs_digest == inputs.digest:
                    return one
        recorded = self._every.get(frame.key)
        if recorded is None or recorded.name != frame.name:
            return None
        doubt = recorded.doubt
        if doubt is None and recorded.outcome is not None and recorded.outcome.kind is EntryKind.COMPLETED:
            doubt = replace(recorded.outcome, seq=recorded.first.seq)
        return None if doubt is None else Recorded(recorded.key, recorded.name, recorded.first, doubt=doubt)

    def _copied(self, frame: Frame, key: str, recorded: Recorded) -> Recorded:
        outcome = recorded.outcome
        assert outcome is not None
        own = self._copy(outcome, recorded.key, key, frame.label)
        copies = [self._copy(one, recorded.key, key, None) for one in self._attached.get(recorded.key, ())]
        ordered = replace(own, seq=outcome.seq)
        return Recorded(key, recorded.name, ordered, ordered, copies=[*copies, own])

    def _copy(self, entry: Entry, old: str, new: str, label: str | None) -> Entry:
        detail = dict(entry.detail or {})
        if entry.kind not in _ATTACHED_KINDS:  # theirs is the user's own
            detail.pop("cached", None)
        if entry.key == old and label is not None:
            detail["label"] = label
        if entry.kind not in _ATTACHED_KINDS:
            detail["original_call_id"] = identity.call_id(self.exec_id, entry.key)
        name = REUSED if entry.kind is EntryKind.METADATA else entry.name
        key = new + entry.key[len(old) :]
        return replace(entry, key=key, name=name, attempt=1, detail=detail or None, cache_key=None, seq=0)

    def _overridden(self, frame: Frame, key: str, output: Payload) -> Recorded:
        inputs, run = frame.inputs, frame.run
        assert inputs is not None
        now = run.clock.now()
        detail: dict[str, Any] = {"original_call_id": identity.call_id(self.exec_id, frame.key), "overridden": True}
        if frame.spec is not None and frame.spec.type is not None:
            detail["type"] = frame.spec.type
        if frame.label is not None:
            detail["label"] = frame.label
        own = Entry(EntryKind.COMPLETED, key, frame.name, 1, now, now, inputs.digest, inputs.data, output, detail)
        ordered = replace(own, seq=-1)
        return Recorded(key, frame.name, ordered, ordered, copies=[own])


def attach(kernel: Kernel, run: Run) -> None:
    """Let the original of a replay answer the calls of ``run``, which knows its own records already.

    Raises KitaruStateError when the original is gone: going on without it would run, and pay for, everything again.
    """
    told = run.record.spec["replay"]
    original = run.record.original_exec_id
    assert original is not None
    try:
        past = kernel.journal.entries(original)
    except KitaruNotFoundError as error:
        raise KitaruStateError(
            f"execution {run.exec_id} is a replay of {original}, which is not in the journal any more, so what it "
            "would reuse is gone. Start a new execution with .run()."
        ) from error
    entries = [entry for entry in past if entry.seq <= told["through"]]
    history = run.history
    if history is None:
        history = run.history = History()
    # Outcomes reach async code in the order of their numbers: first the replay's own, then those of its original, then
    # new ones, which count from 1.
    shift = 1 + max(told["through"], run.lease.next_seq)
    for recorded in history.calls.values():
        if recorded.outcome is not None:
            recorded.outcome = replace(recorded.outcome, seq=recorded.outcome.seq - 2 * shift)
    source = Source(original, told, entries, shift)
    if history.calls:
        source.continue_after(history.calls)
    own = [seq - 2 * shift for seq in history.order]
    for key, value in history.values.items():
        history.values[key] = replace(value, seq=value.seq - 2 * shift)
    history.order[:] = [*own, *source.order()]
    history.source = source
    for value in [*_values(entries, source), *_answers(run, told["answers"])]:
        if value.key not in history.values:
            history.values[value.key] = replace(value, seq=value.seq - shift)
            run.buffered.append(replace(value, seq=0))
            if value.kind is EntryKind.WAITED and not source.answers_inside(value.key):
                history.order.append(value.seq - shift)
    history.order.sort(reverse=True)


def keep(run: Run, recorded: Recorded) -> None:
    """The flow's code has the answer: its copies are committed with what comes next."""
    copies, recorded.copies = recorded.copies, None
    with run.lock:
        run.buffered.extend(copies or ())


# -- parts ------------------------------------------------------------------------------------------------------


def _attachments(entries: Iterable[Entry], calls: Mapping[str, Recorded]) -> dict[str, list[Entry]]:
    """What is copied along with a call, by its key: what it logged, and the calls inside it with what they logged."""
    attached: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.kind in _ATTACHED_KINDS and entry.key:
            for key in with_ancestors([entry.key]):
                attached.setdefault(key, []).append(entry)
    for key, recorded in calls.items():
        if recorded.outcome is not None:
            for around in with_ancestors([key])[1:]:
                attached.setdefault(around, []).append(recorded.outcome)
    return attached


def _values(entries: Sequence[Entry], source: Source) -> list[Entry]:
    """Journaled values (times, timers, answers) from before the frontier that no override replaces.

    Not what was read from children, which a replay makes anew, and no decisions about effects, which hold once.
    """
    frontier = source.frontier
    end = None if frontier is None else min((entry.seq for entry in entries if entry.key == frontier), default=None)
    return [
        entry
        for entry in entries
        if entry.kind in VALUE_KINDS
        and (end is None or (entry.seq < end and not entry.key.startswith(f"{frontier}/")))
        and not identity.is_child(identity.parent_key(entry.key))
        and not is_decision(entry.key)
        and entry.key not in source.replaced
    ]


def _answers(run: Run, told: Mapping[str, Any]) -> list[Entry]:
    """Answers that stand in for recorded ones, or that the original had not met yet, as if it had."""
    now = run.clock.now()
    return [
        Entry(
            EntryKind.WAITED,
            key,
            one["name"],
            started_at=now,
            ended_at=now,
            output=payload_from_json(one["payload"]),
            detail={"name": one["name"], "wait_id": identity.call_id(run.exec_id, key), "status": "answered"},
        )
        for key, one in told.items()
    ]

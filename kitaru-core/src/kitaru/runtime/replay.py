"""Replay: a new execution made from the records of an old one, its *original*.

A call of the replay is answered by a record of the original when that was recorded before the frontier and has the
same inputs; the frontier, and everything the original called after it, run again. Nothing is copied ahead: the replay
holds on to its original, and each answer is copied into its own journal when the flow's code has asked for it, in the
same commit as what follows. So a replay that is killed and resumed finds its copies, and the rest where it was.

What a replay was asked for is its execution's ``spec["replay"]``, a JSON object: ``frontier`` (call key or null),
``through`` (last entry of the original that counts: it may be continued meanwhile), ``reopened`` (keys of calls whose
failures are not reused), ``changed`` (whether anything was), ``overrides`` (call key -> payload) and
``wait_overrides`` (name -> payload), payloads as :func:`payload_to_json` has them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.journal.records import OUTCOME_KINDS, Entry, EntryKind, ExecutionRecord, Payload
from kitaru.runtime import identity
from kitaru.runtime.history import VALUE_KINDS, History, Recorded, fold_calls, with_ancestors

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

#: Kinds that say something about a call beside its outcome: copied with it.
_ATTACHED_KINDS = frozenset((EntryKind.METADATA,))


@dataclass(slots=True, frozen=True)
class ReplayPlan:
    """What a replay will do, decided before anything is created.

    ``frontier`` is the key of the call from which everything runs again; None: only what changed does. ``reusable``
    are the keys of the calls that answer as recorded as long as their inputs are unchanged, in the order in which they
    were called; every other call runs. ``overrides`` (by call key) and ``wait_overrides`` (by name) hold the values
    that stand in for recorded ones. ``through`` is the last entry of the original that counts.
    """

    original_exec_id: str
    frontier: str | None = None
    reusable: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    wait_overrides: Mapping[str, Any] = field(default_factory=dict)
    flow_inputs: Mapping[str, Any] = field(default_factory=dict)
    reopened: tuple[str, ...] = ()
    through: int = 0

    def to_json(self, encode: Callable[[Any], Payload]) -> dict[str, Any]:
        """The form of ``spec["replay"]``. Raises what ``encode`` does, of a value that cannot be stored."""
        return {
            "frontier": self.frontier,
            "through": self.through,
            "reopened": list(self.reopened),
            "changed": bool(self.flow_inputs or self.overrides or self.wait_overrides),
            "overrides": {key: payload_to_json(encode(value)) for key, value in self.overrides.items()},
            "wait_overrides": {name: payload_to_json(encode(value)) for name, value in self.wait_overrides.items()},
        }


def build_replay_plan(
    record: ExecutionRecord,
    entries: Sequence[Entry],
    *,
    from_: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    flow_inputs: Mapping[str, Any] | None = None,
) -> ReplayPlan:
    """Plan the replay of an execution from its record and its entries (commit order). Pure: reads and writes nothing.

    Checked in this order: there are calls to select from, ``from_`` is not blank, the keys of ``overrides``, the call
    that ``from_`` selects, the calls that ``overrides`` select.

    Raises:
        KitaruUsageError: a blank ``from_``, an empty selector, a key of ``overrides`` that is neither
            ``checkpoint.SELECTOR`` nor ``wait.NAME``.
        KitaruStateError: a selector that matches no call or several ones, or an execution that recorded no calls.
    """
    calls = _in_call_order(entries)
    keys = list(overrides or ())
    if not calls and (from_ is not None or any(str(key).startswith("checkpoint.") for key in keys)):
        raise KitaruStateError(
            f"execution {record.exec_id} has no recorded calls to select from: Unknown checkpoint selector. Available: "
            "none. Replay it without from_= and checkpoint overrides."
        )
    if from_ is not None and (not isinstance(from_, str) or not from_.strip()):
        raise KitaruUsageError(
            f"from_={from_!r}: name the call to run again from (checkpoint name, invocation id or call id), or leave "
            "it out to run only what changed."
        )
    wanted = [_override_key(key) for key in keys]
    names = invocation_ids(calls)
    frontier = _select(record.exec_id, calls, names, from_.strip()) if from_ is not None else None
    replaced: dict[str, Any] = {}
    answers: dict[str, Any] = {}
    for key, (kind, selector) in zip(keys, wanted, strict=True):
        value = (overrides or {})[key]
        if kind == "wait":
            answers[selector] = value
            continue
        selected = _select(record.exec_id, calls, names, selector)
        if selected in replaced:
            raise KitaruUsageError(
                f"override {key!r} names call `{names[selected]}`, which another override names too."
            )
        replaced[selected] = value
    _require_waits(record.exec_id, entries, answers)
    reopened = tuple((record.failure or {}).get("calls", ()))
    usable = _usable(calls, frontier, reopened, replaced)
    return ReplayPlan(
        original_exec_id=record.exec_id,
        frontier=frontier,
        reusable=tuple(usable),
        overrides=replaced,
        wait_overrides=answers,
        flow_inputs=dict(flow_inputs or {}),
        reopened=reopened,
        through=max((entry.seq for entry in entries), default=0),
    )


def invocation_ids(calls: Mapping[str, Recorded]) -> dict[str, str]:
    """The names for people of recorded calls, by key: ``research``, ``research#2``, ``outer/inner#2``."""
    names: dict[str, str] = {}

    def name_of(key: str) -> str:
        if key not in names:
            recorded = calls.get(key)
            own = None if recorded is None else ((recorded.outcome or recorded.first).detail or {}).get("label")
            if own is None:
                _, name, occurrence = identity.key_parts(key)
                own = name if occurrence in (None, 1) else f"{name}#{occurrence}"
            parent = identity.parent_key(key)
            names[key] = f"{name_of(parent)}/{own}" if parent else own
        return names[key]

    return {key: name_of(key) for key in calls}


# -- while the replay runs --------------------------------------------------------------------------------------


class Source:
    """The records of the original that may still answer calls of a replay. Used under the run's lock."""

    __slots__ = (
        "_again",
        "_around",
        "_attached",
        "_by_inputs",
        "_changed",
        "_overrides",
        "_reached",
        "calls",
        "exec_id",
        "frontier",
    )

    def __init__(self, exec_id: str, told: Mapping[str, Any], entries: Iterable[Entry], shift: int) -> None:
        self.exec_id = exec_id
        self.frontier: str | None = told["frontier"]
        self._overrides = {key: payload_from_json(one) for key, one in told["overrides"].items()}
        self._changed: bool = told["changed"]
        self._reached = False
        listed = list(entries)
        every = _in_call_order(listed)
        self.calls = _usable(every, self.frontier, told["reopened"], self._overrides)
        self._again = every.keys() - self.calls.keys()
        moved = [*self._overrides, *([self.frontier] if self.frontier is not None else [])]
        self._around = set(with_ancestors(moved)).difference(moved)
        self._attached = _attachments(listed, every)
        self._by_inputs: dict[tuple[str, str, bytes], list[str]] | None = None
        for recorded in self.calls.values():
            assert recorded.outcome is not None
            recorded.outcome = replace(recorded.outcome, seq=recorded.outcome.seq - shift)

    def order(self) -> list[int]:
        """Places of the outcomes in the order of delivery; those inside another reusable call are not waited for."""
        return [
            recorded.outcome.seq
            for key, recorded in self.calls.items()
            if recorded.outcome is not None and not any(one in self.calls for one in with_ancestors([key])[1:])
        ]

    def continue_after(self, own: Mapping[str, Recorded]) -> None:
        """Take note of what the replay recorded under earlier owners: each record of the original answers once."""
        taken = set()
        for key, recorded in own.items():
            copied = None if recorded.outcome is None else (recorded.outcome.detail or {}).get("original_call_id")
            taken.add(copied)
            self._reached = self._reached or key == self.frontier
            self._changed = self._changed or (copied is None and key not in self._around)
        for key in [key for key in self.calls if identity.call_id(self.exec_id, key) in taken]:
            del self.calls[key]

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
        if recorded is None:
            if frame.key not in self._around:
                self._changed = True
            return None
        del self.calls[recorded.key]
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

    def _copied(self, frame: Frame, key: str, recorded: Recorded) -> Recorded:
        outcome = recorded.outcome
        assert outcome is not None
        own = self._copy(outcome, recorded.key, key, frame.label)
        copies = [self._copy(one, recorded.key, key, None) for one in self._attached.get(recorded.key, ())]
        ordered = replace(own, seq=outcome.seq)
        return Recorded(key, recorded.name, ordered, ordered, copies=[*copies, own])

    def _copy(self, entry: Entry, old: str, new: str, label: str | None) -> Entry:
        detail = dict(entry.detail or {})
        detail.pop("cached", None)
        if entry.key == old and label is not None:
            detail["label"] = label
        if entry.kind not in _ATTACHED_KINDS:
            detail["original_call_id"] = identity.call_id(self.exec_id, entry.key)
        return replace(entry, key=new + entry.key[len(old) :], attempt=1, detail=detail or None, cache_key=None, seq=0)

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
    history.order[:] = sorted([*own, *source.order()], reverse=True)
    history.source = source
    for value in _values(entries, source):
        if value.key not in history.values:
            history.values[value.key] = replace(value, seq=value.seq - shift)
            run.buffered.append(replace(value, seq=0))


def keep(run: Run, recorded: Recorded) -> None:
    """The flow's code has the answer: its copies are committed with what comes next."""
    copies, recorded.copies = recorded.copies, None
    with run.lock:
        run.buffered.extend(copies or ())


# -- parts ------------------------------------------------------------------------------------------------------


def payload_to_json(payload: Payload) -> dict[str, Any]:
    """A payload as JSON data."""
    data = None if payload.data is None else base64.b64encode(payload.data).decode()
    return {
        "codec": payload.codec,
        "digest": payload.digest.hex(),
        "size": payload.size,
        "data": data,
        "ref": payload.ref,
    }


def payload_from_json(told: Mapping[str, Any]) -> Payload:
    """The inverse of :func:`payload_to_json`."""
    data = None if told["data"] is None else base64.b64decode(told["data"])
    return Payload(told["codec"], bytes.fromhex(told["digest"]), told["size"], data, told["ref"])


def _in_call_order(entries: Iterable[Entry]) -> dict[str, Recorded]:
    """The checkpoint calls in the order in which they were made: by the time they began, which entries carry.

    Outcomes stand in the order in which calls *ended*: that shows where a clock was set back in between, which is made
    up for. A copy carries the times of its original; it was made when its turn came.
    """
    listed = list(entries)
    began: dict[str, int] = {}
    late = latest = 0
    for entry in listed:
        if entry.detail is not None and "original_call_id" in entry.detail:
            began.setdefault(entry.key, latest)
            continue
        if entry.kind in OUTCOME_KINDS:
            late = max(late, latest - entry.ended_at)
            latest = max(latest, entry.ended_at + late)
        began.setdefault(entry.key, entry.started_at + late)
    calls = {
        key: recorded for key, recorded in fold_calls(listed).items() if recorded.first.kind is not EntryKind.CHILD
    }
    return {key: calls[key] for key in sorted(calls, key=lambda key: (began[key], calls[key].first.seq))}


def _usable(
    calls: dict[str, Recorded], frontier: str | None, reopened: Iterable[str], overrides: Iterable[str]
) -> dict[str, Recorded]:
    """The calls (in call order) whose records may answer: with an outcome, before the frontier, around no change."""
    keys = list(calls)
    before = keys if frontier is None else keys[: keys.index(frontier)]
    again = set(with_ancestors([*reopened, *overrides, *([frontier] if frontier is not None else [])]))
    return {key: calls[key] for key in before if calls[key].outcome is not None and key not in again}


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
    """Journaled values (times, timers, answers) from before the frontier; not what was read from children."""
    frontier = source.frontier
    end = None if frontier is None else min((entry.seq for entry in entries if entry.key == frontier), default=None)
    return [
        entry
        for entry in entries
        if entry.kind in VALUE_KINDS
        and (end is None or (entry.seq < end and not entry.key.startswith(f"{frontier}/")))
        and not identity.is_child(identity.parent_key(entry.key))
    ]


def _override_key(key: Any) -> tuple[str, str]:
    kind, dot, selector = str(key).partition(".")
    if not dot or kind not in ("checkpoint", "wait"):
        raise KitaruUsageError(
            f"override {key!r}: Override keys must start with `checkpoint.` (a call's output) or `wait.` (an answer), "
            "such as `checkpoint.research` or `wait.approve`. Flow inputs are passed by keyword."
        )
    if not selector.strip():
        raise KitaruUsageError(f"override {key!r} names nothing after `{kind}.`: add a selector.")
    return kind, selector.strip()


def _select(exec_id: str, calls: Mapping[str, Recorded], names: Mapping[str, str], selector: str) -> str:
    """The key of the one call that ``selector`` matches: checkpoint name, invocation id or call id, exactly."""
    found = [
        key
        for key, recorded in calls.items()
        if selector in (recorded.name, names[key]) or selector == identity.call_id(exec_id, key)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        available = ", ".join(sorted({*names.values(), *(recorded.name for recorded in calls.values())})) or "none"
        raise KitaruStateError(
            f"Unknown checkpoint selector {selector!r} for execution {exec_id}. Available: {available}. See "
            f"`kitaru executions get {exec_id}`."
        )
    told = ", ".join(f"{names[key]} ({identity.call_id(exec_id, key)})" for key in found[:20])
    raise KitaruStateError(
        f"selector {selector!r} is ambiguous: it matches {len(found)} calls of execution {exec_id}. Use a call id: "
        f"{told}{', ...' if len(found) > 20 else ''}."
    )


def _require_waits(exec_id: str, entries: Sequence[Entry], answers: Mapping[str, Any]) -> None:  # noqa: ARG001
    for name in answers:
        raise KitaruStateError(
            f"override 'wait.{name}': execution {exec_id} recorded no wait `{name}`. Available: none."
        )

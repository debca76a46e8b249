"""Replay: a new execution made from the records of an old one, its *original*.

A call of the replay is answered by a record of the original when that was recorded before the frontier and has the
same inputs; the frontier, and everything the original called after it, run again. This module plans; what happens as
the replay runs is in :mod:`kitaru.runtime.replay_source`.

What a replay was asked for is its execution's ``spec["replay"]``, a JSON object: ``frontier`` (call key or null),
``through`` (last entry of the original that counts: it may be continued meanwhile), ``reopened`` (keys of calls whose
failures are not reused), ``changed`` (whether anything was), ``overrides`` (call key -> payload) and
``answers`` (key of a wait -> its name and a payload), payloads as :func:`payload_to_json` has them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.journal.records import OUTCOME_KINDS, Entry, EntryKind, ExecutionRecord, Payload, WaitRecord
from kitaru.runtime import identity
from kitaru.runtime.history import Recorded, fold_calls, with_ancestors

if TYPE_CHECKING:
    pass


@dataclass(slots=True, frozen=True)
class ReplayPlan:
    """What a replay will do, decided before anything is created.

    ``frontier`` is the key of the call from which everything runs again; None: only what changed does. ``reusable``
    are the keys of the calls that answer as recorded as long as their inputs are unchanged, in the order in which they
    were called; every other call runs. ``overrides`` (by call key) and ``wait_overrides`` (by the wait's key) hold the
    values that stand in for recorded ones; ``answers`` are recorded answers that the original has not met yet, and
    ``wait_names`` the names of all these waits. ``through`` is the last entry of the original that counts.
    """

    original_exec_id: str
    frontier: str | None = None
    reusable: tuple[str, ...] = ()
    overrides: Mapping[str, Any] = field(default_factory=dict)
    wait_overrides: Mapping[str, Any] = field(default_factory=dict)
    answers: Mapping[str, Payload] = field(default_factory=dict)
    wait_names: Mapping[str, str] = field(default_factory=dict)
    flow_inputs: Mapping[str, Any] = field(default_factory=dict)
    reopened: tuple[str, ...] = ()
    through: int = 0

    def to_json(self, encode: Callable[[Any], Payload]) -> dict[str, Any]:
        """The form of ``spec["replay"]``. Raises what ``encode`` does, of a value that cannot be stored."""
        answers = {**self.answers, **{key: encode(value) for key, value in self.wait_overrides.items()}}
        return {
            "frontier": self.frontier,
            "through": self.through,
            "reopened": list(self.reopened),
            "changed": bool(self.flow_inputs or self.overrides or self.wait_overrides),
            "overrides": {key: payload_to_json(encode(value)) for key, value in self.overrides.items()},
            "answers": {
                key: {"name": self.wait_names[key], "payload": payload_to_json(one)} for key, one in answers.items()
            },
        }


def build_replay_plan(
    record: ExecutionRecord,
    entries: Sequence[Entry],
    waits: Sequence[WaitRecord] = (),
    *,
    from_: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    flow_inputs: Mapping[str, Any] | None = None,
) -> ReplayPlan:
    """Plan the replay of an execution from its record, entries (commit order) and waits. Pure: no reads, no writes.

    Values of answers are taken as they are. Checked in this order: there are calls to select from, ``from_`` is not
    blank, the keys of ``overrides``, the call that ``from_`` selects, the calls and waits that ``overrides`` select.

    Raises:
        KitaruUsageError: a blank ``from_``, an empty selector, a key of ``overrides`` that is neither
            ``checkpoint.SELECTOR`` nor ``wait.NAME``.
        KitaruStateError: a selector that matches no call or several ones, or an execution that recorded no calls.
    """
    calls = calls_in_order(entries)
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
            answers[_select_wait(record.exec_id, waits, selector)] = value
            continue
        selected = _select(record.exec_id, calls, names, selector)
        if selected in replaced:
            raise KitaruUsageError(
                f"override {key!r} names call `{names[selected]}`, which another override names too."
            )
        replaced[selected] = value
    reopened = tuple((record.failure or {}).get("calls", ()))
    usable = usable_calls(calls, frontier, reopened, [*replaced, *answers])
    before = None if frontier is None else calls[frontier].first.started_at
    met = {entry.key for entry in entries if entry.kind is EntryKind.WAITED}
    unmet = {
        wait.key: wait.answer
        for wait in waits
        if wait.status == "answered"
        and wait.answer is not None
        and wait.key not in met
        and not is_decision(wait.key)
        and (before is None or wait.created_at < before)
    }
    return ReplayPlan(
        original_exec_id=record.exec_id,
        frontier=frontier,
        reusable=tuple(usable),
        overrides=replaced,
        wait_overrides=answers,
        answers=unmet,
        wait_names={wait.key: wait.name for wait in waits if wait.key in answers or wait.key in unmet},
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


def calls_in_order(entries: Iterable[Entry]) -> dict[str, Recorded]:
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


def usable_calls(
    calls: dict[str, Recorded], frontier: str | None, reopened: Iterable[str], overrides: Iterable[str]
) -> dict[str, Recorded]:
    """The calls (in call order) whose records may answer: with an outcome, before the frontier, around no change."""
    keys = list(calls)
    before = keys if frontier is None else keys[: keys.index(frontier)]
    again = set(with_ancestors([*reopened, *overrides, *([frontier] if frontier is not None else [])]))
    return {key: calls[key] for key in before if calls[key].outcome is not None and key not in again}


def is_decision(key: str) -> bool:
    """Whether ``key`` is that of the question what became of an effect in doubt."""
    return key.rpartition("/")[2].startswith("!in_doubt#")


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


def _select_wait(exec_id: str, waits: Sequence[WaitRecord], name: str) -> str:
    """The key of the wait that is called ``name``."""
    found = [wait for wait in waits if name in (wait.name, wait.wait_id)]
    if len(found) == 1:
        return found[0].key
    if found:
        told = ", ".join(wait.wait_id for wait in found)
        raise KitaruStateError(f"override 'wait.{name}' is ambiguous: use one of the wait ids {told}.")
    available = ", ".join(sorted(wait.name for wait in waits)) or "none"
    raise KitaruStateError(
        f"override 'wait.{name}': execution {exec_id} has recorded no wait `{name}`. Available: {available}."
    )

"""What budgets are charged with: read from the journal, for an execution and all flows that it started.

Nothing is kept elsewhere: a resumed execution has spent what its journal says, and so has one whose parent runs in
another process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from kitaru.budgets import FAIL, WAIT, Spent
from kitaru.config.model_registry import ResolvedModelSelection, resolve_model_selection
from kitaru.errors import KitaruBudgetExceededError, KitaruNotFoundError
from kitaru.journal.records import REUSED, Entry, EntryKind, ExecutionQuery, WaitRecord
from kitaru.model_calls.conversation import Conversation, WaitFor
from kitaru.process_locks import ProcessLock

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame
    from kitaru.runtime.kernel import Kernel

WAIT_NAME = "budget"
_MARK = "kitaru_budget_of"
_NUMBER = {"type": ["number", "null"], "exclusiveMinimum": 0}
_ANSWER = {
    "type": "object",
    "properties": dict.fromkeys(("usd", "tokens", "calls"), _NUMBER),
    "additionalProperties": False,
}


@dataclass(slots=True)
class _Account:
    """What one execution has spent, up to an entry of its journal; calls that run here now are not among it."""

    seq: int = 0
    lines: dict[tuple[str, int, str], Spent] = field(default_factory=dict)
    running: int = 0


class _Ledger:
    """The accounts of one kernel's executions."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.accounts: dict[str, _Account] = {}


_ledgers: WeakKeyDictionary[Kernel, _Ledger] = WeakKeyDictionary()
_ledgers_lock = ProcessLock()


class Purse:
    """What one call is charged to: the budgets of its execution and of those that started that, inner ones first."""

    def __init__(self, frame: Frame, owners: Sequence[str]) -> None:
        self._frame = frame
        self._kernel = frame.run.kernel
        self._owners = owners
        with _ledgers_lock:
            self._ledger = _ledgers.setdefault(self._kernel, _Ledger())
        self._entered = False

    def enter(self, chosen: ResolvedModelSelection) -> Conversation[ResolvedModelSelection]:
        """Take part of what is left; gives the model to call, which is another one where a budget says so.

        Raises KitaruBudgetExceededError.
        """
        while True:
            with self._ledger.lock:
                found = self._exhausted()
                if found is None or found[2] not in (FAIL, WAIT):
                    self._account(self._frame.run.exec_id).running += 1
                    self._entered = True
                    return chosen if found is None else resolve_model_selection(found[2])
            owner, told, action = found
            if action == FAIL:
                raise KitaruBudgetExceededError(
                    f"the budget of execution {owner} is exhausted: {told}. Raise it (@flow(budget=Budget(...))), then "
                    f"`kitaru executions retry {owner}`."
                )
            yield WaitFor(
                {
                    "name": WAIT_NAME,
                    "question": f"The budget of execution {owner} is exhausted: {told}. What are the new limits?",
                    "schema": _ANSWER,
                    "metadata": {_MARK: owner},
                }
            )

    def leave(self) -> None:
        """The call has ended: what it spent is in the journal when this returns."""
        if not self._entered:
            return
        try:
            self._frame.run.flush()
        finally:
            with self._ledger.lock:
                self._account(self._frame.run.exec_id).running -= 1

    def _exhausted(self) -> tuple[str, str, str] | None:
        """The first budget with nothing left: whose it is, what is reached, and what happens then."""
        for owner in self._owners:
            budget = budget_of(self._kernel, owner)
            if budget is None:
                continue
            tree = _tree(self._kernel, owner)
            spent = sum((self._spent(one) for one in tree), Spent())
            told = spent.over({**budget, **_raised(self._kernel, tree, owner)})
            if told is not None:
                return owner, told, str(budget["on_exhausted"])
        return None

    def _spent(self, exec_id: str) -> Spent:
        account = self._account(exec_id)
        for entry in self._kernel.journal.entries(exec_id, after=account.seq):
            account.seq = entry.seq
            account.lines.update(lines_of(entry))
        return sum(account.lines.values(), Spent(calls=account.running))

    def _account(self, exec_id: str) -> _Account:
        return self._ledger.accounts.setdefault(exec_id, _Account())


def purse(frame: Frame) -> Purse | None:
    """What a call made here is charged to; None where no budget applies (or, in an isolated body, can be read)."""
    run = frame.run
    if run.isolated:
        return None
    owners: list[str] = []
    record = run.record
    while True:
        if budget_of(run.kernel, record.exec_id) is not None:
            owners.append(record.exec_id)
        if record.parent_exec_id is None:
            return Purse(frame, owners) if owners else None
        record = run.kernel.journal.get(record.parent_exec_id)


def budget_of(kernel: Kernel, exec_id: str) -> Mapping[str, Any] | None:
    """The budget of an execution: its code's, where it runs in this process, else the one it was started with."""
    run = kernel.runs.get(exec_id)
    if run is not None:
        return run.spec.budget
    resolved = kernel.journal.get(exec_id).spec.get("resolved_execution") or {}
    return resolved.get("budget")


def lines_of(entry: Entry) -> dict[tuple[str, int, str], Spent]:
    """What the model calls that a journal entry tells of have spent; nothing for those of a reused record."""
    calls = (entry.detail or {}).get("llm_calls") if entry.kind is EntryKind.METADATA and entry.name != REUSED else None
    if not isinstance(calls, Mapping):
        return {}
    return {
        (entry.key, entry.attempt, str(name)): Spent(_number(one, "cost_usd"), int(_number(one, "total_tokens")), 1)
        for name, one in calls.items()
        if isinstance(one, Mapping)
    }


def _number(line: Mapping[str, Any], name: str) -> float:
    value = line.get(name)
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else 0


def _tree(kernel: Kernel, root: str) -> list[str]:
    found, todo = [root], [root]
    while todo:
        children = kernel.journal.list(ExecutionQuery(parent_exec_id=todo.pop()), kernel.alive)
        ids = [one.exec_id for one in children]
        found += ids
        todo += ids
    return found


def _raised(kernel: Kernel, tree: Sequence[str], owner: str) -> dict[str, Any]:
    """The limits that answers have set, the latest one of each; an answered null lifts it."""
    answered: list[WaitRecord] = []
    for exec_id in tree:
        try:
            waits = kernel.journal.waits(exec_id)
        except KitaruNotFoundError:  # deleted meanwhile
            continue
        answered += [one for one in waits if one.status == "answered" and one.metadata.get(_MARK) == owner]
    limits: dict[str, Any] = {}
    for wait in sorted(answered, key=lambda one: one.resolved_at or 0):
        assert wait.answer is not None
        limits.update(kernel.decode(wait.answer))
    return limits

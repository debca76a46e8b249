"""Removing old executions with all that was stored for them, so that a store does not grow without bound.

Safe to interrupt anywhere, and to run beside flows: an execution disappears from the journal in one transaction (its
idempotency key is free from then on); what it leaves behind is named in the journal until it is gone, and the next run
goes on with it. Large values are removed only when nothing refers to them any more and nobody has stored them lately.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from kitaru.errors import KitaruError, KitaruNotFoundError, KitaruUsageError
from kitaru.journal.records import EndedQuery
from kitaru.stack.logs import Route, route_of
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.stack.built import BuiltStack, Stacks
    from kitaru.stack.logs import LogRouter

#: A value is stored before what refers to it is committed. Long enough for any commit, short enough to be no burden.
GRACE_SECONDS = 3600.0
_EXECUTIONS_A_BATCH = 100
_ENTRIES_A_BATCH = 2000
_KEYS_A_BATCH = 500
_BLOBS = "sha256/"
# Nothing else is ever removed: a store may lie inside another one, or hold what is not Kitaru's.
_VALUE = re.compile(r"sha256/[0-9a-f]{64}")
_ENDED = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED)


@dataclass(slots=True)
class Cleaning:
    """What a run of ``clean`` did, or with ``dry_run`` would do. ``kept`` ones fit, but others need them.

    ``artifacts`` counts large values removed; None: they were left, and ``note`` says why (or it was a dry run).
    """

    removed: list[str]
    kept: list[str]
    artifacts: int | None
    dry_run: bool = False
    note: str | None = None


def query(
    older_than: timedelta | None, statuses: tuple[ExecutionStatus, ...], flow: str | None, keep_last: int, now: int
) -> EndedQuery:
    """What to look for. Raises KitaruUsageError for a status that ends nothing or a negative ``keep_last``."""
    for status in statuses:
        if status not in _ENDED:
            allowed = ", ".join(one.value for one in _ENDED)
            raise KitaruUsageError(f"status={status.value!r}: only ended executions are removed: {allowed}.")
    if isinstance(keep_last, bool) or not isinstance(keep_last, int) or keep_last < 0:
        raise KitaruUsageError(f"keep_last={keep_last!r}: must be a whole number, 0 or more.")
    before = None if older_than is None else now - older_than // timedelta(microseconds=1)
    return EndedQuery(before, tuple(status.value for status in statuses), flow, keep_last)


def clean(kernel: Kernel, wanted: EndedQuery, stacks: Stacks, logs: LogRouter) -> Cleaning:
    """See ``KitaruClient.clean``."""
    journal = kernel.journal
    leavings = _Leavings(kernel, stacks, logs)
    leavings.remove()
    candidates = list(journal.ended(wanted))
    removed: list[str] = []
    # Children go once their parents are gone, originals once their replays are: as often as that frees others.
    while True:
        before = len(removed)
        gone: set[str] = set()
        todo = iter(candidates)
        while batch := list(islice(todo, _EXECUTIONS_A_BATCH)):
            leavings.note(batch)
            gone.update(journal.discard(batch))
            leavings.remove()
        removed += [one for one in candidates if one in gone]
        candidates = [one for one in candidates if one not in gone]
        if len(removed) == before or not candidates:
            break
    swept = [_sweep(kernel, stack) for stack in stacks.all()]
    counts = [one for one in swept if isinstance(one, int)]
    notes = [*leavings.notes, *(one for one in swept if isinstance(one, str))]
    return Cleaning(removed, candidates, sum(counts) if counts else None, note="; ".join(notes) or None)


class _Leavings:
    """What removed executions have left behind: entries in the journal, lines in log stores.

    A log store that does not answer is asked only once in a run; what it keeps is found by the next one.
    """

    def __init__(self, kernel: Kernel, stacks: Stacks, logs: LogRouter) -> None:
        self._kernel = kernel
        self._stacks = stacks
        self._logs = logs
        self._routes: dict[str, Route] = {}
        self._failing: set[Route] = set()
        self.notes: list[str] = []

    def note(self, exec_ids: Sequence[str]) -> None:
        """Remember where the lines of executions are that are about to be removed: afterwards nobody can tell."""
        for exec_id in exec_ids:
            try:
                self._routes[exec_id] = route_of(self._kernel.journal.get(exec_id).spec)
            except KitaruNotFoundError:
                continue

    def remove(self) -> None:
        """Delete entries in small transactions, then logs."""
        journal = self._kernel.journal
        for exec_id in journal.discarded():
            while not journal.purge(exec_id, _ENTRIES_A_BATCH):
                pass
            # An import may have brought it back, logs and all.
            if _exists(self._kernel, exec_id) or self._remove_lines(exec_id):
                journal.forget_discarded(exec_id)

    def _remove_lines(self, exec_id: str) -> bool:
        known = self._routes.get(exec_id)
        # Of one that an interrupted run has left nobody knows where its lines were: no lines there is fine, too.
        routes = [known] if known is not None else [Route(stack.id) for stack in self._stacks.all()]
        done = True
        for route in routes:
            if route in self._failing:
                done = False
                continue
            try:
                self._logs.store(route).delete(exec_id)
            except KitaruError as error:
                if route.stack is None and route.backend is None:
                    raise  # the local store: nothing that passes by itself
                done = False
                self._failing.add(route)
                self.notes.append(f"logs were left: {error}")
        return done


def _exists(kernel: Kernel, exec_id: str) -> bool:
    try:
        kernel.journal.get(exec_id)
    except KitaruNotFoundError:
        return False
    return True


def _sweep(kernel: Kernel, stack: BuiltStack) -> int | str | None:
    """Remove large values that nothing refers to from a stack's artifact store.

    How many; or why they were left; or None, when this journal has stored nothing there.
    """
    where = "" if stack.id is None else f" of {stack}"
    try:
        return _sweep_store(kernel, stack, where)
    except KitaruError as error:
        if stack.id is None:
            raise
        return f"large values{where} were left: {error}"


def _sweep_store(kernel: Kernel, stack: BuiltStack, where: str) -> int | str | None:
    from kitaru.stack.components import SweepableStore
    from kitaru.stack.journals import users_of

    store = stack.artifact_store
    users = users_of(store, kernel.journal.url)
    if stack.id is not None and not users.stacks:
        return None
    if not isinstance(store, SweepableStore):
        return f"large values{where} were left: this artifact store cannot tell how old they are"
    if users.others:
        more = len(users.others)
        return (
            f"large values{where} were left: {more} other journal{'s' if more > 1 else ''} may refer to them "
            f"({', '.join(sorted(users.others)[:3])})"
        )
    # Several stacks may have one store: a value stays as long as it is referred to as one of any of them.
    prefixes = ["" if one is None else f"{one}:" for one in users.stacks | {stack.id}]
    count = 0
    for keys in _batches(key for key in store.list(_BLOBS) if _VALUE.fullmatch(key)):
        referenced = kernel.journal.referenced([prefix + key for prefix in prefixes for key in keys])
        for key in keys:
            if not any(prefix + key in referenced for prefix in prefixes) and store.delete_stale(key, GRACE_SECONDS):
                count += 1
    return count


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, _KEYS_A_BATCH)):
        yield batch

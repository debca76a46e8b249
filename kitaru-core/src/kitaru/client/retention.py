"""Removing old executions with all that was stored for them, so that a store does not grow without bound.

Safe to interrupt anywhere, and to run beside flows: an execution disappears from the journal in one transaction (its
idempotency key is free from then on); what it leaves behind is named in the journal until it is gone, and the next run
goes on with it. Large values are removed only when nothing refers to them any more and nobody has stored them lately.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

from kitaru.errors import KitaruUsageError
from kitaru.journal.records import EndedQuery
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.stack.components import ArtifactStore, LogStore

#: A value is stored before what refers to it is committed. Long enough for any commit, short enough to be no burden.
GRACE_SECONDS = 3600.0
_EXECUTIONS_A_BATCH = 100
_ENTRIES_A_BATCH = 2000
_KEYS_A_BATCH = 500
_BLOBS = "sha256/"
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


def clean(
    kernel: Kernel, wanted: EndedQuery, artifact_store: Callable[[], ArtifactStore], log_store: Callable[[], LogStore]
) -> Cleaning:
    """See ``KitaruClient.clean``."""
    journal = kernel.journal
    _finish_earlier(kernel, log_store)
    candidates = list(journal.ended(wanted))
    removed: list[str] = []
    # Children go once their parents are gone, originals once their replays are: as often as that frees others.
    while True:
        before = len(removed)
        gone: set[str] = set()
        todo = iter(candidates)
        while batch := list(islice(todo, _EXECUTIONS_A_BATCH)):
            gone.update(journal.discard(batch))
            _finish_earlier(kernel, log_store)
        removed += [one for one in candidates if one in gone]
        candidates = [one for one in candidates if one not in gone]
        if len(removed) == before or not candidates:
            break
    artifacts, note = _sweep(kernel, artifact_store())
    return Cleaning(removed, candidates, artifacts, note=note)


def _finish_earlier(kernel: Kernel, log_store: Callable[[], LogStore]) -> None:
    """Delete what removed executions have left behind: entries in small transactions, then logs."""
    journal = kernel.journal
    for exec_id in journal.discarded():
        while not journal.purge(exec_id, _ENTRIES_A_BATCH):
            pass
        if not _exists(kernel, exec_id):  # an import may have brought it back, logs and all
            log_store().delete(exec_id)
        journal.forget_discarded(exec_id)


def _exists(kernel: Kernel, exec_id: str) -> bool:
    from kitaru.errors import KitaruNotFoundError

    try:
        kernel.journal.get(exec_id)
    except KitaruNotFoundError:
        return False
    return True


def _sweep(kernel: Kernel, store: ArtifactStore) -> tuple[int | None, str | None]:
    from kitaru.stack.components import SweepableStore
    from kitaru.stack.journals import other_journals

    if not isinstance(store, SweepableStore):
        return None, "large values were left: this artifact store cannot tell how old they are"
    others = list(other_journals(store, kernel.journal.url))
    if others:
        return None, (
            f"large values were left: {len(others)} other journal{'s' if len(others) > 1 else ''} may refer to them "
            f"({', '.join(sorted(others)[:3])})"
        )
    count = 0
    for keys in _batches(store.list(_BLOBS)):
        referenced = kernel.journal.referenced(keys)
        for key in keys:
            if key not in referenced and store.delete_stale(key, GRACE_SECONDS):
                count += 1
    return count, None


def _batches(keys: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(keys, _KEYS_A_BATCH)):
        yield batch

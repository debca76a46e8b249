"""Values that stay the same when a flow's code runs again: the time, ids and random numbers. And: where am I."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from kitaru.journal.records import Entry, EntryKind
from kitaru.runtime import identity, suspension
from kitaru.runtime.context import CurrentCall, current, require_frame

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["CurrentCall", "current", "now", "random", "uuid4"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now() -> datetime:
    """The current time (UTC), journaled: code that runs again gets the recorded time.

    The record is committed, at the latest, before the next checkpoint's body starts.

    Raises:
        KitaruContextError: outside a flow.
    """
    frame = require_frame("kitaru.now()")
    run = frame.run
    if run.isolated:  # an isolated body runs again as a whole: it has no journal of its own
        return datetime.now(UTC)
    run.check(frame)
    key = suspension.next_key(frame, "now")
    recorded = run.history.values.pop(key, None) if run.history is not None else None
    if recorded is None:
        recorded = Entry(EntryKind.VALUE, key, "now", 1, run.clock.now(), 0, output=None)
        recorded.ended_at = recorded.started_at
        run.buffer(recorded)
    return _EPOCH + timedelta(microseconds=recorded.started_at)


def uuid4() -> UUID:
    """A UUID drawn from the execution's seed and this place in it: the same whenever the code runs again, no write.

    Raises:
        KitaruContextError: outside a flow.
    """
    frame = require_frame("kitaru.uuid4()")
    return identity.drawn_uuid(frame.run.seed, frame.prefix, frame.draw())


def random() -> float:
    """A float in [0, 1), drawn like :func:`uuid4`.

    Raises:
        KitaruContextError: outside a flow.
    """
    frame = require_frame("kitaru.random()")
    return identity.drawn_float(frame.run.seed, frame.prefix, frame.draw())

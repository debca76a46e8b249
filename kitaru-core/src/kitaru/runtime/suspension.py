"""Letting go of an execution that only waits: durable timers, and the moment when every branch is blocked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kitaru.journal.records import Entry, EntryKind, WaitRecord
from kitaru.runtime import identity
from kitaru.runtime.context import Frame
from kitaru.runtime.control import ExecutionSuspended

if TYPE_CHECKING:
    import asyncio

    from kitaru.runtime.run import Run

#: How long an owner stays with an execution that only waits, in seconds (spec/sdk.md section 8).
HOLD_SECONDS = 600.0


@dataclass(slots=True, eq=False)
class Hold:
    """One open wait or timer, or a child that is waited for. ``until`` is when the owner may leave, on the kernel's
    elapsed clock: for a child that is driven in this process never, for one that was let go of at once."""

    what: str
    due: int | None  # µs since the epoch; None: only an answer ends it
    until: float
    event: threading.Event = field(default_factory=threading.Event)
    wait: WaitRecord | None = None  # None: a timer
    woken: Callable[[], None] | None = None  # besides the event: wakes async code
    child: str | None = None  # id of a child that was let go of; the event: it is not suspended any more
    wake_at: int | None = None  # when that child is due
    child_run: Run | None = None  # of a child that is driven in this process

    def over(self, now: int) -> bool:
        """Whether it has ended, or is about to: nobody may let go of the execution because of it any more."""
        due = self.due if self.child is None else self.wake_at
        return self.event.is_set() or (due is not None and due <= now)


def timer(frame: Frame, seconds: float) -> tuple[Hold | None, str]:
    """Begin (or find again) the timer that ``kitaru.sleep(seconds)`` stands for; None when it is already due.

    A new timer is committed before anybody sleeps, so that it ends at the same time after any crash.
    """
    run = frame.run
    run.check(frame)
    key = next_key(frame, "sleep")
    recorded = run.history.values.pop(key, None) if run.history is not None else None
    now = run.clock.now()
    if recorded is None:
        recorded = Entry(EntryKind.TIMER, key, "sleep", 1, now, now + round(seconds * 1e6))
        run.commit(recorded)
    if recorded.ended_at <= now:
        return None, key
    until = run.clock.elapsed() + run.kernel.hold_seconds
    return Hold(f"a timer (kitaru.sleep) due in {(recorded.ended_at - now) / 1e6:.0f} s", recorded.ended_at, until), key


def next_key(frame: Frame, name: str) -> str:
    """The key of the next journaled value ``name`` in this frame; ``!`` keeps it apart from checkpoints."""
    if frame.counters is None:
        frame.counters = {}
    number = frame.counters[f"!{name}"] = frame.counters.get(f"!{name}", 0) + 1
    return f"{frame.prefix}!{identity.escape(name)}#{number}"


def sleep_through(run: Run, hold: Hold) -> None:
    """Block the calling body until ``hold`` is due, or until the execution stops (suspension included)."""
    open_hold(run, hold)
    try:
        while hold.due is not None and (left := (hold.due - run.clock.now()) / 1e6) > 0:
            run.wait_event(hold.event, min(left, threading.TIMEOUT_MAX))
    finally:
        close_hold(run, hold)


def open_hold(run: Run, hold: Hold) -> None:
    """Register an open wait; the ticker looks at it from now on."""
    with run.lock:
        run.holds.append(hold)


def close_hold(run: Run, hold: Hold) -> None:
    with run.lock:
        run.holds.remove(hold)


def consider(run: Run) -> None:
    """Suspend the execution if its owner has stayed long enough and nothing but holds is left in it. For the ticker.

    As soon as nothing but holds is left, owners that were lost before do not count any more: losing one over and over
    while it waits (a deploy a day) says nothing against the execution.
    """
    with run.lock:
        holds = list(run.holds)
        frames = list(run.inflight.values())
    run.only_waits = False
    now = run.clock.elapsed()
    stays = any(now < hold.until for hold in holds)
    if not holds or (run.submitted is not None and run.submitted.queued):
        return
    if stays and not run.record.owners_lost and run.record.parent_exec_id is None:
        return  # nobody asks
    wall = run.clock.now()
    if any(hold.over(wall) for hold in holds):
        return
    parents = {id(frame.parent.root) for frame in frames if frame.parent is not None}
    bodies = [*frames, *([] if run.frame.is_async else [run.frame])]
    if not all(frame.waiting or id(frame) in parents for frame in bodies):
        return
    run.only_waits = all(hold.child_run is None or hold.child_run.only_waits for hold in holds)
    if run.record.owners_lost and run.only_waits:
        run.forgive_losses()
    if not stays:
        dues = [due for hold in holds for due in (hold.due, hold.wake_at) if due is not None]
        what = "; ".join(hold.what for hold in holds)
        waits = tuple(hold.wait.wait_id for hold in holds if hold.wait is not None)
        children = tuple(hold.child for hold in holds if hold.child is not None)
        run.stop(ExecutionSuspended(what, min(dues, default=None), waits, children))


def look_for_children(run: Run) -> None:
    """Wake what waits in ``run`` for children that were let go of and are suspended no more, or due. For the ticker."""
    with run.lock:
        holds = [hold for hold in run.holds if hold.child is not None and not hold.event.is_set()]
    for hold in holds:
        record = run.journal.get(hold.child or "")
        if record.status != "waiting" or (record.wake_at is not None and record.wake_at <= run.clock.now()):
            hold.event.set()
            if hold.woken is not None:
                hold.woken()


def call_on(loop: asyncio.AbstractEventLoop, callback: Callable[[], object]) -> None:
    """Have a loop call something; one that is closed has nobody left that waits."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        return

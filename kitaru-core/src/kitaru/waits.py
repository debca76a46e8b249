"""Waiting inside a flow: durable timers."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.runtime import suspension
from kitaru.runtime.context import require_frame

if TYPE_CHECKING:
    from kitaru.runtime.run import Run
    from kitaru.runtime.suspension import Hold


def sleep(seconds: float) -> Awaitable[None] | None:
    """Sleep durably: the timer is journaled, and ends at the same time after any crash or restart.

    Blocks in ``def`` code; in ``async def`` code it must be awaited. The owner stays for 600 s; a longer sleep then
    lets go of the execution (status ``waiting``), and ``kitaru recover`` continues it when the timer is due.

    Raises:
        KitaruContextError: outside a flow.
        KitaruUsageError: ``seconds`` is negative or not a finite number.
    """
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise KitaruUsageError(f"kitaru.sleep() takes a finite number of seconds, 0 or more; got {seconds!r}.")
    frame = require_frame("kitaru.sleep()")
    run = frame.run
    hold, _ = suspension.timer(frame, seconds)
    if frame.root.is_async:
        return _sleep_async(run, hold)
    if run.on_loop():
        raise KitaruStateError(
            f"kitaru.sleep() in `{frame.name}` would block the event loop it runs on: make the function `async def` "
            "and await it, or start it with .submit()."
        )
    if hold is not None:
        suspension.sleep_through(run, hold)
    return None


async def _sleep_async(run: Run, hold: Hold | None) -> None:
    import asyncio

    if hold is None:
        await asyncio.sleep(0)
        return
    suspension.open_hold(run, hold)
    try:
        async with run.gate_released():
            while hold.due is not None and (left := (hold.due - run.clock.now()) / 1e6) > 0:
                await asyncio.sleep(min(left, 3600.0))
    finally:
        suspension.close_hold(run, hold)
    run.check()

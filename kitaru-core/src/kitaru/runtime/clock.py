"""Time, injected so that tests can bend it. Wall time orders nothing: it is for people and for due dates."""

from __future__ import annotations

import time

# Counts time spent suspended, which monotonic clocks may not: a lease held through a laptop's sleep has expired.
_SUSPEND_AWARE = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", None))


class Clock:
    """The machine's clocks."""

    def now(self) -> int:
        """Wall time, microseconds since the epoch, UTC."""
        return time.time_ns() // 1000

    def pause(self, seconds: float) -> float:
        """How many seconds of real time a pause of ``seconds`` between two attempts takes from now on."""
        return seconds

    def elapsed(self) -> float:
        """Seconds on a clock that never jumps and, where the system has one, counts suspended time."""
        return time.monotonic() if _SUSPEND_AWARE is None else time.clock_gettime(_SUSPEND_AWARE)

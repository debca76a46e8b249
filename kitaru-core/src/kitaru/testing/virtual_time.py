"""A clock that a test moves."""

from __future__ import annotations

import threading

from kitaru.runtime.clock import Clock

# How much faster than life an owner loses patience with an execution that only waits: the 600 seconds that it stays by
# default are over within a millisecond, so a test meets what users meet in the end: an execution that was let go of.
_IMPATIENCE = 1_000_000.0


class VirtualClock(Clock):
    """The real time, plus what :meth:`move_to` has added: it goes on by itself, and never back. Thread-safe."""

    def __init__(self) -> None:
        self._ahead = 0
        self._lock = threading.Lock()

    def now(self) -> int:
        return super().now() + self._ahead

    def elapsed(self) -> float:
        return super().elapsed() * _IMPATIENCE

    def pause(self, seconds: float) -> float:
        """A back-off passes at once: it moves the time. Pauses that begin at the same time end at the same time."""
        self.move_to(self.now() + round(seconds * 1e6))
        return 0.0

    def move_to(self, microseconds: int) -> None:
        """Make it ``microseconds`` since the epoch now, unless it is later already."""
        with self._lock:
            self._ahead = max(self._ahead, microseconds - super().now())

"""Threads that drive flow bodies, kept for a moment so that short flows do not pay for a new one each."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable

# How long a thread that has nothing to drive stays. Not daemons: a normal end of the interpreter waits for its flows,
# and for this long at most beyond them.
_PARKED_SECONDS = 0.02


class Drivers:
    """Runs each piece of work on a thread and in a context of its own. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._parked: list[_Driver] = []

    def start(self, work: Callable[[], None], name: str) -> None:
        """Run ``work``, which must not raise, at once: on a parked thread, or on a new one."""
        with self._lock:
            driver = self._parked.pop() if self._parked else None
        if driver is None:
            _Driver(self, work, name).start()
        else:
            driver.name = name
            driver.work = work
            driver.wake.release()

    def join(self) -> None:
        """Wait until all threads have ended: those that drive something, and those that are parked."""
        while ours := [one for one in threading.enumerate() if isinstance(one, _Driver) and one.drivers is self]:
            for thread in ours:
                thread.join()

    def park(self, driver: _Driver) -> bool:
        """For drivers: wait for more work; False when none came and the thread shall end."""
        with self._lock:
            self._parked.append(driver)
        if driver.wake.acquire(timeout=_PARKED_SECONDS):
            return True
        with self._lock:
            if driver in self._parked:
                self._parked.remove(driver)
                return False
        driver.wake.acquire()  # it was taken in the very moment it gave up
        return True


class _Driver(threading.Thread):
    def __init__(self, drivers: Drivers, work: Callable[[], None], name: str) -> None:
        super().__init__(name=name, daemon=False)  # whatever the thread that starts it is
        self.drivers = drivers
        self.work: Callable[[], None] | None = work
        self.wake = threading.Lock()
        self.wake.acquire()

    def run(self) -> None:
        while True:
            work, self.work = self.work, None
            assert work is not None
            contextvars.Context().run(work)
            del work  # a parked thread keeps nothing of the flow it drove alive
            if not self.drivers.park(self):
                return

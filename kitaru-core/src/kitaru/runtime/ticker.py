"""The kernel's one background thread: start records, lease renewal, cancellation from elsewhere, suspension."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from kitaru.errors import KitaruJournalError
from kitaru.runtime import suspension, waiting
from kitaru.runtime.control import ExecutionCancelled, ExecutionInterrupted, ExecutionStopped

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

#: A call that runs longer than this gets a start record, so that live views show it.
START_AFTER_MICROSECONDS = 5_000
_TICK_SECONDS = 0.005
_IDLE_TICK_SECONDS = 0.02
# The thread stays awake for a second after the last run: waking it costs the next start more than these ticks.
_LINGER_TICKS = 50

_log = logging.getLogger("kitaru.runtime")


class Ticker:
    """Runs while the kernel drives executions; its thread ends soon after the last one."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._version = -1
        self._heard = 0
        self._next_renewal = 0.0
        self._next_poll = 0.0

    def start(self) -> None:
        """Make sure the thread runs (called when a run is registered)."""
        self._wake.set()
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._next_renewal = self._kernel.clock.elapsed() + self._kernel.lease_seconds / 3
                    self._thread = threading.Thread(target=self._serve, name="kitaru-ticker", daemon=True)
                    self._thread.start()

    def _serve(self) -> None:
        idle_ticks = 0
        while True:
            runs = list(self._kernel.runs.values())
            if not runs:
                idle_ticks += 1
                if idle_ticks < _LINGER_TICKS:
                    time.sleep(_IDLE_TICK_SECONDS)
                    continue
                self._wake.clear()
                if not self._kernel.runs:
                    self._wake.wait()
            idle_ticks = 0
            busy = False
            try:
                for run in runs:
                    busy = self._tend(run) or busy
                now = self._kernel.clock.elapsed()
                heard = self._kernel.journal.heard()
                if now >= self._next_poll or heard != self._heard:
                    self._heard = heard
                    # Somebody may be about to read an answer aloud: an open wait is looked at with every tick.
                    asked = any(hold.wait is not None or hold.child for run in runs for hold in run.holds)
                    pause = max(0.0 if asked else _IDLE_TICK_SECONDS, self._kernel.journal.polling_seconds)
                    self._next_poll = now + pause
                    self._poll(runs)
                if now >= self._next_renewal:
                    self._next_renewal = now + self._kernel.lease_seconds / 3
                    self._renew(runs)
            except KitaruJournalError as error:
                self._in_trouble(runs, error)
            # Plain sleep, not the event: a tick is short, and an event would be paid for by every checkpoint.
            time.sleep(_TICK_SECONDS if busy else _IDLE_TICK_SECONDS)

    def _tend(self, run: Run) -> bool:
        if not run.inflight and not run.holds and not run.notes:
            return False
        if run.stopping is None:
            try:
                run.flush(START_AFTER_MICROSECONDS, patient=False)
            except ExecutionStopped:
                return False
            if run.holds:
                suspension.consider(run)
        return True

    def _poll(self, runs: list[Run]) -> None:
        version = self._kernel.journal.version()
        if version == self._version:
            return
        self._version = version
        for run in runs:
            if any(hold.wait is not None for hold in run.holds):
                waiting.look_for_answers(run)
            if any(hold.child is not None for hold in run.holds):
                suspension.look_for_children(run)
        asked = self._kernel.journal.poll_cancelled([run.lease for run in runs])
        for run in runs:
            if run.exec_id in asked:
                run.stop(ExecutionCancelled(f"execution {run.exec_id} was cancelled"))

    def _renew(self, runs: list[Run]) -> None:
        asked_at = self._kernel.clock.elapsed()
        lost = self._kernel.journal.renew([run.lease for run in runs], self._kernel.lease_seconds)
        for run in runs:
            run.renewed(lost, asked_at)

    def _in_trouble(self, runs: list[Run], error: KitaruJournalError) -> None:
        # The next tick tries again; what ends an execution is its lease running out, not one failed write.
        _log.warning("the journal does not answer, trying again: %s", error)
        for run in runs:
            if run.clock.elapsed() > run.lease_deadline:
                run.stop(ExecutionInterrupted(f"the journal could not be written until the lease ended: {error}"))

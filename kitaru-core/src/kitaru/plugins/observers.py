"""Tells observer hooks of committed events, on a thread of its own."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

from kitaru.journal.protocol import Journal
from kitaru.journal.records import OUTCOME_KINDS, Entry, WaitRecord
from kitaru.plugins.manager import PluginManager
from kitaru.statuses import ExecutionStatus

_log = logging.getLogger("kitaru.plugins")


class ObserverSink:
    """The kernel's ``EventSink``: events go into a queue, and a daemon thread makes models of them and calls hooks.

    What nobody observes is not even queued. Whatever goes wrong is logged and ends there.
    """

    def __init__(self, manager: PluginManager, journal: Journal) -> None:
        self._manager = manager
        self._journal = journal
        self._observed = manager.observer_hooks()
        self._calls = "kitaru_checkpoint_finished" in self._observed
        self._queue: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Entries of calls that have not ended, by execution and key: only the worker thread touches them.
        self._attempts: dict[str, dict[str, list[Entry]]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._served = 0
        self._stuck_at: int | None = None

    def execution_started(self, exec_id: str) -> None:
        if "kitaru_execution_started" in self._observed:
            self._put(lambda: self._tell_started(exec_id))

    def execution_finished(self, exec_id: str) -> None:
        self._put(lambda: self._tell_finished(exec_id))

    def checkpoint_finished(self, exec_id: str, entry: Entry) -> None:
        if self._calls:
            self._put(lambda: self._tell_call(exec_id, entry))

    def wait_opened(self, wait: WaitRecord) -> None:
        self._tell_wait("kitaru_wait_opened", wait)

    def wait_answered(self, wait: WaitRecord) -> None:
        self._tell_wait("kitaru_wait_answered", wait)

    def drain(self, seconds: float) -> None:
        """Wait until everything so far has been told, for at most ``seconds``; not at all for a hook that hangs."""
        if self._thread is None or threading.current_thread() is self._thread:
            return
        if self._stuck_at == self._served:
            return
        told = threading.Event()
        self._queue.put(told.set)
        if not told.wait(seconds):
            self._stuck_at = self._served
            _log.warning("observers of plugins are more than %.0f s behind; not waiting for them", seconds)

    # -- the worker ---------------------------------------------------------------------------------------------

    def _put(self, event: Callable[[], None]) -> None:
        self._queue.put(event)
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="kitaru-observers", daemon=True)
                    self._thread.start()

    def _serve(self) -> None:
        while True:
            event = self._queue.get()
            try:
                event()
            except Exception:
                _log.exception("an event could not be passed on to observers")
            self._served += 1

    def _tell_started(self, exec_id: str) -> None:
        from kitaru.snapshots import execution

        record = self._journal.get(exec_id)
        self._call("kitaru_execution_started", execution=execution(record, None, ExecutionStatus.RUNNING))

    def _tell_finished(self, exec_id: str) -> None:
        self._attempts.pop(exec_id, None)
        if "kitaru_execution_finished" not in self._observed:
            return
        from kitaru.snapshots import execution

        record = self._journal.get(exec_id)
        status = ExecutionStatus(record.status)
        # This process let go of it, but it has not ended: it waits, or was interrupted or taken over.
        if not status.finished:
            return
        entries = self._journal.entries(exec_id)
        self._call("kitaru_execution_finished", execution=execution(record, entries, status))

    def _tell_call(self, exec_id: str, entry: Entry) -> None:
        calls = self._attempts.setdefault(exec_id, {})
        if entry.kind not in OUTCOME_KINDS:
            calls.setdefault(entry.key, []).append(entry)
            return
        from kitaru.snapshots import call

        earlier = calls.pop(entry.key, [])
        if len(earlier) < entry.attempt - 1:
            # An earlier owner made the first attempts: they are in the journal only.
            recorded = self._journal.entries(exec_id, prefix=entry.key)
            earlier = [one for one in recorded if one.key == entry.key and one.seq < entry.seq]
        self._call("kitaru_checkpoint_finished", call=call(exec_id, [*earlier, entry]))

    def _tell_wait(self, hook: str, wait: WaitRecord) -> None:
        if hook not in self._observed:
            return

        def tell() -> None:
            from kitaru.snapshots import pending_wait

            self._call(hook, wait=pending_wait(wait))

        self._put(tell)

    def _call(self, hook: str, **values: Any) -> None:
        for plugin, function, names in self._manager.observers(hook):
            try:
                function(*(values[name] for name in names))
            except (Exception, SystemExit):
                _log.exception("plugin `%s` failed in %s", plugin, hook)

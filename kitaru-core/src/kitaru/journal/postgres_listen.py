"""Hearing that other processes have written: PostgreSQL's LISTEN, on a connection and a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import psycopg

from kitaru.errors import KitaruJournalError
from kitaru.journal.postgres_open import Connection

CHANNEL = "kitaru"
_PAUSE_SECONDS, _PAUSE_MAX_SECONDS = 0.5, 10.0
#: How long a thread stays in the library before it looks whether it is still wanted.
_LOOK_SECONDS = 1.0


class Listener:
    """Counts what was heard. Made when somebody first asks; a broken connection is made again, and counts as news."""

    def __init__(self, connect: Callable[[], Connection], own: Callable[[], int]) -> None:
        """``own``: the server's process that writes for this one, whose news are none."""
        self._connect = connect
        self._own = own
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._heard = 1

    def heard(self) -> int:
        """A number that changes soon after another process has written. Costs nothing."""
        if self._thread is None and not self._closed.is_set():
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="kitaru-listen", daemon=True)
                    self._thread.start()
        return self._heard

    def close(self) -> None:
        """Hear nothing more."""
        self._closed.set()

    def _serve(self) -> None:
        pause = _PAUSE_SECONDS
        while not self._closed.is_set():
            try:
                with self._connect() as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._heard += 1  # something may have been written before
                    pause = _PAUSE_SECONDS
                    self._listen(connection)
            except (psycopg.Error, KitaruJournalError):
                self._closed.wait(pause)  # who waits looks now and then without being told
                pause = min(pause * 2, _PAUSE_MAX_SECONDS)

    def _listen(self, connection: Connection) -> None:
        while not self._closed.is_set():
            for news in connection.notifies(timeout=_LOOK_SECONDS):
                self._heard += news.pid != self._own()
                if self._closed.is_set():
                    return

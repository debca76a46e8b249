"""Locks of this process, for state that a module keeps."""

from __future__ import annotations

import os
import threading


class ProcessLock:
    """A lock for ``with`` that is free in a forked child.

    A plain one that another thread of the parent held at the moment of the fork would never be released there: that
    thread does not exist in the child. What the lock guards must be sound at every moment, then (one assignment).
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        os.register_at_fork(after_in_child=self._renew)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _renew(self) -> None:
        self._lock = threading.Lock()

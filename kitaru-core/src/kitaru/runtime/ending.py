"""The end of the interpreter, while threads and pools still work.

When a program's main thread ends, Python first stops every thread pool, then waits for threads that are not daemons,
and calls ``atexit`` functions last. A checkpoint may use a pool, and so may a client of a remote store that resolves a
name: by then it is too late.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from typing import Any, Protocol

from kitaru.process_locks import ProcessLock


class Finishing(Protocol):
    """Something that has to be brought to an end while everything still works."""

    def finish(self) -> None:
        """Wait for what is still running, and bring what it left where it belongs. Bounded beyond the former."""


_finishing: weakref.WeakSet[Any] = weakref.WeakSet()
_registered = False
_begun = threading.Event()
_lock = ProcessLock()


def finish_early(one: Finishing) -> None:
    """Have ``one.finish()`` called on the main thread, before pools are stopped, as long as somebody refers to it.

    Too late for that (the main thread has ended): it is called with the ``atexit`` functions.
    """
    global _registered
    with _lock:
        _finishing.add(one)
        if _registered:
            return
        _registered = True
        try:
            # Its own hook stops the pools. It must be there before ours: the one that came last is called first.
            import concurrent.futures.thread  # noqa: F401

            threading._register_atexit(_finish_all)  # type: ignore[attr-defined]
        except (AttributeError, RuntimeError):
            atexit.register(_finish_all)


def begun() -> bool:
    """Whether the program's main thread has ended, or is only waiting for what is running."""
    return _begun.is_set() or not threading.main_thread().is_alive()


def _finish_all() -> None:
    _begun.set()
    for one in list(_finishing):
        one.finish()

"""Saying that a command still works, where somebody looks: after a second, on stderr, gone when it is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from kitaru.cli.output import clean, duration, is_terminal

_QUIET_SECONDS = 1.0
_TURN_SECONDS = 0.2
_SIGNS = "|/-\\"
_ERASE = "\r\x1b[K"


@contextmanager
def working(text: str) -> Iterator[None]:
    """Show ``text`` and how long it has taken while the block runs for more than a second."""
    if not is_terminal(sys.stderr):
        yield
        return
    done = threading.Event()
    thread = threading.Thread(target=_show, args=(clean(text), done), name="kitaru-working", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _show(text: str, done: threading.Event) -> None:
    begun = time.monotonic()
    if done.wait(_QUIET_SECONDS):
        return
    turn = 0
    while not done.wait(_TURN_SECONDS):
        turn += 1
        sys.stderr.write(f"{_ERASE}{_SIGNS[turn % 4]} {text} ({duration(time.monotonic() - begun)})")
        sys.stderr.flush()
    sys.stderr.write(_ERASE)
    sys.stderr.flush()

"""The flows that the orchestrator suite starts. A module of its own: another process must be able to import it."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from kitaru.checkpoints import checkpoint
from kitaru.flows import flow

#: Closed by tests that want to see an execution while it runs in this process. Open everywhere else.
gate = threading.Event()
gate.set()
_STAY_SECONDS = 120.0


@checkpoint
def double(number: int) -> int:
    """Twice the number, once the gate is open."""
    gate.wait()
    return 2 * number


@flow
def sample(number: int) -> int:
    """Two calls, one after the other."""
    result: int = double(double(number))
    return result


def stay_until_released(folder: str) -> int:
    """Say by a file that this runs, and with which process id; return when another one says so, or after 2 minutes."""
    partial = Path(folder, "running.partial")
    partial.write_text(str(os.getpid()))
    partial.rename(Path(folder, "running"))
    deadline = time.monotonic() + _STAY_SECONDS
    while not Path(folder, "released").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return os.getpid()


@checkpoint
def stay(folder: str) -> int:
    """See :func:`stay_until_released`."""
    return stay_until_released(folder)


@flow
def staying(folder: str) -> int:
    """A call that takes as long as the test wants, and another one."""
    stay(folder)
    result: int = double(1)
    return result


@checkpoint(runtime="isolated")
def isolated(what: str, data: bytes, folder: str) -> tuple[int, bytes]:
    """One call in a process of its own, which does what the test wants."""
    if what == "print":
        print("said in the process")  # noqa: T201
        print("complained in the process", file=sys.stderr)  # noqa: T201
    elif what == "raise":
        raise LookupError("from the process")
    elif what == "exit":
        os._exit(7)
    elif what == "kill":
        os.kill(os.getpid(), 9)
    elif what == "stay":
        stay_until_released(folder)
    return os.getpid(), data[::-1]


@flow
def isolating(what: str, data: bytes, folder: str) -> tuple[int, bytes]:
    """One isolated call."""
    result: tuple[int, bytes] = isolated(what, data, folder)
    return result

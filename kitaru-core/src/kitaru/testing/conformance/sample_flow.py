"""The flow that the orchestrator suite starts. A module of its own: another process must be able to import it."""

from __future__ import annotations

import threading

from kitaru.checkpoints import checkpoint
from kitaru.flows import flow

#: Closed by tests that want to see an execution while it runs in this process. Open everywhere else.
gate = threading.Event()
gate.set()


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

"""What the flows of a test module and its tests tell each other. The fixture ``fresh_world`` empties it."""

from __future__ import annotations

from typing import Any

from kitaru import FlowHandle
from kitaru.runtime.kernel import Kernel

#: What ran, in order: bodies append to it.
ran: list[Any] = []
#: Settings by which tests steer bodies; ``"kernel"`` is the test's kernel.
world: dict[str, Any] = {}


def resume(handle: FlowHandle) -> FlowHandle:
    """Continue an execution in this process; a handle to wait for."""
    kernel: Kernel = world["kernel"]
    return FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id))

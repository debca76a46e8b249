"""The one place where the benchmarks open a kernel, start and resume: default settings, on a store of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.crash import kernels

from kitaru.flows import FlowDefinition
from kitaru.handles import FlowHandle
from kitaru.runtime.capture import Capture
from kitaru.runtime.kernel import Kernel


def open_kernel(directory: Path, durability: str) -> Kernel:
    kernel = kernels.open_kernel(directory, durability=durability)  # type: ignore[arg-type]
    kernel.capture = Capture(lambda exec_id, records: None, kernel.clock)
    return kernel


def run(kernel: Kernel, flow: FlowDefinition[Any, Any], *args: Any) -> FlowHandle:
    return kernels.start(kernel, flow, *args)


def resume(kernel: Kernel, exec_id: str) -> FlowHandle:
    return kernels.resume(kernel, exec_id)


def row_bytes(kernel: Kernel, exec_id: str) -> int:
    """How many bytes the row of an execution's first call holds: the raw insert writes the same number."""
    (entry, *_) = kernel.journal.entries(exec_id)
    texts = [entry.key, entry.name, entry.inputs or b"", entry.inputs_digest or b""]
    if entry.output is not None:
        texts += [entry.output.codec, entry.output.digest, entry.output.data or b""]
    return sum(map(len, texts)) + 8 * 6  # six numbers

"""The one place where the benchmarks open stores, start and resume: default settings, on a store of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.crash import kernels

from kitaru.journal.protocol import Durability
from kitaru.runtime.kernel import Kernel

start = kernels.start
resume = kernels.resume


@contextmanager
def store(directory: Path, durability: Durability) -> Iterator[Kernel]:
    """A kernel on the store in ``directory``: log capture, digests and installed observers as by default."""
    with kernels.store(directory, durability=durability) as kernel:
        yield kernel


def row_bytes(kernel: Kernel, exec_id: str) -> int:
    """How many bytes the row of an execution's first call holds: the raw insert writes the same number."""
    (entry, *_) = kernel.journal.entries(exec_id)
    texts = [entry.key, entry.name, entry.inputs or b"", entry.inputs_digest or b""]
    if entry.output is not None:
        texts += [entry.output.codec, entry.output.digest, entry.output.data or b""]
    return sum(map(len, texts)) + 8 * 6  # six numbers

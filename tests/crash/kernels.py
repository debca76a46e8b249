"""The one place where the battery opens a kernel, starts, resumes and waits."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from kitaru.flows import FlowDefinition
from kitaru.handles import FlowHandle
from kitaru.journal.codec import Codec
from kitaru.journal.protocol import Durability, Journal
from kitaru.journal.records import Owner
from kitaru.journal.sqlite import SqliteJournal
from kitaru.runtime.kernel import Kernel


class FileBlobs:
    """Large values as files: written aside, then moved into place."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def put(self, key: str, data: bytes) -> None:
        path = self._directory / key
        path.parent.mkdir(parents=True, exist_ok=True)
        aside = path.with_name(f"{path.name}.{os.getpid()}")
        aside.write_bytes(data)
        aside.replace(path)

    def get(self, key: str) -> bytes:
        return (self._directory / key).read_bytes()


def open_journal(directory: Path, durability: Durability = "process") -> Journal:
    return SqliteJournal(str(directory / "kitaru.db"), durability=durability)


def open_kernel(
    directory: Path, *, durability: Durability = "process", lease_seconds: float = 30.0, owner: Owner | None = None
) -> Kernel:
    """A kernel on the store in ``directory``."""
    blobs = FileBlobs(directory / "artifacts")
    journal = open_journal(directory, durability)
    return Kernel(journal, Codec(), lambda: blobs, lease_seconds=lease_seconds, owner=owner)


def start(kernel: Kernel, flow: FlowDefinition[Any, Any], *args: Any, key: str | None = None) -> FlowHandle:
    """Like ``flow.run(*args, idempotency_key=key)``, on ``kernel``."""
    launch = kernel.create(flow.spec, args, {}, idempotency_key=key)
    exec_id = launch.record.exec_id
    if launch.existed:
        return FlowHandle(kernel, exec_id, kernel.continue_existing(launch, flow.spec))
    return FlowHandle(kernel, exec_id, kernel.start(exec_id))


def resume(kernel: Kernel, exec_id: str) -> FlowHandle:
    """Like ``kitaru executions resume``."""
    return FlowHandle(kernel, exec_id, kernel.resume(exec_id))

"""The one place where the battery opens stores, starts flows and resumes executions: through the public doors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kitaru.client import KitaruClient
from kitaru.flows import FlowDefinition
from kitaru.handles import FlowHandle
from kitaru.journal.codec import Codec
from kitaru.journal.protocol import Durability, Journal
from kitaru.journal.records import Payload
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly, journals
from kitaru_local.artifact_store import LocalArtifactStore
from kitaru_local.config import LocalArtifactStoreConfig

#: Names a PostgreSQL server: every store of the battery is then a database of its own on it.
SERVER = "KITARU_TEST_CRASH_SERVER"


def address(directory: Path) -> str:
    """The address of the journal of the store in ``directory``, which is made when it is first asked for."""
    server = os.environ.get(SERVER)
    if server is None:
        return f"sqlite:///{directory}/kitaru.db"
    kept = directory / "journal-address"
    if not kept.exists():
        from tests.emulators.postgres import new_database

        kept.write_text(new_database(server))
    return kept.read_text()


def settings(directory: Path, *, durability: Durability = "process", lease_seconds: float = 30.0) -> dict[str, str]:
    """The environment in which everything lives in ``directory``."""
    return {
        "KITARU_CONFIG_PATH": str(directory),
        "KITARU_JOURNAL_URL": address(directory),
        "KITARU_DURABILITY": durability,
        "KITARU_LEASE_SECONDS": str(lease_seconds),
    }


@contextmanager
def store(directory: Path, **options: Any) -> Iterator[Kernel]:
    """A kernel on the store in ``directory``, while the block lasts; earlier settings are put back afterwards."""
    before = {name: os.environ.get(name) for name in settings(directory)}
    os.environ.update(settings(directory, **options))
    try:
        yield assembly.open_kernel()
    finally:
        assembly.reset()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def start(flow: FlowDefinition[Any, Any], *args: Any, key: str | None = None) -> FlowHandle:
    """Start a flow on the open store, or find the execution under ``key``."""
    return flow.run(*args, idempotency_key=key)


def resume(exec_id: str) -> FlowHandle:
    """What ``kitaru executions resume`` does, and a handle to wait for."""
    KitaruClient().executions.drive(exec_id)
    kernel = assembly.open_kernel()
    return FlowHandle(kernel, exec_id, kernel.runs.get(exec_id))


def open_journal(directory: Path) -> Journal:
    """The journal alone, for looking at it."""
    return journals.open_journal(address(directory), "process")


def decode(directory: Path, payload: Payload) -> Any:
    """The value of a payload of the store in ``directory``."""
    data = payload.data
    if data is None:
        artifacts = LocalArtifactStore(LocalArtifactStoreConfig(f"file://{directory}/artifacts"))
        data = artifacts.get(payload.ref or "")
    return Codec().decode(payload.codec, data)

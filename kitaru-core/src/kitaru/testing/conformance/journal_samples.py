"""Owners, records and entries for the journal's conformance tests."""

from __future__ import annotations

import hashlib
import itertools
import threading
import uuid
from collections.abc import Callable
from typing import Any

from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Lease, Owner, Payload

LEASE_SECONDS = 60.0
#: A lease that has run out by the time it is given.
EXPIRED = -1.0
_counter = itertools.count(1)


def living(_owner: Owner) -> bool | None:
    """Every owner is known to live."""
    return True


def dead(_owner: Owner) -> bool | None:
    """Every owner is known to be gone."""
    return False


def unknown(_owner: Owner) -> bool | None:
    """Nothing is known of any owner."""
    return None


def an_owner(pid: int = 1, host: str = "here") -> Owner:
    return Owner(host, "boot", "namespace", pid, 12345)


def a_record(flow_name: str = "flow", **fields: Any) -> ExecutionRecord:
    """A new execution's record, every field set that its creator sets."""
    number = next(_counter)
    values: dict[str, Any] = {
        "exec_id": str(uuid.uuid4()),
        "flow_name": flow_name,
        "created_at": 1_700_000_000_000_000 + number,
        "stack_name": "default",
        "entrypoint": {"module": "m", "qualname": "flow", "sys_path": ["/ä"]},
        "inputs_digest": hashlib.sha256(b"inputs").digest(),
        "inputs": b'{"topic":"x"}',
        "spec": {"retries": 3, "nested": {"on": True}},
        "seed": b"\0\xff" * 8,
        **fields,
    }
    return ExecutionRecord(**values)


def a_payload(data: bytes = b'{"n":1}') -> Payload:
    return Payload("json", hashlib.sha256(data).digest(), len(data), data)


def an_entry(key: str = "work#1", **fields: Any) -> Entry:
    """A completed call's entry, every field set."""
    values: dict[str, Any] = {
        "kind": EntryKind.COMPLETED,
        "key": key,
        "name": "work",
        "attempt": 1,
        "started_at": 10,
        "ended_at": 20,
        "inputs_digest": hashlib.sha256(repr(key).encode("ascii", "backslashreplace")).digest(),
        "inputs": b'{"x":1}',
        "output": a_payload(),
        "detail": {"label": "work", "ü": [1, None, {"deep": 1.5}]},
        **fields,
    }
    return Entry(**values)


def started(journal: Journal, **fields: Any) -> Lease:
    """The lease of a new execution that is running here."""
    created = journal.create(a_record(**fields), an_owner(), LEASE_SECONDS)
    assert created.lease is not None
    return created.lease


def with_status(journal: Journal, status: str, **fields: Any) -> str:
    """The id of a new execution with a public status (``running`` needs :func:`living` to be seen as such)."""
    if status == "pending":
        return journal.create(a_record(**fields), None, LEASE_SECONDS).record.exec_id
    lease = started(journal, **fields)
    if status == "waiting":
        journal.suspend(lease, wake_at=None)
    elif status == "interrupted":
        journal.release(lease)
    elif status != "running":
        journal.finish(lease, status, ended_at=99, failure={"message": "no"} if status == "failed" else None)
    return lease.exec_id


def keys(journal: Journal, exec_id: str) -> list[str]:
    return [entry.key for entry in journal.entries(exec_id)]


def in_threads(count: int, work: Callable[[int], None]) -> list[BaseException]:
    """Run ``work(n)`` on ``count`` threads that start together; what they raised."""
    barrier = threading.Barrier(count)
    raised: list[BaseException] = []

    def body(number: int) -> None:
        barrier.wait(30)
        try:
            work(number)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=body, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "a thread hangs in the journal"
    return raised

"""What the kernel is handed in: where values go, where executions run, who is told of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kitaru.journal.records import Entry, ExecutionRecord, WaitRecord


class ValueStore(Protocol):
    """Where large values go, by the stack of the execution that has them; a stack is named by its id, None: default."""

    def put(self, key: str, data: bytes, stack: str | None) -> str:
        """Store a value; gives the reference that finds it again: the key, and before it which stack's store has it.

        Atomic; under full durability this returns only when the bytes are synced.
        """

    def get(self, ref: str) -> bytes:
        """The value that :meth:`put` gave ``ref`` for."""


class Places(Protocol):
    """Where executions run, as the stack that each was started on has it."""

    def require(self, record: ExecutionRecord) -> None:
        """Raise KitaruStateError, naming it, when this installation does not have the execution's stack."""

    def elsewhere(self, record: ExecutionRecord) -> bool:
        """Whether the stack has its executions run in other processes. Raises like :meth:`require`."""

    def start(self, record: ExecutionRecord) -> None:
        """Have an execution that nobody drives continued there. Raises KitaruBackendError when that did not work."""

    def starting(self, record: ExecutionRecord) -> bool:
        """Whether the place of an execution that nobody drives is about to run it, or to end. Never raises."""

    def require_isolation(self, record: ExecutionRecord, name: str) -> None:
        """Raise KitaruFeatureNotAvailableError when the stack runs no single calls, such as checkpoint ``name``."""

    def run_call(
        self,
        record: ExecutionRecord,
        call_id: str,
        name: str,
        request: bytes,
        output: Callable[[str, str], None],
        stopped: Callable[[], bool],
    ) -> bytes | None:
        """Run one call in a process of its own: see ``kitaru.stack.components.IsolatedCall``. None: stopped.

        Raises KitaruBackendError when the process could not be started or died without an answer.
        """


class EventSink(Protocol):
    """Told of committed events, off the hot path: returns at once and never raises."""

    def execution_started(self, exec_id: str) -> None: ...

    def execution_finished(self, exec_id: str) -> None: ...

    def checkpoint_finished(self, exec_id: str, entry: Entry) -> None: ...

    def wait_opened(self, wait: WaitRecord) -> None: ...

    def wait_answered(self, wait: WaitRecord) -> None: ...

    def drain(self, seconds: float) -> None: ...

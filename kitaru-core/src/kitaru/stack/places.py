"""Where executions run: in this process, or where the orchestrator of their stack puts them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from kitaru.errors import (
    KitaruBackendError,
    KitaruError,
    KitaruFeatureNotAvailableError,
    KitaruStateError,
)
from kitaru.journal.records import ExecutionQuery
from kitaru.runtime import outcome
from kitaru.runtime.specs import stack_of
from kitaru.stack.components import (
    IsolatedCall,
    IsolatingOrchestrator,
    OrchestratorCapability,
    OrchestratorStatus,
)
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.journal.records import ExecutionRecord
    from kitaru.runtime.kernel import Kernel
    from kitaru.stack.built import BuiltStack, Stacks

_GONE = {OrchestratorStatus.FAILED: "failed", OrchestratorStatus.CANCELLED: "was cancelled"}
_BUSY = (OrchestratorStatus.PENDING, OrchestratorStatus.RUNNING)
#: So long an owner that was asked to stop gets to do it by itself, before the place ends its process.
CANCEL_GRACE_SECONDS = 3.0
_LOOK_SECONDS = 0.02


class StackPlaces:
    """The kernel's ``Places``. Thread-safe."""

    def __init__(self, stacks: Stacks, journal_url: str) -> None:
        self._stacks = stacks
        self._journal_url = journal_url

    def require(self, record: ExecutionRecord) -> None:
        if stack_of(record.spec) is not None:
            self.stack(record)

    def elsewhere(self, record: ExecutionRecord) -> bool:
        stack = stack_of(record.spec)
        if self._journal_url == "memory:":  # no other process can see it
            return False
        return not runs_here(self._stacks.find(None) if stack is None else self.stack(record))

    def start(self, record: ExecutionRecord) -> None:
        built = self.stack(record)
        try:
            built.orchestrator.start(record.exec_id, journal_url=self._journal_url)
        except KitaruError:
            raise
        except Exception as error:
            raise KitaruBackendError(
                f"{built} could not start execution {record.exec_id} ({type(error).__name__}: {error}). Continue it "
                f"with `kitaru executions resume {record.exec_id}`."
            ) from error

    def starting(self, record: ExecutionRecord) -> bool:
        try:
            return self.elsewhere(record) and busy(self, record)
        except Exception:  # the place does not answer: the journal has said what matters
            return False

    def require_isolation(self, record: ExecutionRecord, name: str) -> None:
        built = self.stack(record)
        orchestrator = built.orchestrator
        able = OrchestratorCapability.ISOLATED in orchestrator.capabilities
        if not (able and isinstance(orchestrator, IsolatingOrchestrator)):
            raise KitaruFeatureNotAvailableError(
                f'checkpoint `{name}` has runtime="isolated", but the orchestrator of {built} cannot run single calls. '
                "Leave `runtime` out, or start the flow on a stack that can: `kitaru stack list`."
            )

    def run_call(
        self,
        record: ExecutionRecord,
        call_id: str,
        name: str,
        request: bytes,
        output: Callable[[str, str], None],
        stopped: Callable[[], bool],
    ) -> bytes | None:
        orchestrator = self.stack(record).orchestrator
        assert isinstance(orchestrator, IsolatingOrchestrator)
        return orchestrator.run_call(IsolatedCall(record.exec_id, call_id, name, request, output, stopped))

    def stack(self, record: ExecutionRecord) -> BuiltStack:
        """The stack of an execution. Raises like :meth:`require`."""
        stack = stack_of(record.spec)
        try:
            return self._stacks.find(stack)
        except KitaruStateError as error:
            uri = (record.spec.get("resolved_execution") or {}).get("artifact_store")
            raise KitaruStateError(
                f"execution {record.exec_id} belongs to stack `{record.stack_name}` ({uri or 'unknown'}, id {stack}), "
                "which this installation does not have. Continue it where that stack is set up; `kitaru stack list` "
                "shows the stacks here."
            ) from error


def runs_here(built: BuiltStack) -> bool:
    """Whether the orchestrator of a stack starts the kernel in the calling process. Raises what its plugin raises."""
    return OrchestratorCapability.IN_PROCESS in built.orchestrator.capabilities


# -- from outside the execution -----------------------------------------------------------------------------------


def reason(places: StackPlaces, record: ExecutionRecord, status: ExecutionStatus) -> str | None:
    """Why an execution that nobody drives stopped, as far as the place where it ran knows. Never raises."""
    if status not in (ExecutionStatus.INTERRUPTED, ExecutionStatus.PENDING):
        return None
    try:
        if not places.elsewhere(record):
            return None
        built = places.stack(record)
        said = _GONE.get(built.orchestrator.status(record.exec_id))
    except Exception:  # the place does not answer: the journal has said what matters
        return None
    if said is None:
        return None
    return f"the orchestrator of {built} says that its process {said}; see `kitaru executions logs {record.exec_id}`"


def busy(places: StackPlaces, record: ExecutionRecord) -> bool:
    """Whether the place is about to run an execution already, or still believes that it does."""
    return places.stack(record).orchestrator.status(record.exec_id) in _BUSY


def lines(places: StackPlaces, record: ExecutionRecord) -> Iterator[str]:
    """What the place itself printed for an execution; nothing for one that runs in its starter's process."""
    if places.elsewhere(record):
        for line in places.stack(record).orchestrator.logs(record.exec_id):
            yield line.rstrip("\r\n")


def cancel(kernel: Kernel, places: StackPlaces, record: ExecutionRecord) -> None:
    """End the processes of an execution, and of its children, that run in other places and did not stop by themselves.

    The cancellation stands in the journal already. An owner gets a few seconds to record the end itself; without that,
    its process is ended and the journal asked once more, which then finds no owner.

    Raises KitaruBackendError when a place could not be reached; the cancellation stands all the same.
    """
    started = [one for one in _with_children(kernel, record) if places.elsewhere(one)]
    if not started:
        return
    deadline = time.monotonic() + CANCEL_GRACE_SECONDS
    while time.monotonic() < deadline and any(_driven(kernel, one) for one in started):
        time.sleep(_LOOK_SECONDS)
    for one in started:
        built = places.stack(one)
        try:
            built.orchestrator.cancel(one.exec_id)
        except Exception as error:
            raise KitaruBackendError(
                f"the cancellation of execution {one.exec_id} is recorded, but {built} could not end its process "
                f"({type(error).__name__}: {error})."
            ) from error
    while time.monotonic() < deadline + CANCEL_GRACE_SECONDS and any(_driven(kernel, one) for one in started):
        time.sleep(_LOOK_SECONDS)
    for one in started:
        if not ExecutionStatus(kernel.journal.get(one.exec_id).status).finished:
            try:
                kernel.cancel(one.exec_id)
            except KitaruStateError:  # it has ended meanwhile
                continue


def _driven(kernel: Kernel, record: ExecutionRecord) -> bool:
    return outcome.looked_at(kernel, kernel.journal.get(record.exec_id))[1] is ExecutionStatus.RUNNING


def _with_children(kernel: Kernel, record: ExecutionRecord) -> Iterator[ExecutionRecord]:
    yield record
    for child in kernel.journal.list(ExecutionQuery(parent_exec_id=record.exec_id), kernel.alive):
        yield from _with_children(kernel, child)

"""The local orchestrator: the kernel runs in the process that starts the flow."""

from __future__ import annotations

from collections.abc import Iterator

from kitaru.stack import start_execution
from kitaru.stack.components import IsolatedCall, OrchestratorCapability, OrchestratorStatus

_CAPABILITIES = frozenset((OrchestratorCapability.IN_PROCESS, OrchestratorCapability.ISOLATED))


class LocalOrchestrator:
    """Starts executions on a thread of the calling process. See :class:`kitaru.stack.components.Orchestrator`."""

    def __init__(self, config: None = None) -> None:
        del config

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        return _CAPABILITIES

    def start(self, exec_id: str, *, journal_url: str) -> None:
        start_execution(exec_id, journal_url=journal_url)

    def status(self, exec_id: str) -> OrchestratorStatus:
        """There is no place of its own that could know more than the journal."""
        del exec_id
        return OrchestratorStatus.UNKNOWN

    def cancel(self, exec_id: str) -> None:
        """Nothing to end: the kernel notices a cancellation by itself, and its process goes on."""

    def logs(self, exec_id: str) -> Iterator[str]:
        """None: what an execution prints here is captured by its kernel."""
        del exec_id
        return iter(())

    def run_call(self, call: IsolatedCall) -> bytes | None:
        """In a new process of this machine."""
        from kitaru.stack.isolated import run_in_process  # only for those who isolate calls

        return run_in_process(call)

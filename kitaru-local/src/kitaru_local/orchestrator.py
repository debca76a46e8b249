"""The local orchestrator: the kernel runs in the process that starts the flow."""

from __future__ import annotations

from kitaru.stack import start_execution
from kitaru.stack.components import OrchestratorCapability

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

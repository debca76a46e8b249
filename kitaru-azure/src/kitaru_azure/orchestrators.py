"""Where executions run on Azure: declared here, started by the engine."""

from __future__ import annotations

from kitaru.stack.engine import EngineOrchestrator


class AzureMLOrchestrator(EngineOrchestrator):
    """AzureML jobs."""

    display = "AzureML"

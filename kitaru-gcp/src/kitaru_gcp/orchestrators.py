"""Where executions run on Google Cloud: declared here, started by the engine."""

from __future__ import annotations

from kitaru.stack.engine import EngineOrchestrator


class GkeOrchestrator(EngineOrchestrator):
    """Pods of a GKE cluster."""

    display = "GKE"


class VertexOrchestrator(EngineOrchestrator):
    """Vertex AI pipelines."""

    display = "Vertex AI"

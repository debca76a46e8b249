"""Where executions run on AWS: declared here, started by the engine."""

from __future__ import annotations

from kitaru.stack.engine import EngineOrchestrator


class EksOrchestrator(EngineOrchestrator):
    """Pods of an EKS cluster."""

    display = "EKS"


class SageMakerOrchestrator(EngineOrchestrator):
    """SageMaker jobs."""

    display = "SageMaker"

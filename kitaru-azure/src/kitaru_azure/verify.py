"""Looks at what a stack on Azure names before it is made: real calls, each bounded by its client's timeouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kitaru.stack.credentials import Credentials, Probe, look
from kitaru_azure.artifact_store import AzureBlobStore
from kitaru_azure.config import AzureBlobConfig, AzureMLOrchestratorConfig, AzureRegistryConfig, WorkspaceConfig
from kitaru_azure.container_registry import AzureContainerRegistry
from kitaru_azure.session import sign_in, workspace_parts


def verify_azureml(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of an `azureml` stack."""
    orchestrator = AzureMLOrchestratorConfig(**settings["orchestrator"])
    blob = AzureBlobConfig(**settings["artifact_store"])
    workspace = WorkspaceConfig(
        subscription_id=orchestrator.subscription_id,
        resource_group=orchestrator.resource_group,
        workspace=orchestrator.workspace,
        management_url=blob.management_url,
        credentials=orchestrator.credentials,
    )
    registry = AzureContainerRegistry(AzureRegistryConfig(**settings["container_registry"]))
    return look(
        lambda: sign_in(credentials.settings()),
        (f"AzureML workspace {orchestrator.workspace}", lambda: workspace_parts(workspace)),
        (f"artifact store {blob.uri}", AzureBlobStore(blob).verify),
        (f"container registry {registry.uri}", registry.verify),
    )

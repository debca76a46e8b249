"""Looks at what a stack on Azure names before it is made: real calls, each bounded by its client's timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kitaru.errors import KitaruError
from kitaru.stack.credentials import Credentials, Probe
from kitaru_azure.artifact_store import AzureBlobStore
from kitaru_azure.config import AzureBlobConfig, AzureMLOrchestratorConfig, AzureRegistryConfig, WorkspaceConfig
from kitaru_azure.container_registry import AzureContainerRegistry
from kitaru_azure.session import sign_in, workspace_parts


def verify_azureml(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of an `azureml` stack; those behind the sign-in only when that worked: each would only say the same."""
    signed_in = _probe("credentials", lambda: sign_in(credentials.settings()))
    if signed_in.error is not None:
        return [signed_in]
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
    return [
        signed_in,
        _probe(f"AzureML workspace {orchestrator.workspace}", lambda: workspace_parts(workspace)),
        _probe(f"artifact store {blob.uri}", AzureBlobStore(blob).verify),
        _probe(f"container registry {registry.uri}", registry.verify),
    ]


def _probe(what: str, look: Callable[[], object]) -> Probe:
    try:
        look()
    except KitaruError as error:
        return Probe(what, str(error))
    return Probe(what)

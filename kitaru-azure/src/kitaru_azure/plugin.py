"""What this package supplies. Read at start-up, so it imports nothing but the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.register import Register


_INSTALL = "pip install 'kitaru[azure]'"


@hookimpl
def kitaru_register(register: Register) -> None:
    _components(register)
    _stack_types(register)
    for scheme in ("az://", "abfs://", "abfss://"):
        register.uri_scheme(scheme, provider="azure")


def _components(register: Register) -> None:
    register.component(
        "artifact_store",
        "azure-blob",
        config="kitaru_azure.config:AzureBlobConfig",
        implementation="kitaru_azure.artifact_store:AzureBlobStore",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "container_registry",
        "acr",
        config="kitaru_azure.config:AzureRegistryConfig",
        implementation="kitaru_azure.container_registry:AzureContainerRegistry",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "log_store",
        "azure-monitor",
        config="kitaru_azure.config:AzureMonitorConfig",
        implementation="kitaru_azure.log_store:AzureMonitorLogStore",
        install=_INSTALL,
        shown=("table", "workspace_id"),
    )
    register.component(
        "secret_store",
        "azure-key-vault",
        config="kitaru_azure.config:AzureKeyVaultConfig",
        implementation="kitaru_azure.secret_store:AzureKeyVaultSecretStore",
        install=_INSTALL,
        shown=("vault_url", "workspace"),
    )
    register.component(
        "orchestrator",
        "azureml",
        config="kitaru_azure.config:AzureMLOrchestratorConfig",
        implementation="kitaru_azure.orchestrators:AzureMLOrchestrator",
        install=_INSTALL,
        shown=("subscription_id", "resource_group", "workspace", "location"),
        docs="https://docs.zenml.io/stacks/stack-components/orchestrators/azureml",
    )


def _stack_types(register: Register) -> None:
    register.stack_type(
        "azureml",
        provider="azure",
        display="AzureML",
        fields={
            "artifact_store": "required",
            "container_registry": "required",
            "subscription_id": "required",
            "resource_group": "required",
            "workspace": "required",
            "region": "optional",
        },
        components="kitaru_azure.stack:azureml_components",
        credentials="kitaru_azure.credentials:parse_credentials",
        verify="kitaru_azure.verify:verify_azureml",
        engine="kitaru_azure.stack:azureml_engine",
        resources=(
            "provider",
            "subscription_id",
            "resource_group",
            "workspace",
            "artifact_store",
            "container_registry",
            "region",
        ),
    )

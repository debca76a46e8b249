"""Makes stacks on Azure of the fields that their user gave."""

from __future__ import annotations

from collections.abc import Mapping

from kitaru.errors import KitaruUsageError
from kitaru.stack.components import Component, Place
from kitaru.stack.credentials import Credentials
from kitaru.stack.engine import EngineComponent, EngineConnector, EngineStack
from kitaru_azure.config import registry_uri, split_uri

_WORKSPACE = ("subscription_id", "resource_group", "workspace")


def azureml_components(fields: Mapping[str, str], place: Place) -> list[Component]:
    """The components of an `azureml` stack."""
    del place
    workspace = {name: fields[name] for name in _WORKSPACE}
    return [
        Component("orchestrator", "azureml", {**workspace, **_location(fields)}, credentials=True),
        Component("artifact_store", "azure-blob", {"uri": _uri(fields), **workspace}, credentials=True),
        Component("container_registry", "acr", {"uri": _registry(fields)}, credentials=True),
        Component("log_store", "artifact-store"),
        Component("secret_store", "azure-key-vault", workspace, credentials=True),
    ]


def azureml_engine(fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    """An `azureml` stack as the engine knows it."""
    uri, registry = _uri(fields), _registry(fields)
    signed = credentials if credentials is not None else Credentials()
    workspace = {name: fields[name] for name in _WORKSPACE}
    return EngineStack(
        (
            EngineComponent("orchestrator", "azureml", {**workspace, **_location(fields)}),
            # The engine knows abfs:// only.
            EngineComponent(
                "artifact_store",
                "azure",
                {"path": uri.replace("abfss://", "abfs://", 1)},
                _box(uri),
            ),
            EngineComponent("container_registry", "azure", {"uri": registry}, registry.partition("/")[0]),
        ),
        EngineConnector(
            "azure", signed.method, {"subscription_id": fields["subscription_id"], **signed.public}, signed.secret
        ),
    )


def _location(fields: Mapping[str, str]) -> dict[str, str]:
    return {"location": fields["region"]} if fields.get("region") else {}


def _box(uri: str) -> str:
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def _uri(fields: Mapping[str, str]) -> str:
    uri = fields["artifact_store"]
    try:
        split_uri(uri)
    except ValueError as error:
        raise KitaruUsageError(f"the artifact store '{uri}' cannot be used: {error}.") from None
    return uri


def _registry(fields: Mapping[str, str]) -> str:
    try:
        return registry_uri(fields["container_registry"])
    except ValueError as error:
        raise KitaruUsageError(f"the container registry cannot be used: {error}.") from None

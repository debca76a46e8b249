"""Makes stacks on Google Cloud of the fields that their user gave."""

from __future__ import annotations

from collections.abc import Mapping

from kitaru.errors import KitaruUsageError
from kitaru.stack.components import Component, Place
from kitaru.stack.credentials import Credentials
from kitaru.stack.engine import EngineComponent, EngineConnector, EngineStack
from kitaru_gcp.config import bucket_of, project_of, registry_uri


def gke_components(fields: Mapping[str, str], place: Place) -> list[Component]:
    """The components of a `kubernetes` stack on Google Cloud."""
    del place
    orchestrator = {name: fields[name] for name in ("cluster", "region", "namespace")}
    return [
        Component("orchestrator", "gke", {"project": _project(fields), **orchestrator}, credentials=True),
        *_shared(fields),
    ]


def vertex_components(fields: Mapping[str, str], place: Place) -> list[Component]:
    """The components of a `vertex` stack."""
    del place
    orchestrator = {"project": _project(fields), "location": fields["region"]}
    return [Component("orchestrator", "vertex", orchestrator, credentials=True), *_shared(fields)]


def _shared(fields: Mapping[str, str]) -> list[Component]:
    return [
        Component("artifact_store", "gcs", {"uri": _uri(fields)}, credentials=True),
        Component("container_registry", "gar", {"uri": _registry(fields)}, credentials=True),
        Component("log_store", "artifact-store"),
        Component("secret_store", "gcp-secret-manager", {"project": _project(fields)}, credentials=True),
    ]


def gke_engine(fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    """A `kubernetes` stack on Google Cloud as the engine knows it."""
    configuration = {"kubernetes_namespace": fields["namespace"]}
    return _engine(EngineComponent("orchestrator", "kubernetes", configuration, fields["cluster"]), fields, credentials)


def vertex_engine(fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    """A `vertex` stack as the engine knows it."""
    return _engine(EngineComponent("orchestrator", "vertex", {"location": fields["region"]}), fields, credentials)


def _engine(orchestrator: EngineComponent, fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    uri, registry = _uri(fields), _registry(fields)
    signed = credentials if credentials is not None else Credentials()
    return EngineStack(
        (
            orchestrator,
            EngineComponent("artifact_store", "gcp", {"path": uri}, f"gs://{bucket_of(uri)}"),
            EngineComponent("container_registry", "gcp", {"uri": registry}, registry),
        ),
        EngineConnector("gcp", signed.method, {"project_id": _project(fields)}, signed.secret),
    )


def _uri(fields: Mapping[str, str]) -> str:
    uri = fields["artifact_store"]
    try:
        bucket_of(uri)
    except ValueError as error:
        raise KitaruUsageError(f"the artifact store '{uri}' cannot be used: it {error}.") from None
    return uri


def _registry(fields: Mapping[str, str]) -> str:
    try:
        return registry_uri(fields["container_registry"])
    except ValueError as error:
        raise KitaruUsageError(f"the container registry cannot be used: it {error}.") from None


def _project(fields: Mapping[str, str]) -> str:
    registry = _registry(fields)
    try:
        return project_of(registry)
    except ValueError as error:
        raise KitaruUsageError(f"{error}.") from None

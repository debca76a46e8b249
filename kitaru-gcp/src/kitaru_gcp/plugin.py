"""What this package supplies. Read at start-up, so it imports nothing but the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.declarations import FieldRule
    from kitaru.plugins.register import Register

_INSTALL = "pip install 'kitaru[gcp]'"
_RULES: dict[str, FieldRule] = {"artifact_store": "required", "container_registry": "required", "region": "required"}


@hookimpl
def kitaru_register(register: Register) -> None:
    _components(register)
    _stack_types(register)
    register.uri_scheme("gs://", provider="gcp")


def _components(register: Register) -> None:
    register.component(
        "artifact_store",
        "gcs",
        config="kitaru_gcp.config:GcsConfig",
        implementation="kitaru_gcp.artifact_store:GcsArtifactStore",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "container_registry",
        "gar",
        config="kitaru_gcp.config:ArtifactRegistryConfig",
        implementation="kitaru_gcp.container_registry:ArtifactRegistry",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "log_store",
        "cloud-logging",
        config="kitaru_gcp.config:CloudLoggingConfig",
        implementation="kitaru_gcp.log_store:CloudLoggingStore",
        install=_INSTALL,
        shown=("log_name", "project"),
    )
    register.component(
        "secret_store",
        "gcp-secret-manager",
        config="kitaru_gcp.config:SecretManagerConfig",
        implementation="kitaru_gcp.secret_store:SecretManagerStore",
        install=_INSTALL,
        shown=("project",),
    )
    register.component(
        "orchestrator",
        "gke",
        config="kitaru_gcp.config:GkeConfig",
        implementation="kitaru_gcp.orchestrators:GkeOrchestrator",
        install=_INSTALL,
        shown=("cluster", "region", "namespace"),
        docs="https://docs.zenml.io/stacks/stack-components/orchestrators/kubernetes",
    )
    register.component(
        "orchestrator",
        "vertex",
        config="kitaru_gcp.config:VertexConfig",
        implementation="kitaru_gcp.orchestrators:VertexOrchestrator",
        install=_INSTALL,
        shown=("location",),
        docs="https://docs.zenml.io/stacks/stack-components/orchestrators/vertex",
    )


def _stack_types(register: Register) -> None:
    register.stack_type(
        "kubernetes",
        provider="gcp",
        display="Kubernetes",
        fields={**_RULES, "cluster": "required", "namespace": "optional"},
        components="kitaru_gcp.stack:gke_components",
        defaults={"namespace": "default"},
        credentials="kitaru_gcp.credentials:parse_credentials",
        verify="kitaru_gcp.verify:verify_gke",
        engine="kitaru_gcp.stack:gke_engine",
        resources=("provider", "cluster", "region", "namespace", "artifact_store", "container_registry"),
    )
    register.stack_type(
        "vertex",
        provider="gcp",
        display="Vertex",
        fields=_RULES,
        components="kitaru_gcp.stack:vertex_components",
        credentials="kitaru_gcp.credentials:parse_credentials",
        verify="kitaru_gcp.verify:verify_vertex",
        engine="kitaru_gcp.stack:vertex_engine",
        resources=("provider", "region", "artifact_store", "container_registry"),
    )

"""Looks at what a stack on Google Cloud names before it is made: real calls, each bounded by its client's timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kitaru.stack.credentials import Credentials, Probe, look
from kitaru_gcp.config import ArtifactRegistryConfig, GcpConfig, GcsConfig, GkeConfig, VertexConfig
from kitaru_gcp.container_registry import ArtifactRegistry
from kitaru_gcp.errors import gcp_errors
from kitaru_gcp.session import TIMEOUT_SECONDS, Service, execute, signed_in, storage_client


def verify_gke(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of a `kubernetes` stack on Google Cloud."""
    del credentials  # every component's settings have them
    config = GkeConfig(**settings["orchestrator"])
    own = (f"cluster {config.cluster}", lambda: _cluster(config))
    return look(lambda: _sign_in(config), own, *_shared(settings))


def verify_vertex(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of a `vertex` stack."""
    del credentials
    config = VertexConfig(**settings["orchestrator"])
    own = (f"Vertex AI in {config.location}", lambda: _jobs(config))
    return look(lambda: _sign_in(config), own, *_shared(settings))


def _shared(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Callable[[], None]]]:
    store = GcsConfig(**settings["artifact_store"])
    registry = ArtifactRegistry(ArtifactRegistryConfig(**settings["container_registry"]))
    return [
        (f"artifact store gs://{store.bucket}", lambda: _bucket(store)),
        (f"container registry {registry.uri}", registry.verify),
    ]


def _sign_in(config: GcpConfig) -> None:
    from google.auth.transport.requests import Request

    with gcp_errors("signing in to Google Cloud"):
        signed_in(config).refresh(Request())


def _cluster(config: GkeConfig) -> None:
    service = Service("container", "v1", config)
    name = f"projects/{config.project}/locations/{config.region}/clusters/{config.cluster}"
    with gcp_errors(f"looking at the cluster {config.cluster}", missing="there is no such cluster"):
        execute(service().projects().locations().clusters().get(name=name))


def _jobs(config: VertexConfig) -> None:
    service = Service("aiplatform", "v1", config, location=config.location)
    parent = f"projects/{config.project}/locations/{config.location}"
    with gcp_errors(f"looking at Vertex AI in {config.location}", missing="there is no such region or project"):
        execute(service().projects().locations().pipelineJobs().list(parent=parent, pageSize=1))


def _bucket(config: GcsConfig) -> None:
    missing = "there is no such bucket: make it first, or look at its name"
    with gcp_errors(f"looking at the bucket {config.bucket}", missing=missing):
        pages = storage_client(config).list_blobs(config.bucket, max_results=1, timeout=TIMEOUT_SECONDS)
        next(iter(pages), None)

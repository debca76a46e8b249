"""Settings of Google Cloud's components.

``credentials`` is never written by a user: it is what the stack signs in with, as
``kitaru.stack.credentials.Credentials.settings`` gives it. None stands for what the environment has.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]")
_PROJECT = re.compile(r"[a-z][a-z0-9.:-]{3,62}[a-z0-9]")
_REGISTRY_HOST = re.compile(r"(?:[a-z0-9-]+-)?docker\.pkg\.dev|(?:(?:us|eu|asia)\.)?gcr\.io")


class GcpConfig(BaseModel):
    """What all of them have. ``endpoint_url``: address of the service, default Google's own."""

    # A value that does not fit may be a secret in the wrong place: it is in no error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint_url: str | None = None
    credentials: dict[str, str] | None = Field(default=None, repr=False)

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must be an address, http:// or https://")
        return value.rstrip("/") if value is not None else None


class ProjectConfig(GcpConfig):
    """What belongs to a project. ``project``: its id, such as ``my-project-123``."""

    project: str

    @field_validator("project")
    @classmethod
    def _project_fits(cls, value: str) -> str:
        if not _PROJECT.fullmatch(value):
            raise ValueError("a project's id has 6 to 30 lower-case letters, digits and dashes")
        return value


class GcsConfig(GcpConfig):
    """Artifacts in a bucket, which must exist.

    ``uri``: ``gs://BUCKET/path``; the path may be left out. What signs in needs `Storage Object Admin` on the bucket.
    """

    uri: str

    @field_validator("uri")
    @classmethod
    def _uri_names_a_bucket(cls, value: str) -> str:
        bucket_of(value)
        return value

    @property
    def bucket(self) -> str:
        return bucket_of(self.uri)

    @property
    def root(self) -> str:
        """Bucket and path, as ``BUCKET/path``."""
        return self.uri.removeprefix("gs://").strip("/")


class ArtifactRegistryConfig(GcpConfig):
    """Images in Artifact Registry.

    ``uri``: ``REGION-docker.pkg.dev/PROJECT/REPOSITORY``.
    ``registry_url``: where the registry itself answers, default ``https://`` and its host; with an ``endpoint_url``
    alone, only that is asked.
    """

    uri: str
    registry_url: str | None = None

    @field_validator("uri")
    @classmethod
    def _uri_has_a_project(cls, value: str) -> str:
        found = registry_uri(value)
        project_of(found)
        return found


class CloudLoggingConfig(ProjectConfig):
    """Runtime logs in Cloud Logging, under the log ``log_name`` of the project.

    ``endpoint``, which ``kitaru log-store set cloud-logging`` gives, stands for all of it:
    ``https://logging.googleapis.com/projects/PROJECT``, with ``/logs/NAME`` behind it if it is another log.
    """

    log_name: str = "kitaru"

    @model_validator(mode="before")
    @classmethod
    def _from_endpoint(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "endpoint" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "endpoint"}
        parts = urlsplit(str(values["endpoint"]))
        found = re.fullmatch(r"/projects/([^/]+)(?:/logs/([^/]+))?/?", parts.path)
        if found is None:
            raise ValueError("endpoint must be https://logging.googleapis.com/projects/PROJECT")
        own = parts.hostname == "logging.googleapis.com"
        place = {"project": found[1]} | ({} if own else {"endpoint_url": f"{parts.scheme}://{parts.netloc}"})
        return {**place, **({"log_name": found[2]} if found[2] else {}), **rest}

    @field_validator("log_name")
    @classmethod
    def _name_fits(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,200}", value):
            raise ValueError("a log's name has up to 200 letters, digits and ._-")
        return value


class SecretManagerConfig(ProjectConfig):
    """Secrets in Secret Manager, labelled as Kitaru's."""


class GkeConfig(ProjectConfig):
    """Executions in pods of a Kubernetes cluster: what the engine is told of its orchestrator."""

    cluster: str
    region: str
    namespace: str = "default"
    synchronous: bool = True
    timeout: int = 0
    max_parallelism: int | None = None
    service_account_name: str | None = None
    privileged: bool = False
    pod_settings: dict[str, Any] = Field(default_factory=dict)


class VertexConfig(ProjectConfig):
    """Executions as Vertex AI pipelines: what the engine is told of its orchestrator."""

    location: str
    synchronous: bool = True
    pipeline_root: str | None = None
    workload_service_account: str | None = None
    network: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


def bucket_of(uri: str) -> str:
    """The bucket of ``gs://BUCKET/path``. Raises ValueError, which says what does not fit."""
    parts = urlsplit(uri)
    if parts.scheme != "gs" or not parts.netloc:
        raise ValueError("must name a bucket: gs://BUCKET/path")
    if not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment or "//" in parts.path:
        raise ValueError("must be gs://BUCKET/path; a bucket has lower-case letters, digits, dots, dashes, underscores")
    return parts.netloc


def registry_uri(uri: str) -> str:
    """A registry's address without a scheme and without a trailing slash. Raises ValueError for a blank one."""
    stripped = (uri.partition("://")[2] if "://" in uri else uri).strip().rstrip("/")
    if not stripped:
        raise ValueError("must be the address of a registry: REGION-docker.pkg.dev/PROJECT/REPOSITORY")
    return stripped


def project_of(registry: str) -> str:
    """The project that a registry's address names. Raises ValueError: it names none."""
    host, _, path = registry_uri(registry).partition("/")
    project = path.partition("/")[0]
    if not _REGISTRY_HOST.fullmatch(host) or not project:
        raise ValueError(
            f"Cannot infer GCP project ID from '{registry}': use REGION-docker.pkg.dev/PROJECT/REPOSITORY or "
            "gcr.io/PROJECT"
        )
    return project

"""Settings of AWS's components.

``credentials`` is never written by a user: it is what the stack signs in with, as
``kitaru.stack.credentials.Credentials.settings`` gives it. None stands for what the environment has.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_REGISTRY = re.compile(r"(\d{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_LOGS_HOST = re.compile(r"logs\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+)+-\d+")


class AwsConfig(BaseModel):
    """What all of them have.

    Attributes:
        region: the region, such as ``eu-west-1``; left out, the one of the profile or the environment.
        endpoint_url: address of the service, default AWS's own.
    """

    # A value that does not fit may be a secret in the wrong place: it is in no error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    region: str | None = None
    endpoint_url: str | None = None
    credentials: dict[str, str] | None = Field(default=None, repr=False)

    @field_validator("region")
    @classmethod
    def _region_fits(cls, value: str | None) -> str | None:
        if value is not None and not _REGION.fullmatch(value):
            raise ValueError("a region is written like eu-west-1")
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_url(cls, value: str | None) -> str | None:
        if value is not None and urlsplit(value).scheme not in ("http", "https"):
            raise ValueError("must be an address, http:// or https://")
        return value


class S3Config(AwsConfig):
    """Artifacts in a bucket, which must exist.

    Attributes:
        uri: ``s3://BUCKET/path``; the path may be left out.
        path_style: the bucket's name in the path of addresses instead of the host's; other services than AWS need it.

    What signs in needs ``s3:ListBucket``, ``GetObject``, ``PutObject``, ``DeleteObject``, ``AbortMultipartUpload``.
    """

    uri: str
    path_style: bool = False

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
        return self.uri.removeprefix("s3://").strip("/")


class EcrConfig(AwsConfig):
    """Images in Elastic Container Registry.

    ``uri``: ``ACCOUNT.dkr.ecr.REGION.amazonaws.com``, or with ``/repository`` behind it. The region is the URI's.
    ``registry_url``: where the registry itself answers, default ``https://`` and its host; with an ``endpoint_url``
    alone, only that is asked.
    """

    uri: str
    registry_url: str | None = None

    @field_validator("uri")
    @classmethod
    def _uri_is_a_registry(cls, value: str) -> str:
        found = registry_uri(value)
        registry_parts(found)
        return found


class CloudWatchConfig(AwsConfig):
    """Runtime logs in CloudWatch Logs: ``log_group`` is made when it is not there; one stream per execution.

    ``endpoint``, which ``kitaru log-store set cloudwatch`` gives, stands for all of it:
    ``https://logs.REGION.amazonaws.com``, with the log group behind it if it is another one.
    """

    log_group: str = "/kitaru/executions"
    retention_days: int | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_endpoint(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "endpoint" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "endpoint"}
        parts = urlsplit(str(values["endpoint"]))
        found = _LOGS_HOST.fullmatch(parts.hostname or "")
        place = {"region": found[1]} if found else {"endpoint_url": f"{parts.scheme}://{parts.netloc}"}
        group = parts.path.rstrip("/")
        return {**place, **({"log_group": group} if group else {}), **rest}

    @field_validator("log_group")
    @classmethod
    def _group_fits(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._/#-]{1,512}", value):
            raise ValueError("a log group's name has up to 512 letters, digits and ._/#-")
        return value


class SecretsManagerConfig(AwsConfig):
    """Secrets in Secrets Manager, below ``prefix``."""

    prefix: str = "kitaru/"

    @field_validator("prefix")
    @classmethod
    def _prefix_fits(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9/_+=.@-]{0,200}", value):
            raise ValueError("a prefix has up to 200 letters, digits and /_+=.@-")
        return value


class EksConfig(AwsConfig):
    """Executions in pods of a Kubernetes cluster: what the engine is told of its orchestrator."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    cluster: str
    namespace: str = "default"
    synchronous: bool = True
    timeout: int = 0
    max_parallelism: int | None = None
    service_account_name: str | None = None
    privileged: bool = False
    pod_settings: dict[str, Any] = Field(default_factory=dict)


class SageMakerConfig(AwsConfig):
    """Executions as SageMaker jobs: what the engine is told of its orchestrator."""

    execution_role: str
    synchronous: bool = True
    instance_type: str | None = None
    volume_size_in_gb: int = 30
    max_runtime_in_seconds: int = 86_400
    tags: dict[str, str] = Field(default_factory=dict)


def bucket_of(uri: str) -> str:
    """The bucket of ``s3://BUCKET/path``. Raises ValueError, which says what does not fit."""
    parts = urlsplit(uri)
    if parts.scheme != "s3" or not parts.netloc:
        raise ValueError("must name a bucket: s3://BUCKET/path")
    if not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment or "//" in parts.path:
        raise ValueError("must be s3://BUCKET/path; a bucket has lower-case letters, digits, dots and dashes")
    return parts.netloc


def registry_uri(uri: str) -> str:
    """A registry's address without a scheme and without a trailing slash. Raises ValueError for a blank one."""
    stripped = uri.strip().partition("://")[2] if "://" in uri else uri.strip()
    stripped = stripped.rstrip("/")
    if not stripped:
        raise ValueError("must be the address of a registry: ACCOUNT.dkr.ecr.REGION.amazonaws.com")
    return stripped


def registry_parts(uri: str) -> tuple[str, str, str]:
    """Account, region and repository (may be empty) of a registry's address. Raises ValueError for another one."""
    host, _, repository = registry_uri(uri).partition("/")
    found = _REGISTRY.fullmatch(host)
    if found is None:
        raise ValueError("must be the address of a registry: ACCOUNT.dkr.ecr.REGION.amazonaws.com")
    return found[1], found[2], repository

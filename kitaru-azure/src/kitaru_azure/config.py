"""Settings of Azure's components.

``credentials`` is never written by a user: it is what the stack signs in with, as
``kitaru.stack.credentials.Credentials.settings`` gives it. None stands for what the environment has.
"""

from __future__ import annotations

import re
from typing import Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

SCHEMES = ("az", "abfs", "abfss")
_CONTAINER = re.compile(r"[a-z0-9](?:-?[a-z0-9]){2,62}|\$root|\$web")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_STREAM = re.compile(r"Custom-\w{1,100}")
_TABLE = re.compile(r"[A-Za-z]\w{0,99}")
_HOST = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d+)?")


class AzureConfig(BaseModel):
    """What all of them have."""

    # A value that does not fit may be a secret in the wrong place: it is in no error.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    credentials: dict[str, str] | None = Field(default=None, repr=False)


class WorkspaceConfig(AzureConfig):
    """An AzureML workspace, where a component may look up what belongs to it.

    ``management_url``: address of Azure Resource Manager, default the public cloud's.
    """

    subscription_id: str | None = None
    resource_group: str | None = None
    workspace: str | None = None
    management_url: str | None = None

    @property
    def has_workspace(self) -> bool:
        return bool(self.subscription_id and self.resource_group and self.workspace)

    @field_validator("management_url")
    @classmethod
    def _management_is_url(cls, value: str | None) -> str | None:
        return _url(value)


class AzureBlobConfig(WorkspaceConfig):
    """Artifacts in a container of Azure Blob Storage. The container must exist.

    Attributes:
        uri: ``abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/path``, which names container and account, or
            ``az://CONTAINER/path``, which names no account; ``abfss://`` is read as ``abfs://``.
        account_name: the storage account, where the URI has none. Left out too, it is that of the environment
            (``AZURE_STORAGE_ACCOUNT_NAME`` or ``AZURE_STORAGE_CONNECTION_STRING``, implicit credentials only), or the
            one that belongs to the AzureML workspace.
        endpoint_url: address of the blob service, default ``https://ACCOUNT.blob.core.windows.net``.

    What signs in needs the role `Storage Blob Data Contributor` on the container.
    """

    uri: str
    account_name: str | None = None
    endpoint_url: str | None = None

    @field_validator("uri")
    @classmethod
    def _uri_names_a_container(cls, value: str) -> str:
        split_uri(value)
        return value

    @field_validator("account_name")
    @classmethod
    def _account_fits(cls, value: str | None) -> str | None:
        if value is not None and not _ACCOUNT.fullmatch(value):
            raise ValueError("a storage account's name is 3 to 24 lower-case letters and digits")
        return value

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_url(cls, value: str | None) -> str | None:
        return _url(value)

    @model_validator(mode="after")
    def _one_account(self) -> Self:
        account = split_uri(self.uri).account
        if account is not None and self.account_name not in (None, account):
            raise ValueError(f"uri names the account {account}, account_name another")
        return self


class AzureRegistryConfig(AzureConfig):
    """Images in Azure Container Registry.

    Attributes:
        uri: ``NAME.azurecr.io`` or ``NAME.azurecr.io/repository``.
        endpoint_url: address to reach it at, default ``https://`` and the host of ``uri``.
        audience: what tokens are asked for; another one in other clouds than the public one.

    What signs in needs the role `AcrPull` to read, and `AcrPush` to push.
    """

    uri: str
    endpoint_url: str | None = None
    audience: str = "https://containerregistry.azure.net"

    @field_validator("uri")
    @classmethod
    def _uri_has_a_host(cls, value: str) -> str:
        return registry_uri(value)

    @field_validator("endpoint_url")
    @classmethod
    def _endpoint_is_url(cls, value: str | None) -> str | None:
        return _url(value)


class AzureMonitorConfig(AzureConfig):
    """Log lines in a table of a Log Analytics workspace, written through a data collection rule.

    These must exist:

    - a custom table, ``KitaruLogs_CL`` unless ``table`` says otherwise, with the columns ``TimeGenerated`` (datetime),
      ``ExecId``, ``Position``, ``Record`` (string), ``Part`` and ``Parts`` (int);
    - a data collection rule with the stream ``Custom-KitaruLogs_CL`` (or ``stream``) of the same columns, which flows
      to that table, and an endpoint for it;
    - the roles `Monitoring Metrics Publisher` on the rule (to write) and `Log Analytics Reader` on the workspace (to
      read) for what signs in.

    Azure shows a line some seconds, at worst minutes, after it was written. A deleted execution's lines are hidden at
    once; Azure removes them when the table's retention is over.

    Attributes:
        ingestion_endpoint: ``https://NAME.REGION.ingest.monitor.azure.com``, of the rule or its endpoint.
        rule_id: the rule's immutable id, ``dcr-...``.
        workspace_id: the Log Analytics workspace's id (a UUID).
        query_endpoint: where to read.

    ``endpoint``, which ``kitaru log-store set azure-monitor`` gives, stands for all of it: the ingestion endpoint with
    ``/RULE_ID/WORKSPACE_ID`` behind it.
    """

    ingestion_endpoint: str
    rule_id: str = Field(min_length=1, pattern=r"^[A-Za-z0-9-]+$")
    workspace_id: str = Field(min_length=1, pattern=r"^[A-Za-z0-9-]+$")
    stream: str = "Custom-KitaruLogs_CL"
    table: str = "KitaruLogs_CL"
    query_endpoint: str = "https://api.loganalytics.io"

    @model_validator(mode="before")
    @classmethod
    def _from_endpoint(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "endpoint" not in values:
            return values
        rest = {name: value for name, value in values.items() if name != "endpoint"}
        parts = urlsplit(str(values["endpoint"]))
        ids = parts.path.strip("/").split("/")
        if len(ids) != 2:
            raise ValueError("endpoint must be https://NAME.REGION.ingest.monitor.azure.com/RULE_ID/WORKSPACE_ID")
        place = {"ingestion_endpoint": f"{parts.scheme}://{parts.netloc}", "rule_id": ids[0], "workspace_id": ids[1]}
        return {**place, **rest}

    @field_validator("ingestion_endpoint", "query_endpoint")
    @classmethod
    def _endpoint_is_url(cls, value: str) -> str:
        return _url(value) or value

    @field_validator("stream")
    @classmethod
    def _stream_fits(cls, value: str) -> str:
        if not _STREAM.fullmatch(value):
            raise ValueError("a stream's name is `Custom-` and letters, digits, underscores")
        return value

    @field_validator("table")
    @classmethod
    def _table_fits(cls, value: str) -> str:
        if not _TABLE.fullmatch(value):
            raise ValueError("a table's name is made of letters, digits and underscores")
        return value


class AzureKeyVaultConfig(WorkspaceConfig):
    """Secrets in Azure Key Vault.

    Attributes:
        vault_url: ``https://NAME.vault.azure.net``. Left out, it is the vault that belongs to the AzureML workspace.
        prefix: what the names of Kitaru's secrets begin with there; other secrets are left alone.
        verify_challenge_resource: whether the vault may only ask for tokens for its own domain. Turn it off only for a
            vault that has another address than Azure gave it.

    What signs in needs the role `Key Vault Secrets Officer`. A deleted secret can be recovered in the vault until its
    retention is over.
    """

    vault_url: str | None = None
    prefix: str = Field(default="kitaru-", pattern=r"^[a-z0-9](?:[a-z0-9-]{0,18}[a-z0-9])?-$")
    verify_challenge_resource: bool = True

    @field_validator("vault_url")
    @classmethod
    def _vault_is_url(cls, value: str | None) -> str | None:
        return _url(value)

    @model_validator(mode="after")
    def _some_vault(self) -> Self:
        if self.vault_url is None and not self.has_workspace:
            raise ValueError("give vault_url, or subscription_id, resource_group and workspace of an AzureML workspace")
        return self


class AzureMLOrchestratorConfig(AzureConfig):
    """How executions run on AzureML.

    Attributes:
        location: the region of what is created there; default: the workspace's.
        synchronous: whether starting an execution waits for its end.
        mode: ``serverless``, or an instance or cluster called ``compute_name``, made with the other options if there
            is none.
        size, tier: machine type (``Standard_DS3_v2``) and priority (``dedicated``, ``low_priority``).
        shm_size: shared memory of the container, such as ``2g``.
    """

    subscription_id: str = Field(min_length=1)
    resource_group: str = Field(min_length=1)
    workspace: str = Field(min_length=1)
    location: str | None = None
    synchronous: bool = True
    mode: Literal["serverless", "compute-instance", "compute-cluster"] = "serverless"
    compute_name: str | None = None
    size: str | None = None
    idle_time_before_shutdown_minutes: int | None = Field(default=None, ge=0)
    idle_time_before_scaledown_down: int | None = Field(default=None, ge=0)
    min_instances: int | None = Field(default=None, ge=0)
    max_instances: int | None = Field(default=None, ge=1)
    tier: str | None = None
    shm_size: str | None = Field(default=None, pattern=r"^\d+[bkmgBKMG]?$")

    @model_validator(mode="after")
    def _options_fit_the_mode(self) -> Self:
        if self.mode != "serverless" and not self.compute_name:
            raise ValueError(f"mode {self.mode} needs compute_name")
        if useless := sorted((_COMPUTE_OPTIONS - _OPTIONS_OF_MODE[self.mode]) & self.model_fields_set):
            raise ValueError(f"mode {self.mode} has no use for {', '.join(useless)}")
        return self


_OPTIONS_OF_MODE: dict[str, set[str]] = {
    "serverless": set(),
    "compute-instance": {"compute_name", "size", "idle_time_before_shutdown_minutes"},
    "compute-cluster": {
        "compute_name",
        "size",
        "idle_time_before_scaledown_down",
        "min_instances",
        "max_instances",
        "tier",
    },
}
_COMPUTE_OPTIONS = set.union(*_OPTIONS_OF_MODE.values())


class BlobPlace(BaseModel):
    """What a storage URI names: see :func:`split_uri`."""

    model_config = ConfigDict(frozen=True)

    container: str
    path: str
    account: str | None
    blob_host: str | None


def split_uri(uri: str) -> BlobPlace:
    """Container, path within it (no slash at either end), account and blob service's host of a storage URI.

    Raises ValueError for what is none, with the reason.
    """
    parts = urlsplit(uri)
    if parts.scheme not in SCHEMES:
        raise ValueError("uri must begin with az://, abfs:// or abfss://")
    if parts.query or parts.fragment:
        raise ValueError("uri must have no ? and no #: a token for access is no part of it")
    container, separator, host = parts.netloc.partition("@")
    if not _CONTAINER.fullmatch(container):
        raise ValueError("uri must name a container of 3 to 63 lower-case letters, digits and single dashes")
    path = parts.path.strip("/")
    if any(part in ("", ".", "..") for part in path.split("/") if path):
        raise ValueError("uri must have no empty part, `.` or `..`")
    if not separator:
        return BlobPlace(container=container, path=path, account=None, blob_host=None)
    account, _, rest = host.partition(".")
    if not _ACCOUNT.fullmatch(account) or not re.fullmatch(r"(dfs|blob)(\.[a-z0-9-]+)+", rest):
        raise ValueError("uri must have the account as in CONTAINER@ACCOUNT.dfs.core.windows.net")
    return BlobPlace(
        container=container, path=path, account=account, blob_host=f"{account}.blob.{rest.partition('.')[2]}"
    )


def registry_uri(text: str) -> str:
    """A registry's address without scheme and trailing slashes. Raises ValueError when there is no host in it."""
    uri = text.strip().partition("://")[2] if "://" in text else text.strip()
    uri = uri.strip("/")
    host, _, repository = uri.partition("/")
    if not _HOST.fullmatch(host):
        raise ValueError("uri must be a registry's address: NAME.azurecr.io")
    if repository and not re.fullmatch(r"[a-z0-9]+(?:[._/-]+[a-z0-9]+)*", repository):
        raise ValueError("a repository's name is made of lower-case letters, digits, `.`, `_`, `-` and `/`")
    return uri


def _url(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise ValueError("it must be an address: https://HOST, without a user, ? or #")
    return value.rstrip("/")

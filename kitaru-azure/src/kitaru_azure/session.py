"""Clients of Azure's services, made of credentials and addresses. Every call of them ends after a bounded time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from azure.core.credentials import AccessToken, AccessTokenInfo, TokenCredential
from azure.core.exceptions import ClientAuthenticationError

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.stack.credentials import IMPLICIT
from kitaru_azure.credentials import ACCESS_TOKEN, SERVICE_PRINCIPAL
from kitaru_azure.errors import azure_errors

if TYPE_CHECKING:
    from azure.containerregistry import ContainerRegistryClient
    from azure.keyvault.secrets import SecretClient
    from azure.monitor.ingestion import LogsIngestionClient
    from azure.monitor.query import LogsQueryClient

    from kitaru_azure.config import (
        AzureBlobConfig,
        AzureKeyVaultConfig,
        AzureMonitorConfig,
        AzureRegistryConfig,
        WorkspaceConfig,
    )

# What its libraries log goes where the program's own logging sends it; nowhere else, such as among a command's errors.
logging.getLogger("azure").addHandler(logging.NullHandler())

MANAGEMENT_URL = "https://management.azure.com"
#: Of every request: tries are at most ``retry_total + 1``, so a call to an address that is dead ends within a minute.
CLIENT_OPTIONS: Mapping[str, Any] = {
    "connection_timeout": 8,
    "read_timeout": 30,
    "retry_total": 2,
    "retry_connect": 1,
    "retry_backoff_factor": 0.4,
    "retry_backoff_max": 4,
}
# Where directories of the public and sovereign clouds are; any other is a private one, which Microsoft does not know.
_PUBLIC_AUTHORITIES = ("login.microsoftonline.com", "login.microsoftonline.us", "login.chinacloudapi.cn")
_TOKEN_SECONDS = 3600
_PART_BYTES = 8 * 1024 * 1024


class ExpiredTokenError(ClientAuthenticationError):
    """An access token that was given is over."""


class GivenToken:
    """An access token that somebody else fetched. It cannot be renewed, and is good for one service only."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._ends_at = _end_of(token)

    def get_token(self, *scopes: str, **kwargs: Any) -> AccessToken:
        """The token. Raises ExpiredTokenError when it is over."""
        del scopes, kwargs
        if self._ends_at is not None and self._ends_at <= time.time():
            ended = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self._ends_at))
            raise ExpiredTokenError(f"the access token expired at {ended} UTC")
        return AccessToken(self._token, int(self._ends_at or time.time() + _TOKEN_SECONDS))

    def get_token_info(self, *scopes: str, options: Any = None) -> AccessTokenInfo:
        """The same, in the newer form."""
        del options
        found = self.get_token(*scopes)
        return AccessTokenInfo(found.token, found.expires_on)

    def close(self) -> None:
        """Nothing is open."""


def credential(credentials: Mapping[str, str] | None) -> TokenCredential:
    """What clients sign in with; signing in itself happens with their first call.

    Args:
        credentials: as ``Credentials.settings()`` gives them; None: what the environment has.

    Raises KitaruUsageError for a method that Azure does not have, or one whose parts are missing.
    """
    given = credentials or {"method": IMPLICIT}
    method = given.get("method", IMPLICIT)
    try:
        if method == ACCESS_TOKEN:
            return GivenToken(given["token"])
        if method == SERVICE_PRINCIPAL:
            from azure.identity import ClientSecretCredential

            return cast(
                "TokenCredential",
                ClientSecretCredential(
                    given["tenant_id"], given["client_id"], given["client_secret"], **_identity_options()
                ),
            )
    except KeyError as error:
        raise KitaruUsageError(
            f"the stack's credentials (method {method}) have no {error.args[0]}: create the stack anew."
        ) from None
    except ValueError as error:
        raise KitaruUsageError(f"the stack's credentials (method {method}) cannot be used: {error}.") from None
    if method != IMPLICIT:
        raise KitaruUsageError(f"unknown method {method!r:.60} of credentials for Azure.")
    from azure.identity import DefaultAzureCredential

    return cast(
        "TokenCredential",
        DefaultAzureCredential(
            exclude_visual_studio_code_credential=True,
            exclude_powershell_credential=True,
            process_timeout=20,
            **_identity_options(),
        ),
    )


def sign_in(credentials: Mapping[str, str] | None) -> None:
    """Ask for a token. Raises KitaruBackendError when there is none."""
    with azure_errors("signing in to Azure"):
        credential(credentials).get_token(f"{MANAGEMENT_URL}/.default")


def container_client(config: AzureBlobConfig) -> Any:
    """The client of a container of blobs; its account is the URI's, the config's, the environment's or the workspace's.

    Raises KitaruUsageError when nobody names an account, KitaruBackendError when the workspace cannot be read.
    """
    from azure.storage.blob import ContainerClient, LinearRetry

    from kitaru_azure.config import split_uri

    place = split_uri(config.uri)
    sizes = ("max_single_put_size", "max_block_size", "max_single_get_size", "max_chunk_get_size")
    options: dict[str, Any] = {
        **dict.fromkeys(sizes, _PART_BYTES),
        "connection_timeout": CLIENT_OPTIONS["connection_timeout"],
        "read_timeout": CLIENT_OPTIONS["read_timeout"],
        # A policy of its own, whose pauses begin with 15 s otherwise.
        "retry_policy": LinearRetry(backoff=1, retry_total=2, random_jitter_range=0),
    }
    account = place.account or config.account_name
    implicit = (config.credentials or {}).get("method", IMPLICIT) == IMPLICIT
    connection = os.environ.get("AZURE_STORAGE_CONNECTION_STRING") if implicit else None
    if connection and account in (None, _account_of(connection)):
        return ContainerClient.from_connection_string(connection, place.container, **options)
    if account is None and implicit:
        account = os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    if account is None and config.has_workspace:
        account = workspace_part(config, "storage_account")
    if account is None:
        raise KitaruUsageError(
            f"{config.uri} names no storage account: write it as abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/path, "
            "or set AZURE_STORAGE_ACCOUNT_NAME."
        )
    url = config.endpoint_url or f"https://{place.blob_host or f'{account}.blob.core.windows.net'}"
    return ContainerClient(url, place.container, cast("Any", credential(config.credentials)), **options)


def _account_of(connection: str) -> str | None:
    parts = dict(part.partition("=")[::2] for part in connection.split(";"))
    return parts.get("AccountName")


def registry_client(config: AzureRegistryConfig) -> ContainerRegistryClient:
    """The client of a container registry."""
    from azure.containerregistry import ContainerRegistryClient

    endpoint = config.endpoint_url or f"https://{config.uri.partition('/')[0]}"
    return ContainerRegistryClient(endpoint, credential(config.credentials), audience=config.audience, **CLIENT_OPTIONS)


def secret_client(config: AzureKeyVaultConfig) -> SecretClient:
    """The client of a vault, which is looked up in the AzureML workspace when the config names none."""
    from azure.keyvault.secrets import SecretClient

    url = config.vault_url or f"https://{workspace_part(config, 'key_vault')}.vault.azure.net"
    return SecretClient(
        url,
        cast("Any", credential(config.credentials)),
        verify_challenge_resource=config.verify_challenge_resource,
        **CLIENT_OPTIONS,
    )


def ingestion_client(config: AzureMonitorConfig) -> LogsIngestionClient:
    """The client that writes log lines."""
    from azure.monitor.ingestion import LogsIngestionClient

    return LogsIngestionClient(config.ingestion_endpoint, cast("Any", credential(config.credentials)), **CLIENT_OPTIONS)


def query_client(config: AzureMonitorConfig) -> LogsQueryClient:
    """The client that reads log lines."""
    from azure.monitor.query import LogsQueryClient

    return LogsQueryClient(
        cast("Any", credential(config.credentials)), endpoint=config.query_endpoint, **CLIENT_OPTIONS
    )


def workspace_parts(config: WorkspaceConfig) -> dict[str, str]:
    """Names of what belongs to an AzureML workspace: ``storage_account``, ``key_vault``, ``container_registry``.

    Raises KitaruBackendError when the workspace cannot be read.
    """
    from azure.mgmt.machinelearningservices import MachineLearningServicesMgmtClient

    assert config.subscription_id and config.resource_group and config.workspace
    url = config.management_url or MANAGEMENT_URL
    place = f"AzureML workspace {config.workspace} (resource group {config.resource_group})"
    with (
        azure_errors(
            f"reading the {place}",
            role="Reader",
            missing="there is no such workspace, resource group or subscription, or it cannot be seen",
        ),
        MachineLearningServicesMgmtClient(
            cast("Any", credential(config.credentials)),
            config.subscription_id,
            base_url=url,
            credential_scopes=[f"{url}/.default"],
            **CLIENT_OPTIONS,
        ) as client,
    ):
        found = client.workspaces.get(config.resource_group, config.workspace)
    parts = ("storage_account", "key_vault", "container_registry")
    ids = {part: getattr(found, part) for part in parts}
    return {part: text.rstrip("/").rpartition("/")[2] for part, text in ids.items() if text}


def workspace_part(config: WorkspaceConfig, part: str) -> str:
    """The name of one thing that belongs to an AzureML workspace. Raises KitaruBackendError when it has none."""
    found = workspace_parts(config).get(part)
    if not found:
        raise KitaruBackendError(
            f"the AzureML workspace {config.workspace} has no {part.replace('_', ' ')} of its own."
        )
    return found


def _identity_options() -> dict[str, Any]:
    options = dict(CLIENT_OPTIONS)
    authority = os.environ.get("AZURE_AUTHORITY_HOST", "")
    host = urlsplit(authority if "://" in authority else f"https://{authority}").hostname
    if host is not None and host not in _PUBLIC_AUTHORITIES:
        options["disable_instance_discovery"] = True
    return options


def _end_of(token: str) -> float | None:
    """When a token ends, as far as it says so; seconds since the epoch. It is not checked: that is the service's."""
    import base64
    import json

    try:
        _, payload, _ = token.split(".")
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None

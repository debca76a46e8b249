"""Google Cloud's services, from a component's settings: with bounded timeouts, and their own address if they have one.

Other than storage they are used through Google's API client library: gRPC cannot be used in a forked child.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from kitaru.stack.clients import PerThread
from kitaru_gcp.errors import gcp_errors

if TYPE_CHECKING:
    from kitaru_gcp.config import GcpConfig, GcsConfig

TIMEOUT_SECONDS = (5, 20)
_CALL_SECONDS = 15
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


def signed_in(config: GcpConfig) -> Any:
    """Google's credentials object. Raises KitaruBackendError when there are none, or they are no key."""
    import google.auth
    from google.oauth2 import service_account

    account: Any = service_account.Credentials
    text = (config.credentials or {}).get("service_account_json")
    with gcp_errors("signing in to Google Cloud"):
        if text is not None:
            return account.from_service_account_info(json.loads(text), scopes=_SCOPES)
        credentials, _ = google.auth.default(scopes=_SCOPES)
        return credentials


class Service:
    """One of Google's JSON interfaces, as its API client library knows it. Thread-safe, also in forked children."""

    def __init__(self, name: str, version: str, config: GcpConfig, *, location: str | None = None) -> None:
        self._name, self._version, self._config = name, version, config
        self._endpoint = config.endpoint_url
        if self._endpoint is None and location is not None:
            self._endpoint = f"https://{location}-{name}.googleapis.com"
        self._built = PerThread(self._build)  # its connection belongs to one thread

    def __call__(self) -> Any:
        """The interface. Raises KitaruBackendError when there are no credentials."""
        return self._built()

    def _build(self) -> Any:
        import google_auth_httplib2
        import httplib2
        from googleapiclient.discovery import build

        http = google_auth_httplib2.AuthorizedHttp(signed_in(self._config), http=httplib2.Http(timeout=_CALL_SECONDS))
        return build(
            self._name,
            self._version,
            http=http,
            client_options={"api_endpoint": f"{self._endpoint}/"} if self._endpoint is not None else None,
            static_discovery=True,
            cache_discovery=False,
        )


def execute(request: Any) -> dict[str, Any]:
    """What a request gives; what may pass is tried once more. Raises what the library raises."""
    try:
        found: dict[str, Any] = request.execute(num_retries=1)
    finally:
        request.http.close()  # the library leaves its connections to the garbage collector
    return found


def storage_client(config: GcsConfig) -> Any:
    """A client of Google Cloud Storage."""
    from google.cloud import storage

    options = {"api_endpoint": config.endpoint_url} if config.endpoint_url is not None else None
    # The project is only needed to make buckets, which this does not.
    return storage.Client(project="none", credentials=signed_in(config), client_options=options)

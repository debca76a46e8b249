"""Google Cloud's services, from a component's settings: with bounded timeouts, and their own address if they have one.

Their JSON interfaces are used through ``google-auth``: the gRPC libraries cannot be used in a forked child.
"""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

from kitaru_gcp.errors import GcpAnswerError, gcp_errors

if TYPE_CHECKING:
    from kitaru_gcp.config import GcpConfig, GcsConfig

TIMEOUT_SECONDS = (5, 20)
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
    """One of Google's JSON interfaces. Thread-safe; a forked child makes its own connection."""

    def __init__(self, address: str, config: GcpConfig) -> None:
        self._address = config.endpoint_url or address
        self._config = config
        self._local = threading.local()

    def call(self, method: str, path: str, body: Any = None, **query: str) -> dict[str, Any]:
        """The JSON that ``method path`` gives.

        Raises GcpAnswerError for an answer that is an error, and what google-auth and requests raise.
        """
        response = self._session().request(
            method,
            f"{self._address}/{path}",
            params={name: value for name, value in query.items() if value},
            json=body,
            timeout=TIMEOUT_SECONDS,
            max_allowed_time=60,
        )
        if response.status_code >= 400:
            raise GcpAnswerError(response.status_code, _code(response))
        found: dict[str, Any] = response.json() if response.content else {}
        return found

    def _session(self) -> Any:
        made = getattr(self._local, "made", None)
        if made is None or made[0] != os.getpid():
            from google.auth.transport import requests

            transport: Any = requests
            made = self._local.made = (os.getpid(), transport.AuthorizedSession(signed_in(self._config)))
        return made[1]


def _code(response: Any) -> str | None:
    try:
        code = response.json()["error"]["status"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) and code.replace("_", "").isalpha() else None


def storage_client(config: GcsConfig) -> Any:
    """A client of Google Cloud Storage."""
    from google.cloud import storage

    options = {"api_endpoint": config.endpoint_url} if config.endpoint_url is not None else None
    # The project is only needed to make buckets, which this does not.
    return storage.Client(project="none", credentials=signed_in(config), client_options=options)

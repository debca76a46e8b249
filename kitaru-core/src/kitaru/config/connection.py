"""Which server is talked to, and whether what is known of it is enough."""

from __future__ import annotations

from typing import Any

from kitaru.config import checks, environment
from kitaru.config import settings as configured
from kitaru.config.settings import Settings
from kitaru.config.values import ResolvedConnectionConfig
from kitaru.errors import KitaruUsageError


def resolve_connection_config(
    *,
    server_url: str | None = None,
    auth_token: str | None = None,
    project: str | None = None,
    validate_for_use: bool = False,
) -> ResolvedConnectionConfig:
    """Server, token and project in force, each by itself: what is given here, ``configure()``, environment, login.

    A project comes from no login: it is a label, never required.

    Raises KitaruUsageError for a value that cannot be used and, with ``validate_for_use``, for a server without a token
    or a token without a server.
    """
    settings = configured.resolve()
    url = checks.http_url("server_url", server_url) if server_url is not None else settings.server_url
    # A token never stands in an error: it is checked by hand.
    if auth_token is not None and (not isinstance(auth_token, str) or not auth_token.strip()):
        raise KitaruUsageError("auth_token must be a text that is not blank, or None.")
    token = auth_token.strip() if auth_token is not None else settings.auth_token
    resolved = ResolvedConnectionConfig(url, token, checks.text("project", project) or settings.project)
    if validate_for_use:
        validate(resolved)
    return resolved


def validate(connection: Settings | ResolvedConnectionConfig) -> None:
    """Raise KitaruUsageError for a server without a token, or a token without a server."""
    url, token = environment.KITARU_SERVER_URL_ENV, environment.KITARU_AUTH_TOKEN_ENV
    if connection.server_url is not None and connection.auth_token is None:
        raise KitaruUsageError(
            f"there is no token for the server {connection.server_url}: set {token}, or call "
            f"kitaru.connect({connection.server_url!r}, api_key=...). To work without it, `unset {url}`."
        )
    if connection.auth_token is not None and connection.server_url is None:
        raise KitaruUsageError(f"there is a token but no server it is for: set {url}, or `unset {token}`.")


def connection_document(settings: Settings) -> dict[str, Any]:
    """What the journal says of the connection: never the token."""
    return {"server_url": settings.server_url, "project": settings.project}

"""Signing in to a container registry as ``docker login`` does: https://distribution.github.io/distribution/spec/api/

The clouds' own libraries make the password; whether the registry itself can be reached and takes it is another question
(other hosts, other firewalls), which only the registry answers.
"""

from __future__ import annotations

import base64
import json
import re
import urllib.error
import urllib.request
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from kitaru.errors import KitaruBackendError

_SECONDS = 20.0
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')


class RegistryConfig(Protocol):
    """What the settings of a cloud's registry say of where it is."""

    uri: str
    registry_url: str | None
    endpoint_url: str | None


def _place(config: RegistryConfig) -> str | None:
    """Where the registry itself answers; None where only another endpoint of its cloud was named."""
    if config.registry_url is not None:
        return config.registry_url.rstrip("/")
    return None if config.endpoint_url is not None else f"https://{config.uri.partition('/')[0]}"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the password to somebody else."""

    def redirect_request(self, *_args: Any) -> None:
        return None


def sign_in(config: RegistryConfig, user: str, password: str) -> None:
    """Ask a registry whether it takes these credentials, within 20 seconds per answer.

    With an ``endpoint_url`` and no ``registry_url``, only the cloud's own interface was named, and nothing is asked.

    A registry that wants a token of its own (``WWW-Authenticate: Bearer``) gets one from where it says, over TLS
    where it is itself behind TLS: https://distribution.github.io/distribution/spec/auth/token/

    Raises:
        KitaruBackendError: it cannot be reached, is no registry, or refuses them. The text holds no credentials.
    """
    url = _place(config)
    if url is None:
        return
    doing = f"signing in to the container registry {config.uri.partition('/')[0]}"
    plain = base64.b64encode(f"{user}:{password}".encode()).decode()
    status, challenge, _ = _ask(f"{url}/v2/", f"Basic {plain}", doing)
    scheme, _, rest = challenge.partition(" ")
    if status == 401 and scheme.lower() == "bearer":
        token = _token(dict(_PARAMETER.findall(rest)), f"Basic {plain}", doing, secure=url.startswith("https:"))
        status, _, _ = _ask(f"{url}/v2/", f"Bearer {token}", doing)
    if status in (401, 403):
        raise KitaruBackendError(f"{doing} failed: it refused the credentials ({status}).")
    if status != 200:
        raise KitaruBackendError(
            f"{doing} failed: it answered {status} where a registry answers 200. Look at the name in its address."
        )


def _token(challenge: dict[str, str], authorization: str, doing: str, *, secure: bool) -> str:
    realm = challenge.get("realm", "")
    if urlsplit(realm).scheme not in (("https",) if secure else ("https", "http")):
        raise KitaruBackendError(f"{doing} failed: it wants the password sent to {realm or 'nowhere'}, not over TLS.")
    asked = urlencode([(name, challenge[name]) for name in ("service", "scope") if name in challenge])
    status, _, body = _ask(f"{realm}?{asked}" if asked else realm, authorization, doing)
    if status != 200:
        raise KitaruBackendError(f"{doing} failed: {urlsplit(realm).netloc} refused the credentials ({status}).")
    try:
        answer = json.loads(body)
        return str(answer.get("token") or answer["access_token"])
    except (ValueError, KeyError, AttributeError):
        raise KitaruBackendError(f"{doing} failed: {urlsplit(realm).netloc} gave no token.") from None


def _ask(url: str, authorization: str, doing: str) -> tuple[int, str, bytes]:
    """The status, the challenge and the body of an answer."""
    opener = urllib.request.build_opener(_NoRedirects)
    headers = {"Authorization": authorization, "Accept": "application/json"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - http(s): checked for the realm, set elsewhere
    try:
        with opener.open(request, timeout=_SECONDS) as answer:
            return answer.status, "", answer.read(1 << 20)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers.get("WWW-Authenticate", ""), b""
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise KitaruBackendError(
            f"{doing} failed: no answer from {urlsplit(url).netloc} ({reason}). Look at its address, the network and "
            "the firewall."
        ) from None

"""``connect()``: tells this installation which server to use from now on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kitaru.config import checks, files, paths
from kitaru.config.overrides import configure
from kitaru.config.settings import LOGIN
from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError

_TIMEOUT_SECONDS = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


def connect(
    server_url: str,
    *,
    api_key: str | None = None,
    refresh: bool = False,
    project: str | None = None,
    no_verify_ssl: bool = False,
    ssl_ca_cert: str | os.PathLike[str] | None = None,
    cloud_api_url: str | None = None,
    timeout: float | None = None,
) -> None:
    """Use a Kitaru server from now on: it is asked once whether it answers, then address and token are kept.

    They are kept in this user's configuration file (mode 0600). Where the server does not answer, nothing is changed.

    Args:
        api_key: the token; default: the one that is kept for this address.
        refresh: do not use the kept token: without ``api_key``, none is kept any more.
        project: label of this process's executions, as ``configure(project=...)``; it is not kept.
        no_verify_ssl: do not check the server's certificate.
        ssl_ca_cert: file of certificates to check it against; stands above ``no_verify_ssl``.
        timeout: seconds the server has for its answer; default 10.

    Raises:
        KitaruUsageError: an argument cannot be used.
        KitaruBackendError: the server does not answer, or refuses the token; the text says why.
        KitaruFeatureNotAvailableError: ``cloud_api_url`` is given: managed servers are not supported.
        KitaruConfigError: the configuration file cannot be used or written.
    """
    url = checks.http_url("server_url", server_url)
    label = checks.text("project", project)
    seconds = _seconds(timeout)
    if cloud_api_url is not None:
        checks.http_url("cloud_api_url", cloud_api_url)
        raise KitaruFeatureNotAvailableError(
            "managed servers are not part of this version of Kitaru: leave cloud_api_url out, and pass the token of "
            "the server as api_key=."
        )
    if api_key is not None and (not isinstance(api_key, str) or not api_key.strip()):
        raise KitaruUsageError("api_key must be a text that is not blank, or left out.")
    verify: bool | str = _certificates(ssl_ca_cert) if ssl_ca_cert is not None else not no_verify_ssl
    directory = paths.config_directory()
    token = api_key.strip() if api_key is not None else None
    if token is None and not refresh:
        kept = files.section(directory, LOGIN)
        token = kept.get("auth_token") if kept.get("server_url") == url else None
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        # Checked here, because the error for such a header would quote it.
        raise KitaruUsageError("api_key has characters that a token cannot have: spaces, line ends, or beyond ASCII.")
    _probe(url, token, verify, seconds)
    login: dict[str, Any] = {"server_url": url}
    if token is not None:
        login["auth_token"] = token
    if verify is not True:
        login["verify_ssl"] = verify

    def apply(content: dict[str, Any]) -> None:
        content[LOGIN] = login

    files.update(directory, apply)
    if label is not None:
        configure(project=label)


def login_to_server(server: str, **options: Any) -> None:
    """:func:`connect`, for what a person has typed. Workspaces are names of managed servers, which need a URL here.

    Raises KitaruUsageError for a host without ``http(s)://``, otherwise what :func:`connect` raises.
    """
    target = checks.text("server", server)
    if target is None:
        raise KitaruUsageError("server is missing: give an address like https://kitaru.example.com.")
    if "://" not in target:
        if target == "localhost" or any(mark in target for mark in ".:/"):
            scheme = "http" if target.partition("/")[0].partition(":")[0] in _LOOPBACK else "https"
            raise KitaruUsageError(
                f"{target!r} looks like a host without http:// or https://. Write the whole address, "
                f"`{scheme}://{target}`, or the name of a workspace."
            )
        raise KitaruFeatureNotAvailableError(
            f"{target!r} would be a workspace of a managed server, which this version of Kitaru does not know. "
            "Give the server's address: https://..."
        )
    connect(target, **options)


def forget_login() -> bool:
    """Use no server any more, and remove the kept token; gives whether there was anything to forget."""
    directory = paths.config_directory()
    if files.read(directory).get(LOGIN) is None:
        return False
    files.update(directory, lambda content: content.pop(LOGIN, None))
    return True


def _seconds(timeout: float | None) -> float:
    if timeout is None:
        return _TIMEOUT_SECONDS
    if not isinstance(timeout, int | float) or isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise KitaruUsageError(f"timeout={timeout!r} must be a number of seconds above 0.")
    return float(timeout)


def _certificates(path: str | os.PathLike[str]) -> str:
    file = Path(path).expanduser().absolute()
    if not file.is_file():
        raise KitaruUsageError(f"ssl_ca_cert={str(path)!r}: there is no such file.")
    return str(file)


def _probe(url: str, token: str | None, verify: bool | str, seconds: float) -> None:
    """Ask the server for anything at all. Redirects are not followed: the token belongs to this address only."""
    import http.client
    import ssl

    parts = urlsplit(url)
    headers = {"User-Agent": "kitaru", **({"Authorization": f"Bearer {token}"} if token is not None else {})}
    made: http.client.HTTPConnection
    try:
        if parts.scheme == "https":
            context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
            if verify is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            made = http.client.HTTPSConnection(parts.netloc, timeout=seconds, context=context)
        else:
            made = http.client.HTTPConnection(parts.netloc, timeout=seconds)
        try:
            made.request("GET", parts.path or "/", headers=headers)
            status = made.getresponse().status
        finally:
            made.close()
    except ssl.SSLCertVerificationError as error:
        raise KitaruBackendError(
            f"the certificate of {url} is not trusted: {error.verify_message}. Pass ssl_ca_cert='FILE' with the one "
            "that is, or no_verify_ssl=True where you know the network."
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise KitaruBackendError(f"the server {url} cannot be reached: {reason}. Nothing was changed.") from None
    if status in (401, 403):
        what = "refuses the token" if token is not None else "wants a token: pass api_key="
        raise KitaruBackendError(f"the server {url} {what} (status {status}). Nothing was changed.")
    if status >= 500 or status in (301, 302, 303, 307, 308):
        hint = "give the address it redirects to" if status < 400 else "look at the server's own log"
        raise KitaruBackendError(f"the server {url} answers with status {status}: {hint}. Nothing was changed.")

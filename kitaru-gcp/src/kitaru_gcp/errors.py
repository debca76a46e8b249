"""What Google's libraries and services answer, as a KitaruBackendError with the reason, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from kitaru.errors import KitaruBackendError, KitaruError

SIGN_IN = (
    "sign in with `gcloud auth application-default login`, or give the stack credentials: "
    "`gcp-service-account:/path/key.json`"
)


@contextmanager
def gcp_errors(doing: str, *, missing: str = "it is not there") -> Iterator[None]:
    """Turn what Google's libraries raise inside into a KitaruBackendError ``"<doing> failed: <reason>"``.

    ``missing``: what is not there when the answer is 404, and what to do.
    """
    try:
        yield
    except KitaruError:
        raise
    except Exception as error:
        # The library's own text may quote headers and bodies: it is not chained.
        raise backend_error(error, doing, missing=missing) from None


def backend_error(error: BaseException, doing: str, *, missing: str = "it is not there") -> KitaruBackendError:
    """The error for a failure of one of Google's libraries."""
    return KitaruBackendError(f"{doing} failed: {reason_of(error, missing=missing)}.")


def status_of(error: BaseException) -> int | None:
    """HTTP's status of a service's answer; None when it has not answered."""
    for found in (getattr(error, "status_code", None), getattr(error, "code", None)):
        if isinstance(found, int):
            return int(found)
    return None


def code_of(error: BaseException) -> str | None:
    """Google's own code of a service's answer, such as ``NOT_FOUND``; None when it has none."""
    try:
        code = json.loads(getattr(error, "content", b""))["error"]["status"]
    except (ValueError, KeyError, TypeError):
        return None
    return code if isinstance(code, str) and code.replace("_", "").isalpha() else None


def reason_of(error: BaseException, *, missing: str = "it is not there") -> str:
    """Why it failed, for people."""
    chain = [seen for seen in (error, error.__cause__, error.__context__) if seen is not None]
    names = {one.__name__ for seen in chain for one in type(seen).__mro__}
    if "DefaultCredentialsError" in names:
        return f"no credentials were found; {SIGN_IN}"
    if {"RefreshError", "MalformedError", "GoogleAuthError"} & names and "TransportError" not in names:
        return f"the credentials were refused, or have expired; {SIGN_IN}"
    status = status_of(error)
    if status is not None:
        return _answer(status, code_of(error), missing)
    if "FileNotFoundError" in names:
        return _answer(404, None, missing)
    if {"Timeout", "TimeoutError"} & names:
        return "no answer in time. Look at the address, the network and the firewall"
    if {
        "ConnectionError",
        "ServerNotFoundError",
        "TransportError",
        "OSError",
    } & names and "PermissionError" not in names:
        return "no answer from its address. Look at the name in the address, the network and the firewall"
    return type(error).__name__


def _answer(status: int, code: str | None, missing: str) -> str:
    shown = f"{status} {code}" if code is not None else str(status)
    if status == 401:
        return f"the credentials were refused, or have expired ({shown}); {SIGN_IN}"
    if status == 403:
        return f"permission was denied ({shown}): look at the roles of who signs in, and whether the API is enabled"
    if status == 404:
        return f"{missing} ({shown})"
    if status == 429:
        return f"too many requests ({shown}): try again later"
    return f"Google Cloud answered {shown}"

"""What Google's libraries and services answer, as a KitaruBackendError with the reason, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kitaru.errors import KitaruBackendError, KitaruError

SIGN_IN = (
    "sign in with `gcloud auth application-default login`, or give the stack credentials: "
    "`gcp-service-account:/path/key.json`"
)


class GcpAnswerError(Exception):
    """A service answered with an error: ``status`` is HTTP's, ``code`` Google's own, such as ``NOT_FOUND``."""

    def __init__(self, status: int, code: str | None) -> None:
        super().__init__(f"{status} {code or ''}".strip())
        self.status = status
        self.code = code


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
    status: Any = getattr(error, "status", None)
    if status is None:
        status = getattr(error, "code", None)
    try:
        return int(status) if status is not None else None
    except (TypeError, ValueError):
        return None


def reason_of(error: BaseException, *, missing: str = "it is not there") -> str:
    """Why it failed, for people."""
    names = {one.__name__ for seen in (error, error.__cause__, error.__context__) if seen for one in type(seen).__mro__}
    if "DefaultCredentialsError" in names:
        return f"no credentials were found; {SIGN_IN}"
    if {"RefreshError", "MalformedError", "GoogleAuthError"} & names and "TransportError" not in names:
        return f"the credentials were refused, or have expired; {SIGN_IN}"
    status = status_of(error)
    if status is not None:
        return _answer(status, getattr(error, "code", None), missing)
    if "FileNotFoundError" in names:
        return _answer(404, None, missing)
    if {"Timeout", "TimeoutError", "FSTimeoutError"} & names:
        return "no answer in time. Look at the address, the network and the firewall"
    if {"ConnectionError", "ClientError", "TransportError", "OSError"} & names and "PermissionError" not in names:
        return "no answer from its address. Look at the name in the address, the network and the firewall"
    return type(error).__name__


def _answer(status: int, code: Any, missing: str) -> str:
    shown = f"{status} {code}" if isinstance(code, str) else str(status)
    if status == 401:
        return f"the credentials were refused, or have expired ({shown}); {SIGN_IN}"
    if status == 403:
        return f"permission was denied ({shown}): look at the roles of who signs in, and whether the API is enabled"
    if status == 404:
        return f"{missing} ({shown})"
    if status == 429:
        return f"too many requests ({shown}): try again later"
    return f"Google Cloud answered {shown}"

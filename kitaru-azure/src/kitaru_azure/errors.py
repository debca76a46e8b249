"""What Azure's libraries raise, as a KitaruBackendError with the reason and the next step, and never a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kitaru.errors import KitaruBackendError

SIGN_IN = "sign in with `az login`, or give the stack credentials: `azure-service-principal:TENANT:CLIENT:SECRET`"
# What the directory says, as far as a person can do something about it.
_DIRECTORY_REASONS = {
    "AADSTS7000215": "the client secret is not valid",
    "AADSTS7000222": "the client secret has expired: make a new one",
    "AADSTS700016": "there is no such client in this tenant",
    "AADSTS90002": "there is no such tenant",
    "AADSTS900023": "that is no tenant's name",
    "AADSTS700082": "the sign-in has expired: sign in again",
    "AADSTS50173": "the sign-in was revoked: sign in again",
}
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]{0,60}")


@contextmanager
def azure_errors(doing: str, *, role: str | None = None, missing: str | None = None) -> Iterator[None]:
    """Turn what Azure's libraries raise inside into a KitaruBackendError ``"<doing> failed: <reason>"``.

    Args:
        doing: what is tried, and on what: "writing to the container artifacts of account".
        role: the role that is needed for it, named when permission is denied.
        missing: what is not there when the answer is 404, and what to do.
    """
    from azure.core.exceptions import AzureError

    try:
        yield
    except AzureError as error:
        reason = reason_of(error, role=role, missing=missing)
        # The library's own text may quote headers and bodies: it is not chained.
        raise KitaruBackendError(f"{doing} failed: {reason}.") from None


def reason_of(error: BaseException, *, role: str | None = None, missing: str | None = None) -> str:
    """Why it failed, for people: of an error of Azure's libraries, or one that such an error caused."""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    if isinstance(error, HttpResponseError) and error.status_code is not None:
        return _answer(error.status_code, code_of(error), role, missing)
    if isinstance(error, ClientAuthenticationError):
        return _sign_in(error)
    if isinstance(error, (ServiceRequestError, ServiceResponseError)):
        return (
            f"no answer from its address ({_network_reason(error)}). Look at the name in the address, the network "
            "and the firewall"
        )
    return f"{type(error).__name__}"


def code_of(error: BaseException) -> str | None:
    """The service's own code of an error, such as ``ContainerNotFound``; None when it has none."""
    for found in (getattr(error, "error_code", None), getattr(getattr(error, "error", None), "code", None)):
        text = getattr(found, "value", found)
        if isinstance(text, str) and _CODE.fullmatch(text):
            return text
    return None


def _answer(status: int, code: str | None, role: str | None, missing: str | None) -> str:
    shown = f"{status} {code}" if code else str(status)
    if status == 401:
        return (
            f"the credentials were refused ({shown}): they have expired, or are for another service or tenant; "
            f"{SIGN_IN}"
        )
    if status == 403:
        needed = f": it needs the role `{role}`" if role else ""
        return f"permission was denied ({shown}){needed}; a firewall or the wrong key is answered like this, too"
    if status == 404:
        return f"{missing or 'it is not there'} ({shown})"
    if status == 429:
        return f"too many requests ({shown}): try again later"
    return f"Azure answered {shown}"


def _sign_in(error: BaseException) -> str:
    text = str(error)
    found = re.search(r"AADSTS\d+", text)
    if found:
        reason = _DIRECTORY_REASONS.get(found[0], "the directory refused the sign-in")
        return f"signing in failed: {reason} ({found[0]}); {SIGN_IN}"
    if type(error).__name__ == "ExpiredTokenError":
        return f"{text}; {SIGN_IN}"
    return f"no credentials that work were found; {SIGN_IN}"


def _network_reason(error: BaseException) -> str:
    inner: BaseException = getattr(error, "inner_exception", None) or error
    text = f"{type(inner).__name__} {inner}".lower()
    for sign, reason in (
        ("certificate", "its certificate is not trusted"),
        ("timed out", "timed out"),
        ("timeout", "timed out"),
        ("refused", "connection refused"),
        ("resolve", "unknown host name"),
        ("getaddrinfo", "unknown host name"),
        ("name or service not known", "unknown host name"),
        ("reset", "connection closed"),
        ("aborted", "connection closed"),
    ):
        if sign in text:
            return reason
    return type(inner).__name__

"""What AWS's libraries raise, as a KitaruBackendError with the reason and the next step, and never a secret."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from kitaru.errors import KitaruBackendError, KitaruError

SIGN_IN = "sign in with `aws configure` or `aws sso login`, or give the stack credentials: `aws-access-keys:ID:SECRET`"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_REFUSED = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidToken",
    "AuthFailure",
    "IncompleteSignature",
    "MissingAuthenticationToken",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "403", "Forbidden", "AllAccessDisabled", "UnauthorizedOperation"}
_MISSING = {
    "NoSuchBucket": "there is no such bucket: make it first, or look at its name",
    "ResourceNotFoundException": "it is not there",
    "RepositoryNotFoundException": "there is no such repository: make it first, or look at its name",
    "ValidationException": "there is no such thing, or its name does not fit",
    "NoSuchEntity": "there is no such role",
    "404": "it is not there",
}
_BUSY = {"Throttling", "ThrottlingException", "SlowDown", "TooManyRequestsException", "RequestLimitExceeded"}


@contextmanager
def aws_errors(doing: str) -> Iterator[None]:
    """Turn what AWS's libraries raise inside into a KitaruBackendError ``"<doing> failed: <reason>"``."""
    try:
        yield
    except KitaruError:
        raise
    except Exception as error:
        # The library's own text may quote headers and bodies: it is not chained.
        raise backend_error(error, doing) from None


def backend_error(error: BaseException, doing: str) -> KitaruBackendError:
    """The error for a failure of one of AWS's libraries."""
    return KitaruBackendError(f"{doing} failed: {reason_of(error)}.")


def code_of(error: BaseException) -> str | None:
    """The service's own code, such as ``NoSuchBucket``, of an error or of what caused it; None when it has none."""
    seen: BaseException | None = error
    while seen is not None:
        response = getattr(seen, "response", None)
        if isinstance(response, dict):
            code = response.get("Error", {}).get("Code")
            return str(code) if code else None
        seen = seen.__cause__
    return None


def reason_of(error: BaseException) -> str:
    """Why it failed, for people."""
    code = code_of(error)
    if code is not None:
        return _answer(code)
    names = [one.__name__ for one in type(error).__mro__]
    cause = error.__cause__
    if cause is not None:
        names += [one.__name__ for one in type(cause).__mro__]
    if "ProfileNotFound" in names:
        return f"there is no such profile in the AWS configuration; {SIGN_IN}"
    if {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"} & set(names):
        return f"no credentials were found; {SIGN_IN}"
    if {"UnauthorizedSSOTokenError", "SSOTokenLoadError", "TokenRetrievalError"} & set(names):
        return f"the sign-in has expired; {SIGN_IN}"
    if "NoRegionError" in names:
        return "no region is set: give the stack one with `--region`, or set AWS_DEFAULT_REGION"
    if {"ConnectTimeoutError", "ReadTimeoutError", "TimeoutError", "FSTimeoutError"} & set(names):
        return "no answer in time. Look at the address, the network and the firewall"
    if {"HTTPClientError", "ConnectionError", "OSError"} & set(names) and "PermissionError" not in names:
        return "no answer from its address. Look at the name in the address, the network and the firewall"
    if "PermissionError" in names:
        return _answer("AccessDenied")
    return type(error).__name__


def _answer(code: str) -> str:
    if code in _EXPIRED:
        return f"the credentials have expired ({code}); {SIGN_IN}"
    if code in _REFUSED:
        return f"the credentials were refused ({code}); {SIGN_IN}"
    if code in _DENIED:
        return f"permission was denied ({code}): look at the policy of who signs in"
    if code in _MISSING:
        return f"{_MISSING[code]} ({code})"
    if code in _BUSY:
        return f"too many requests ({code}): try again later"
    return f"AWS answered {code}"

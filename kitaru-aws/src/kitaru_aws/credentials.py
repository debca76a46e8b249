"""What ``--credentials`` takes for AWS."""

from __future__ import annotations

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import Credentials, split_method

SECRET_KEY = "secret-key"  # noqa: S105  the name of a method
STS_TOKEN = "sts-token"  # noqa: S105  the name of a method

_FORMS = {
    "aws-profile": "aws-profile:NAME",
    "aws-access-keys": "aws-access-keys:ID:SECRET",
    "aws-access-key": "aws-access-keys:ID:SECRET",
    "aws-session-token": "aws-session-token:ID:SECRET:TOKEN",
}


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    found = split_method(text, "AWS", _FORMS)
    if found is None:
        return Credentials()
    method, value = found
    if method == "aws-profile":
        if not value:
            raise KitaruUsageError(f"`{method}` needs a name: use `{_FORMS[method]}`.")
        return Credentials(public={"profile_name": value})
    if method == "aws-session-token":
        key, secret, token = _parts(method, value, 3)
        return Credentials(
            STS_TOKEN, public={"access_key_id": key}, secret={"secret_access_key": secret, "session_token": token}
        )
    key, secret = _parts(method, value, 2)
    return Credentials(SECRET_KEY, public={"access_key_id": key}, secret={"secret_access_key": secret})


def _parts(method: str, value: str, count: int) -> list[str]:
    parts = [part.strip() for part in value.split(":", count - 1)]
    if len(parts) != count or not all(parts):
        raise KitaruUsageError(f"`{method}` needs all {count} parts: use `{_FORMS[method]}`.")
    return parts

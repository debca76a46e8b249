"""What ``--credentials`` takes for AWS."""

from __future__ import annotations

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import IMPLICIT, Credentials

SECRET_KEY = "secret-key"  # noqa: S105  the name of a method
STS_TOKEN = "sts-token"  # noqa: S105  the name of a method

_PROFILE_FORM = "aws-profile:NAME"
_KEYS_FORM = "aws-access-keys:ID:SECRET"
_TOKEN_FORM = "aws-session-token:ID:SECRET:TOKEN"  # noqa: S105  a form
_FORMS = f"`{IMPLICIT}`, `{_PROFILE_FORM}`, `{_KEYS_FORM}` or `{_TOKEN_FORM}`"


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    stripped = (text or "").strip()
    if not stripped or stripped.lower() == IMPLICIT:
        return Credentials()
    method, separator, value = stripped.partition(":")
    if not separator:
        raise KitaruUsageError(f"these credentials are none for AWS: use {_FORMS}.")
    method = method.strip().lower()
    if method == "aws-profile":
        if not value.strip():
            raise KitaruUsageError(f"`aws-profile` needs a name: use `{_PROFILE_FORM}`.")
        return Credentials(public={"profile_name": value.strip()})
    if method in ("aws-access-keys", "aws-access-key"):
        key, secret = _parts(method, value, 2, _KEYS_FORM)
        return Credentials(SECRET_KEY, public={"access_key_id": key}, secret={"secret_access_key": secret})
    if method == "aws-session-token":
        key, secret, token = _parts(method, value, 3, _TOKEN_FORM)
        return Credentials(
            STS_TOKEN, public={"access_key_id": key}, secret={"secret_access_key": secret, "session_token": token}
        )
    raise KitaruUsageError(f"unknown credentials method `{method:.40}` for AWS: use {_FORMS}.")


def _parts(method: str, value: str, count: int, form: str) -> list[str]:
    parts = [part.strip() for part in value.split(":", count - 1)]
    if len(parts) != count or not all(parts):
        raise KitaruUsageError(f"`{method}` needs all {count} parts: use `{form}`.")
    return parts

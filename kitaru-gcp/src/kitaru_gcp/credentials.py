"""What ``--credentials`` takes for Google Cloud."""

from __future__ import annotations

import json
from pathlib import Path

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import IMPLICIT, Credentials

SERVICE_ACCOUNT = "service-account"

_ACCOUNT_FORM = "gcp-service-account:/path/key.json"
_FORMS = f"`{IMPLICIT}` or `{_ACCOUNT_FORM}`"


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    A service account's key is read from its file here and now: the file is not needed afterwards.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    stripped = (text or "").strip()
    if not stripped or stripped.lower() == IMPLICIT:
        return Credentials()
    method, separator, value = stripped.partition(":")
    if not separator:
        raise KitaruUsageError(f"these credentials are none for Google Cloud: use {_FORMS}.")
    method = method.strip().lower()
    if method == "gcp-service-account":
        return _service_account(value.strip())
    raise KitaruUsageError(f"unknown credentials method `{method:.40}` for Google Cloud: use {_FORMS}.")


def _service_account(path: str) -> Credentials:
    if not path:
        raise KitaruUsageError(f"`gcp-service-account` needs the path of a key: use `{_ACCOUNT_FORM}`.")
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, RuntimeError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise KitaruUsageError(f"the key of the service account cannot be read: {reason}.") from None
    try:
        email = json.loads(text)["client_email"]
    except (ValueError, KeyError, TypeError):
        raise KitaruUsageError("the file is no key of a service account: it is JSON with `client_email`.") from None
    return Credentials(SERVICE_ACCOUNT, public={"client_email": str(email)}, secret={"service_account_json": text})

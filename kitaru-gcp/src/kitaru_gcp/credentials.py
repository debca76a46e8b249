"""What ``--credentials`` takes for Google Cloud."""

from __future__ import annotations

import json
from pathlib import Path

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import Credentials, split_method

SERVICE_ACCOUNT = "service-account"

_FORM = "gcp-service-account:/path/key.json"


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    A service account's key is read from its file here and now: the file is not needed afterwards.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    found = split_method(text, "Google Cloud", {"gcp-service-account": _FORM})
    return Credentials() if found is None else _service_account(found[1])


def _service_account(path: str) -> Credentials:
    if not path:
        raise KitaruUsageError(f"`gcp-service-account` needs the path of a key: use `{_FORM}`.")
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

"""What ``--credentials`` takes for Azure."""

from __future__ import annotations

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import Credentials, split_method

SERVICE_PRINCIPAL = "service-principal"
ACCESS_TOKEN = "access-token"  # noqa: S105  the name of a method

_FORMS = {
    "azure-service-principal": "azure-service-principal:TENANT:CLIENT:SECRET",
    "azure-access-token": "azure-access-token:TOKEN",
}


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    found = split_method(text, "Azure", _FORMS)
    if found is None:
        return Credentials()
    method, value = found
    if method == "azure-access-token":
        if not value:
            raise KitaruUsageError(f"`{method}` needs a token: use `{_FORMS[method]}`.")
        return Credentials(ACCESS_TOKEN, secret={"token": value})
    parts = [part.strip() for part in value.split(":", 2)]
    if len(parts) != 3 or not all(parts):
        raise KitaruUsageError(f"`{method}` needs a tenant, a client and a secret: use `{_FORMS[method]}`.")
    tenant, client, secret = parts
    return Credentials(
        SERVICE_PRINCIPAL, public={"tenant_id": tenant, "client_id": client}, secret={"client_secret": secret}
    )

"""What ``--credentials`` takes for Azure."""

from __future__ import annotations

from kitaru.errors import KitaruUsageError
from kitaru.stack.credentials import IMPLICIT, Credentials

SERVICE_PRINCIPAL = "service-principal"
ACCESS_TOKEN = "access-token"  # noqa: S105  the name of a method

_PRINCIPAL_FORM = "azure-service-principal:TENANT:CLIENT:SECRET"
_TOKEN_FORM = "azure-access-token:TOKEN"  # noqa: S105  a form
_FORMS = f"`{IMPLICIT}`, `{_PRINCIPAL_FORM}` or `{_TOKEN_FORM}`"


def parse_credentials(text: str | None) -> Credentials:
    """Credentials of ``METHOD:VALUE``; None and blank stand for those of the environment.

    Raises KitaruUsageError, which quotes no value: anything may be the secret.
    """
    stripped = (text or "").strip()
    if not stripped or stripped.lower() == IMPLICIT:
        return Credentials()
    method, separator, value = stripped.partition(":")
    if not separator:
        raise KitaruUsageError(f"these credentials are none for Azure: use {_FORMS}.")
    method = method.strip().lower()
    if method == "azure-service-principal":
        return _service_principal(value)
    if method == "azure-access-token":
        if not value.strip():
            raise KitaruUsageError(f"`azure-access-token` needs a token: use `{_TOKEN_FORM}`.")
        return Credentials(ACCESS_TOKEN, secret={"token": value.strip()})
    raise KitaruUsageError(f"unknown credentials method `{method:.40}` for Azure: use {_FORMS}.")


def _service_principal(value: str) -> Credentials:
    parts = [part.strip() for part in value.split(":", 2)]
    if len(parts) != 3 or not all(parts):
        raise KitaruUsageError(
            f"`azure-service-principal` needs a tenant, a client and a secret: use `{_PRINCIPAL_FORM}`."
        )
    tenant, client, secret = parts
    return Credentials(
        SERVICE_PRINCIPAL, public={"tenant_id": tenant, "client_id": client}, secret={"client_secret": secret}
    )

"""Azure Key Vault."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError
from kitaru.stack.clients import PerProcess
from kitaru.stack.components import check_secret_name, check_secret_values
from kitaru_azure.errors import azure_errors
from kitaru_azure.session import secret_client

if TYPE_CHECKING:
    from kitaru_azure.config import AzureKeyVaultConfig

_NAME_MAX = 127
_VALUE_BYTES_MAX = 25_000
_TAG = "kitaru-name"
_CONTENT_TYPE = "application/json"
_ROLE = "Key Vault Secrets Officer"
_SETTLE_SECONDS = 40.0
_PLAIN = re.compile(r"[a-z0-9]")


class AzureKeyVaultSecretStore:
    """Keeps a secret's values as one JSON object. See :class:`kitaru.stack.components.SecretStore` for the contract.

    A secret's own name is its tag ``kitaru-name``; the name it has in the vault is :func:`vault_name` of it. What has
    no such tag, or another name than that, is not Kitaru's and is left alone.
    """

    def __init__(self, config: AzureKeyVaultConfig) -> None:
        self._config = config
        self._client = PerProcess(lambda: secret_client(config))

    def get(self, name: str) -> dict[str, str]:
        from azure.core.exceptions import ResourceNotFoundError

        place = self._place(name)
        with self._errors(f"reading the secret `{name}`"):
            try:
                found = self._client().get_secret(place)
            except ResourceNotFoundError:
                raise self._missing(name) from None
        if not self._is_ours(found.properties, name):
            raise self._missing(name)
        try:
            values = json.loads(found.value or "")
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise KitaruBackendError(
                f"the secret `{name}` of {self._where} does not hold values any more. Set it anew: "
                f"`kitaru secrets set {name} KEY=value`."
            )
        return values

    def set(self, name: str, values: Mapping[str, str]) -> None:
        place = self._place(name)
        text = json.dumps(check_secret_values(values))
        if len(text) > _VALUE_BYTES_MAX:
            raise KitaruUsageError(
                f"the secret `{name}` is too large for Key Vault: {len(text)} bytes of at most {_VALUE_BYTES_MAX}."
            )
        with self._errors(f"writing the secret `{name}`"):
            self._set(place, text, name)

    def list(self) -> list[str]:
        with self._errors("listing the secrets"):
            found = [
                (properties.tags or {}).get(_TAG)
                for properties in self._client().list_properties_of_secrets()
                if self._is_ours(properties)
            ]
        return sorted(name for name in found if name is not None)

    def delete(self, name: str) -> None:
        from azure.core.exceptions import ResourceNotFoundError

        place = self._place(name)
        with self._errors(f"removing the secret `{name}`"):
            try:
                if not self._is_ours(self._client().get_secret(place).properties, name):
                    raise self._missing(name)
                self._client().begin_delete_secret(place, _polling_interval=0.5).wait(_SETTLE_SECONDS)
            except ResourceNotFoundError:
                raise self._missing(name) from None

    # -- parts --------------------------------------------------------------------------------------------------

    def _set(self, place: str, text: str, name: str) -> None:
        """Write it, when the vault has done with an earlier secret of this name: a deleted one keeps its name."""
        from azure.core.exceptions import HttpResponseError

        client, deadline = self._client(), time.monotonic() + _SETTLE_SECONDS
        while True:
            try:
                client.set_secret(place, text, content_type=_CONTENT_TYPE, tags={_TAG: name})
                return
            except HttpResponseError as error:
                if error.status_code != 409 or time.monotonic() > deadline:
                    raise
            try:
                client.begin_recover_deleted_secret(place, _polling_interval=0.5).wait(_SETTLE_SECONDS)
            except HttpResponseError as error:
                # It is being deleted or recovered just now, by somebody else maybe: look again.
                if error.status_code not in (404, 409):
                    raise
                time.sleep(0.2)

    def _errors(self, doing: str) -> Any:
        return azure_errors(f"{doing} of {self._where}", role=_ROLE, missing="there is no such vault or secret")

    @property
    def _where(self) -> str:
        return (
            f"the key vault {self._config.vault_url}"
            if self._config.vault_url
            else f"the AzureML workspace {self._config.workspace}'s key vault"
        )

    def _place(self, name: str) -> str:
        return vault_name(check_secret_name(name), prefix=self._config.prefix)

    def _is_ours(self, properties: Any, name: str | None = None) -> bool:
        tag = (properties.tags or {}).get(_TAG)
        if tag is None or (name is not None and tag != name):
            return False
        return bool(properties.name == vault_name(tag, prefix=self._config.prefix))

    def _missing(self, name: str) -> KitaruNotFoundError:
        return KitaruNotFoundError(
            f"there is no secret `{name}` in {self._where}. `kitaru secrets set {name} KEY=value` makes it."
        )


def vault_name(name: str, *, prefix: str = "") -> str:
    """The name in the vault of a secret: there are only letters, digits and dashes, and no difference in case.

    Lower-case letters and digits stay; of everything else a dash and two hexadecimal digits are made (``my.key``:
    ``my-2ekey``), see :func:`name_of`. A name that would be too long is cut, and ``--`` and a digest take the place of
    the rest; that one cannot be turned back.
    """
    made = "".join(letter if _PLAIN.fullmatch(letter) else f"-{ord(letter):02x}" for letter in name)
    room = _NAME_MAX - len(prefix)
    if len(made) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:40]
        made = f"{made[: room - len(digest) - 2]}--{digest}"
    return prefix + made


def name_of(vault: str, *, prefix: str = "") -> str | None:
    """The secret's name that :func:`vault_name` made this of; None for one it did not, or had to cut."""
    if not vault.startswith(prefix):
        return None
    name = re.sub(r"-([0-9a-f]{2})", lambda found: chr(int(found[1], 16)), vault.removeprefix(prefix))
    return name if vault_name(name, prefix=prefix) == vault else None


__all__ = ["AzureKeyVaultSecretStore", "name_of", "vault_name"]

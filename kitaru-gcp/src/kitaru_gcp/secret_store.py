"""Google Secret Manager."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError
from kitaru.stack.components import check_secret_name, check_secret_values
from kitaru_gcp.errors import gcp_errors, status_of
from kitaru_gcp.session import Service, execute

if TYPE_CHECKING:
    from kitaru_gcp.config import SecretManagerConfig

_VALUE_BYTES_MAX = 65_536
_LABEL = "kitaru"
_ANNOTATION = "kitaru-name"


class SecretManagerStore:
    """Keeps a secret's values as one JSON object, the latest version of a secret.

    The secret's own name is its annotation ``kitaru-name``; in the project it is called ``kitaru-`` and a digest of
    that, because names there have no dots. What has no such annotation is not Kitaru's and is left alone.

    See :class:`kitaru.stack.components.SecretStore` for the contract.
    """

    def __init__(self, config: SecretManagerConfig) -> None:
        self._config = config
        self._service = Service("secretmanager", "v1", config)

    def get(self, name: str) -> dict[str, str]:
        place = self._place(name)
        with self._errors(f"reading the secret `{name}`"):
            try:
                answer = execute(self._secrets.versions().access(name=f"{place}/versions/latest"))
            except Exception as error:
                if status_of(error) == 404:
                    raise _missing(name) from None
                raise
        try:
            values = json.loads(base64.b64decode(answer["payload"]["data"]))
        except (ValueError, KeyError, TypeError):
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise KitaruBackendError(
                f"the secret `{name}` of Secret Manager does not hold values any more. Set it anew: "
                f"`kitaru secrets set {name} KEY=value`."
            )
        return values

    def set(self, name: str, values: Mapping[str, str]) -> None:
        place = self._place(name)
        data = json.dumps(check_secret_values(values)).encode()
        if len(data) > _VALUE_BYTES_MAX:
            raise KitaruUsageError(
                f"the secret `{name}` is too large for Secret Manager: it takes {_VALUE_BYTES_MAX} bytes."
            )
        version = {"payload": {"data": base64.b64encode(data).decode()}}
        with self._errors(f"writing the secret `{name}`"):
            try:
                added = execute(self._secrets.addVersion(parent=place, body=version))
            except Exception as error:
                if status_of(error) != 404:
                    raise
                self._create(place, name)
                added = execute(self._secrets.addVersion(parent=place, body=version))
            self._destroy_before(place, str(added["name"]))

    def list(self) -> list[str]:
        found = []
        with self._errors("listing the secrets"):
            request = self._secrets.list(parent=f"projects/{self._config.project}", filter=f"labels.{_LABEL}:*")
            while request is not None:
                page = execute(request)
                found += [self._name(one) for one in page.get("secrets", ())]
                request = self._secrets.list_next(request, page)
        return sorted(name for name in found if name is not None)

    def delete(self, name: str) -> None:
        place = self._place(name)
        with self._errors(f"removing the secret `{name}`"):
            try:
                execute(self._secrets.delete(name=place))
            except Exception as error:
                if status_of(error) == 404:
                    raise _missing(name) from None
                raise

    @property
    def _secrets(self) -> Any:
        return self._service().projects().secrets()

    def _create(self, place: str, name: str) -> None:
        parent, _, secret_id = place.rpartition("/secrets/")
        body = {
            "replication": {"automatic": {}},
            "labels": {_LABEL: "true"},
            "annotations": {_ANNOTATION: name},
        }
        try:
            execute(self._secrets.create(parent=parent, secretId=secret_id, body=body))
        except Exception as error:
            if status_of(error) != 409:  # somebody else has just made it
                raise

    def _destroy_before(self, place: str, kept: str) -> None:
        """Values that were replaced shall not stay readable."""
        page = execute(self._secrets.versions().list(parent=place, filter="state:ENABLED"))
        for one in page.get("versions", ()):
            if _number(one["name"]) < _number(kept):
                try:
                    execute(self._secrets.versions().destroy(name=one["name"], body={}))
                except Exception as error:
                    if status_of(error) not in (400, 404):  # somebody else has done it
                        raise

    def _place(self, name: str) -> str:
        digest = hashlib.sha256(check_secret_name(name).encode()).hexdigest()
        return f"projects/{self._config.project}/secrets/kitaru-{digest}"

    def _name(self, secret: Mapping[str, Any]) -> str | None:
        name = (secret.get("annotations") or {}).get(_ANNOTATION)
        if not isinstance(name, str):
            return None
        try:
            expected = self._place(name)
        except KitaruUsageError:
            return None
        return name if str(secret.get("name", "")).rpartition("/")[2] == expected.rpartition("/")[2] else None

    def _errors(self, doing: str) -> Any:
        return gcp_errors(f"{doing} in Secret Manager", missing="there is no such project, or its API is not enabled")


def _number(version: str) -> int:
    return int(version.rpartition("/")[2])


def _missing(name: str) -> KitaruNotFoundError:
    return KitaruNotFoundError(f"there is no secret `{name}` in Secret Manager.")

"""AWS Secrets Manager."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError
from kitaru.stack.clients import PerProcess
from kitaru.stack.components import check_secret_name, check_secret_values
from kitaru_aws.errors import aws_errors, code_of
from kitaru_aws.session import client

if TYPE_CHECKING:
    from kitaru_aws.config import SecretsManagerConfig

_VALUE_BYTES_MAX = 65_536
_MISSING = "ResourceNotFoundException"


class SecretsManagerStore:
    """Keeps a secret's values as one JSON object named ``<prefix><name>``.

    See :class:`kitaru.stack.components.SecretStore` for the contract.
    """

    def __init__(self, config: SecretsManagerConfig) -> None:
        self._config = config
        self._client = PerProcess(lambda: client("secretsmanager", config))

    def get(self, name: str) -> dict[str, str]:
        place = self._place(name)
        with self._errors(f"reading the secret `{name}`"):
            try:
                text = self._client().get_secret_value(SecretId=place).get("SecretString")
            except Exception as error:
                # One that is about to be deleted answers like this, too.
                if code_of(error) in (_MISSING, "InvalidRequestException"):
                    raise _missing(name) from None
                raise
        try:
            values = json.loads(text or "")
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise KitaruBackendError(
                f"the secret `{place}` of Secrets Manager does not hold values any more. Set it anew: "
                f"`kitaru secrets set {name} KEY=value`."
            )
        return values

    def set(self, name: str, values: Mapping[str, str]) -> None:
        place = self._place(name)
        text = json.dumps(check_secret_values(values))
        if len(text.encode()) > _VALUE_BYTES_MAX:
            raise KitaruUsageError(
                f"the secret `{name}` is too large for Secrets Manager: it takes {_VALUE_BYTES_MAX} bytes."
            )
        with self._errors(f"writing the secret `{name}`"):
            for create in (False, True, False):  # others may make it or remove it in between
                try:
                    if create:
                        self._client().create_secret(Name=place, SecretString=text)
                    else:
                        self._client().put_secret_value(SecretId=place, SecretString=text)
                except Exception as error:
                    if code_of(error) not in (_MISSING, "ResourceExistsException"):
                        raise
                else:
                    return
        raise KitaruBackendError(f"writing the secret `{name}` failed: it comes and goes. Try again.")

    def list(self) -> list[str]:
        found = []
        with self._errors("listing the secrets"):
            pages = (
                self._client()
                .get_paginator("list_secrets")
                .paginate(
                    Filters=[{"Key": "name", "Values": [self._config.prefix or "kitaru"]}]
                    if self._config.prefix
                    else []
                )
            )
            for page in pages:
                found += [one["Name"] for one in page["SecretList"] if "DeletedDate" not in one]
        prefix = self._config.prefix
        return sorted(name.removeprefix(prefix) for name in found if name.startswith(prefix) and _fits(name, prefix))

    def delete(self, name: str) -> None:
        place = self._place(name)
        with self._errors(f"removing the secret `{name}`"):
            try:
                self._client().describe_secret(SecretId=place)
                # At once: the name can be used again, and nothing that was removed is kept.
                self._client().delete_secret(SecretId=place, ForceDeleteWithoutRecovery=True)
            except Exception as error:
                if code_of(error) in (_MISSING, "InvalidRequestException"):
                    raise _missing(name) from None
                raise

    def _place(self, name: str) -> str:
        return f"{self._config.prefix}{check_secret_name(name)}"

    def _errors(self, doing: str) -> Any:
        return aws_errors(f"{doing} in Secrets Manager")


def _fits(place: str, prefix: str) -> bool:
    try:
        check_secret_name(place.removeprefix(prefix))
    except KitaruUsageError:
        return False
    return True


def _missing(name: str) -> KitaruNotFoundError:
    return KitaruNotFoundError(f"there is no secret `{name}` in Secrets Manager.")

"""Acme's secret store: a dict."""

from collections.abc import Mapping

from kitaru.errors import KitaruNotFoundError
from kitaru.stack.components import check_secret_name, check_secret_values


class AcmeSecrets:
    def __init__(self, config: None) -> None:
        self._secrets: dict[str, dict[str, str]] = {}

    def get(self, name: str) -> dict[str, str]:
        return dict(self._found(name))

    def set(self, name: str, values: Mapping[str, str]) -> None:
        self._secrets[check_secret_name(name)] = check_secret_values(values)

    def list(self) -> list[str]:
        return sorted(self._secrets)

    def delete(self, name: str) -> None:
        self._found(name)
        del self._secrets[name]

    def _found(self, name: str) -> dict[str, str]:
        if check_secret_name(name) not in self._secrets:
            raise KitaruNotFoundError(f"Acme has no secret {name!r}.")
        return self._secrets[name]

"""Secrets, from outside: made, listed and removed in the secret store of the stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kitaru.errors import KitaruNotFoundError
from kitaru.stack import assembly
from kitaru.stack.components import SecretStore, check_secret_values


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret. Its values are in no ``repr``."""

    name: str
    values: Mapping[str, str] = field(repr=False)

    @property
    def keys(self) -> list[str]:
        """The names of its values, sorted."""
        return sorted(self.values)


class Secrets:
    """The secrets that ``kitaru.get_secret()`` finds. All methods raise KitaruPluginError and KitaruBackendError."""

    def list(self) -> list[str]:
        """The names of all secrets, sorted."""
        return self._store.list()

    def get(self, name: str) -> Secret:
        """A secret by its exact name. Raises KitaruNotFoundError when there is none."""
        return Secret(name, self._store.get(name))

    def set(self, name: str, values: Mapping[str, str]) -> Secret:
        """Set values of a secret, which is made if there is none: its other values stay.

        Reading and writing are two steps: of two processes that set values of one secret at once, one may be lost.

        Raises KitaruUsageError for no values, an empty one, or a key that is not made of letters, digits and ``_``.
        """
        given = check_secret_values(values)
        store = self._store
        try:
            before = store.get(name)
        except KitaruNotFoundError:
            before = {}
        merged = {**before, **given}
        store.set(name, merged)
        return Secret(name, merged)

    def delete(self, name: str) -> None:
        """Remove a secret. Raises KitaruNotFoundError when there is none."""
        self._store.delete(name)

    @property
    def _store(self) -> SecretStore:
        return assembly.open_secret_store()

"""Secrets, from outside: made, listed and removed in the secret store of the stack."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from kitaru.config import config_directory, files
from kitaru.errors import KitaruBackendError, KitaruNotFoundError
from kitaru.stack import assembly
from kitaru.stack.components import SecretStore, check_secret_values
from kitaru.stack.records import SECRET_PREFIX, not_reserved


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
        return [name for name in self._store.list() if not name.startswith(SECRET_PREFIX)]

    def get(self, name: str) -> Secret:
        """A secret by its exact name. Raises KitaruNotFoundError when there is none."""
        return Secret(name, self._store.get(not_reserved(name)))

    def set(self, name: str, values: Mapping[str, str], *, replace: bool = False) -> Secret:
        """Set values of a secret, which is made if there is none: its other values stay, unless ``replace``.

        Updates from this machine (with this config directory) come one after the other, so none is lost. Of two
        machines that set values of one secret in a shared store at once, one may be.

        Raises KitaruUsageError for no values, an empty one, or a key that is not made of letters, digits and ``_``.
        """
        given = check_secret_values(values)
        not_reserved(name)
        store = self._store
        with _one_at_a_time():
            try:
                before = store.get(name)
            except KitaruNotFoundError:
                before = {}
            merged = given if replace else {**before, **given}
            store.set(name, merged)
        return Secret(name, merged)

    def delete(self, name: str) -> None:
        """Remove a secret. Raises KitaruNotFoundError when there is none."""
        self._store.delete(not_reserved(name))

    @property
    def _store(self) -> SecretStore:
        return assembly.open_secret_store()


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    directory = config_directory()
    with ExitStack() as held:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            held.enter_context(files.locked(directory / "secrets.lock"))
        except OSError as error:
            raise KitaruBackendError(
                f"secrets cannot be changed: {directory / 'secrets.lock'} cannot be written: {error.strerror}."
            ) from error
        yield

"""The local secret store: one file per secret, readable by its owner only. Not encrypted: as safe as the account."""

from __future__ import annotations

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError
from kitaru_local.config import LocalSecretStoreConfig

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SUFFIX = ".json"


class LocalSecretStore:
    """Keeps ``<path>/<name>.json``. See :class:`kitaru.stack.components.SecretStore` for the contract.

    Files have mode 0600, the directory 0700; both are made anew that way where somebody has opened them up. ``set`` is
    atomic: a reader sees the old values or the new ones, also after a crash.
    """

    def __init__(self, config: LocalSecretStoreConfig) -> None:
        self._directory = Path(config.path)

    def get(self, name: str) -> dict[str, str]:
        path = self._path(name)
        with _errors(name, "read"):
            try:
                data = path.read_bytes()
            except FileNotFoundError:
                raise _missing(name) from None
        try:
            values = json.loads(data)
        except ValueError:
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise KitaruBackendError(f"the file {path} does not hold a secret any more. Set `{name}` anew.")
        return values

    def set(self, name: str, values: Mapping[str, str]) -> None:
        path = self._path(name)
        data = json.dumps(_checked(name, values)).encode()
        with _errors(name, "written"):
            self._make_directory()
            descriptor, partial = tempfile.mkstemp(prefix=".", dir=self._directory)  # mode 0600
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(partial, path)
            except BaseException:
                Path(partial).unlink(missing_ok=True)
                raise
            _sync(self._directory)

    def list(self) -> list[str]:
        with _errors("list", "read"):
            try:
                found = os.listdir(self._directory)
            except FileNotFoundError:
                return []
        return sorted(
            name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX) and not name.startswith(".")
        )

    def delete(self, name: str) -> None:
        path = self._path(name)
        with _errors(name, "removed"):
            try:
                path.unlink()
            except FileNotFoundError:
                raise _missing(name) from None
            _sync(self._directory)

    def _path(self, name: str) -> Path:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise KitaruUsageError(
                f"{name!r:.80} is not the name of a secret: use up to 200 letters, digits, `.`, `_` and `-`."
            )
        return self._directory / f"{name}{_SUFFIX}"

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(self._directory.stat().st_mode) != 0o700:
            self._directory.chmod(0o700)


def _checked(name: str, values: Mapping[str, str]) -> dict[str, str]:
    for key, value in values.items():
        if not isinstance(key, str) or not _KEY.fullmatch(key):
            raise KitaruUsageError(
                f"secret `{name}` has a key that is not made of letters, digits and `_`, or begins with a digit."
            )
        if not isinstance(value, str) or not value:
            raise KitaruUsageError(f"secret `{name}`: the value of `{key}` is empty or no text.")
    return dict(values)


def _missing(name: str) -> KitaruNotFoundError:
    return KitaruNotFoundError(f"there is no secret `{name}` in the local secret store.")


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _errors(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KitaruBackendError(f"secret `{name}` cannot be {what}: {error.strerror}.") from error

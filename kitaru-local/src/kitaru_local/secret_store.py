"""The local secret store: one file per secret, encrypted, readable by its owner only."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kitaru.errors import KitaruBackendError, KitaruNotFoundError
from kitaru.stack.components import check_secret_name, check_secret_values
from kitaru_local.config import LocalSecretStoreConfig
from kitaru_local.files import replace_file, sync_directory
from kitaru_local.secret_keys import make_key, read_key

_SUFFIX = ".json"
_ENCRYPTED = "aes-256-gcm"
_NONCE_BYTES = 12


class LocalSecretStore:
    """Keeps ``<path>/<name>.json``. See :class:`kitaru.stack.components.SecretStore` for the contract.

    The values are encrypted with AES-256-GCM (NIST SP 800-38D) under a key that is kept apart, see ``secret_keys``,
    and bound to the secret's name: a file that was changed, or put in another one's place, is refused. Files have mode
    0600, the directory 0700; both are made anew that way where somebody has opened them up. ``set`` is atomic: a
    reader sees the old values or the new ones, also after a crash.

    A file that an earlier version wrote in plain text is read, and encrypted when it is next set.
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
            values = self._decrypted(name, json.loads(data))
        except (ValueError, KeyError, TypeError):
            values = None
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise KitaruBackendError(f"the file {path} does not hold a secret any more. Set `{name}` anew.")
        return values

    def set(self, name: str, values: Mapping[str, str]) -> None:
        path = self._path(name)
        checked = check_secret_values(values)
        with _errors(name, "written"):
            self._make_directory()
            replace_file(path, self._encrypted(name, checked))

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
            sync_directory(self._directory)

    def _encrypted(self, name: str, values: dict[str, str]) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # slow to load: by those who use secrets

        key = read_key(self._directory)
        if key is None:
            self._refuse_without_key()
            key = make_key(self._directory)
        nonce = os.urandom(_NONCE_BYTES)
        data = AESGCM(key).encrypt(nonce, json.dumps(values).encode(), name.encode())
        return json.dumps({"encrypted": _ENCRYPTED, "data": base64.b64encode(nonce + data).decode()}).encode()

    def _decrypted(self, name: str, document: Any) -> Any:
        """The values in a file's document. Raises ValueError, KeyError or TypeError for one not written for it."""
        if not isinstance(document, dict) or document.get("encrypted") != _ENCRYPTED:
            return document
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        key = read_key(self._directory)
        if key is None:
            raise KitaruBackendError(_key_is_gone(self._directory))
        data = base64.b64decode(document["data"], validate=True)
        try:
            return json.loads(AESGCM(key).decrypt(data[:_NONCE_BYTES], data[_NONCE_BYTES:], name.encode()))
        except InvalidTag as error:
            raise ValueError("changed, or encrypted for another name or with another key") from error

    def _refuse_without_key(self) -> None:
        # A new key would make a mess of what the lost one has encrypted, should that be found again.
        for name in self.list():
            document = json.loads((self._directory / f"{name}{_SUFFIX}").read_bytes())
            if isinstance(document, dict) and document.get("encrypted") == _ENCRYPTED:
                raise KitaruBackendError(_key_is_gone(self._directory))

    def _path(self, name: str) -> Path:
        return self._directory / f"{check_secret_name(name)}{_SUFFIX}"

    def _make_directory(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if stat.S_IMODE(self._directory.stat().st_mode) != 0o700:
            self._directory.chmod(0o700)


def _missing(name: str) -> KitaruNotFoundError:
    return KitaruNotFoundError(f"there is no secret `{name}` in the local secret store.")


def _key_is_gone(directory: Path) -> str:
    return (
        f"the key of the local secrets, {directory / '.key'}, is gone. Put it back from a backup; without it the "
        f"secrets are lost: remove {directory} and set them anew."
    )


@contextmanager
def _errors(name: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise KitaruBackendError(f"secret `{name}` cannot be {what}: {error.strerror}.") from error

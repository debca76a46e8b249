"""The key that the local secrets are encrypted with: in a file of its own, or in the keyring of the operating system.

``<secrets>/.key`` says where it is: ``{"version": 1, "kept": "file", "key": BASE64}``, mode 0600, or
``{"version": 1, "kept": "keyring", "account": NAME}`` with the key itself under the service ``kitaru`` of the keyring.
A key that is there is never replaced: what it has encrypted would be lost.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import uuid
from pathlib import Path
from typing import Any, Literal

from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError
from kitaru_local.files import replace_file, write_new_file

Kept = Literal["file", "keyring"]
FILE_NAME = ".key"
_SERVICE = "kitaru"
_KEY_BYTES = 32  # AES-256
_INSTALL = "pip install 'kitaru-local[keyring]'"


def read_key(directory: Path) -> bytes | None:
    """The key of the secrets in ``directory``; None when none was made yet.

    Raises KitaruBackendError when it cannot be read, and KitaruFeatureNotAvailableError when it is in a keyring that
    cannot be used here.
    """
    found = _read(directory)
    return None if found is None else found[1]


def make_key(directory: Path) -> bytes:
    """The key of the secrets in ``directory``, made now if there is none. Of several processes, all get the same."""
    key = os.urandom(_KEY_BYTES)
    write_new_file(directory / FILE_NAME, _document("file", base64.b64encode(key).decode()))
    found = read_key(directory)
    assert found is not None
    return found


def where_kept(directory: Path) -> Kept | None:
    """Where the key is; None when there is none yet."""
    found = _read(directory, only_place=True)
    return None if found is None else found[0]


def move_key(directory: Path, to: Kept) -> None:
    """Keep the key, which is made if there is none, in another place from now on; the secrets stay as they are.

    The key is in its new place before it leaves the old one: a crash in the middle loses nothing.
    """
    key = read_key(directory) or make_key(directory)
    document = json.loads((directory / FILE_NAME).read_bytes())
    if document["kept"] == to:
        return
    encoded = base64.b64encode(key).decode()
    if to == "keyring":
        account = f"secrets-{uuid.uuid4()}"
        _keyring_call("set_password", account, encoded)
        if _keyring_call("get_password", account) != encoded:
            raise KitaruBackendError("the keyring of this system does not give back what was put in: nothing changed.")
        replace_file(directory / FILE_NAME, _document("keyring", account))
    else:
        replace_file(directory / FILE_NAME, _document("file", encoded))
        _keyring_call("delete_password", document["account"])


def _read(directory: Path, *, only_place: bool = False) -> tuple[Kept, bytes] | None:
    path = directory / FILE_NAME
    try:
        document = json.loads(path.read_bytes())
        kept, version = document["kept"], document["version"]
        if version != 1 or kept not in ("file", "keyring"):
            raise ValueError("it was written by another version of kitaru-local")
        if only_place:
            return kept, b""
        encoded = document["key"] if kept == "file" else _keyring_call("get_password", document["account"])
        if encoded is None:
            raise ValueError("the keyring does not have it (any more)")
        key = base64.b64decode(encoded, validate=True)
        if len(key) != _KEY_BYTES:
            raise ValueError("it has the wrong length")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise KitaruBackendError(f"the key of the local secrets, {path}, cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        reason = str(error) if type(error) is ValueError else "its file is damaged"
        raise KitaruBackendError(
            f"the key of the local secrets, {path}, cannot be used: {reason}. Put it back from a backup; without it "
            f"the secrets in {directory} are lost: remove that directory and set them anew."
        ) from None
    return kept, key


def _document(kept: Kept, value: str) -> bytes:
    return json.dumps({"version": 1, "kept": kept, "key" if kept == "file" else "account": value}).encode()


def _keyring_call(method: str, account: str, *values: str) -> Any:
    try:
        import keyring
        import keyring.errors
    except ImportError as error:
        raise KitaruFeatureNotAvailableError(
            f"the key of the local secrets is to be kept in this system's keyring, which needs `{_INSTALL}`."
        ) from error
    try:
        return getattr(keyring, method)(_SERVICE, account, *values)
    except keyring.errors.NoKeyringError as error:
        raise KitaruFeatureNotAvailableError(
            "this system has no keyring that can be used: keep the key in a file, `kitaru secret-key move file`."
        ) from error
    except keyring.errors.KeyringError as error:
        raise KitaruBackendError(f"the keyring of this system refused: {type(error).__name__}: {error}.") from error

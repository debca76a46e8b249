"""Settings of the local components.

Plain dataclasses: the stores of the default stack are made while a flow runs, where importing pydantic would be felt.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class LocalArtifactStoreConfig:
    """``uri`` is a directory: ``file:///path``. ``sync``: a put returns only when the bytes survive power loss."""

    uri: str
    sync: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.sync, bool):
            raise ValueError("sync must be true or false")
        local_path(self.uri)

    @property
    def path(self) -> str:
        return local_path(self.uri)


@dataclass(frozen=True, slots=True)
class LocalLogStoreConfig:
    """``path`` is the directory of the log files, one per execution."""

    path: str

    def __post_init__(self) -> None:
        _require_absolute(self.path)


@dataclass(frozen=True, slots=True)
class LocalSecretStoreConfig:
    """``path`` is the directory of the secrets, one file each, readable by their owner only."""

    path: str

    def __post_init__(self) -> None:
        _require_absolute(self.path)


def local_path(uri: str) -> str:
    """The directory of a ``file://`` URI. Raises ValueError for any other."""
    parts = urlsplit(uri) if isinstance(uri, str) and uri.startswith("file://") else None
    if parts is None or parts.netloc not in ("", "localhost") or not parts.path.strip("/"):
        raise ValueError("uri must be a directory, written file:///path")
    return os.path.abspath(unquote(parts.path))


def _require_absolute(path: str) -> None:
    if not isinstance(path, str) or not os.path.isabs(path):
        raise ValueError("path must be an absolute path")

"""Acme's artifact store: an fsspec file system in memory."""

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from fsspec.implementations.memory import MemoryFileSystem

from acme_kitaru.config import AcmeConfig
from kitaru.errors import KitaruArtifactNotFoundError
from kitaru.stack.components import check_key


class AcmeStore:
    def __init__(self, config: AcmeConfig) -> None:
        self._root = f"/{config.bucket}/"
        self._files = MemoryFileSystem()

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        path = self._path(key)
        content = data if isinstance(data, bytes) else data.read()
        while not isinstance(data, bytes) and (more := data.read()):
            content += more
        self._files.pipe_file(path, content)

    def get(self, key: str) -> bytes:
        path = self._path(key)
        if not self._files.isfile(path):
            raise KitaruArtifactNotFoundError(f"Acme has nothing under {key!r}.")
        content: Any = self._files.cat_file(path)
        return bytes(content)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.get(key))

    def exists(self, key: str) -> bool:
        return bool(self._files.isfile(self._path(key)))

    def delete(self, key: str) -> None:
        path = self._path(key)
        if self._files.isfile(path):
            self._files.rm_file(path)

    def list(self, prefix: str = "") -> Iterator[str]:
        keys = [path.removeprefix(self._root) for path in self._files.store if path.startswith(self._root)]
        return iter(sorted(key for key in keys if key.startswith(prefix)))

    def _path(self, key: str) -> str:
        return self._root + check_key(key)

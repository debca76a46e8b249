"""The local artifact store: files under a directory.

``put`` and ``get`` are plain system calls: fsspec's local file system can neither sync nor replace a file atomically
without reading it back, and importing it would be felt by the first large value of a flow. The rest is fsspec's.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from kitaru.errors import (
    KitaruArtifactNotFoundError,
    KitaruBackendError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.stack.components import check_key
from kitaru_local.config import LocalArtifactStoreConfig

_CHUNK_BYTES = 1024 * 1024
# Name of a put that is not finished. Keys may not look like it, and listings leave it out.
_PARTIAL = ".kitaru-partial-"
_LOCK = f"{_PARTIAL}lock"
_numbers = itertools.count()


class LocalArtifactStore:
    """See :class:`kitaru.stack.components.ArtifactStore` for the contract. Files have mode 0600, directories 0700."""

    def __init__(self, config: LocalArtifactStoreConfig) -> None:
        self._root = config.path
        self._sync = config.sync
        self._fsspec: Any = None

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        path = self._path(key)
        with _errors(key, "written"), self._locked(exclusive=False):
            if not hasattr(data, "read"):
                if _same(path, data):
                    os.utime(path)  # put again: not stale
                    self._settle(path)
                    return
                self._write(path, iter((memoryview(data),)))
            else:
                self._write(path, iter(lambda: memoryview(data.read(_CHUNK_BYTES)), memoryview(b"")))

    def get(self, key: str) -> bytes:
        path = self._path(key)
        with self._reading(key):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            with open(descriptor, "rb", buffering=0) as file:
                return file.read()

    def open(self, key: str) -> BinaryIO:
        path = self._path(key)
        with self._reading(key):
            if os.path.isdir(path):
                raise FileNotFoundError(path)
            return cast("BinaryIO", self._files.open(path, "rb"))

    def exists(self, key: str) -> bool:
        path = self._path(key)
        found = bool(self._files.isfile(path))
        if not found:
            self._require_folder("looked for", key)
        return found

    def delete(self, key: str) -> None:
        path = self._path(key)
        with _errors(key, "removed"):
            try:
                self._files.rm_file(path)
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
                if os.path.isfile(path):
                    raise
                self._require_folder("removed", key)

    def delete_stale(self, key: str, seconds: float) -> bool:
        path = self._path(key)
        with _errors(key, "removed"), self._locked(exclusive=True):
            try:
                if time.time() - os.stat(path).st_mtime < seconds:
                    return False
                os.unlink(path)
            except FileNotFoundError:
                return False
        return True

    def list(self, prefix: str = "") -> Iterator[str]:
        folder = os.path.normpath(os.path.join(self._root, os.path.dirname(prefix)))
        if os.path.commonpath((folder, self._root)) != self._root:
            return iter(())
        with _errors(prefix, "listed"):
            found = self._files.find(folder) if os.path.isdir(folder) else []
        if not found:
            self._require_folder("listed", prefix)
        keys = (os.path.relpath(path, self._root).replace(os.sep, "/") for path in found)
        return iter(sorted(key for key in keys if key.startswith(prefix) and not _is_partial(key)))

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with _errors(key, "read"):
            try:
                yield
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
                self._require_folder("read", key)
                raise KitaruArtifactNotFoundError(f"the local artifact store holds nothing under {key!r}.") from error

    def _require_folder(self, what: str, key: str) -> None:
        """Raise where nothing was found because the store's own directory is no directory, instead of nothing there."""
        with _errors(key, what):
            try:
                usable = stat.S_ISDIR(os.stat(self._root).st_mode)
            except FileNotFoundError:
                usable = True  # it is made with the first put
            if not usable:
                raise NotADirectoryError(20, "Not a directory", self._root)

    # -- parts --------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self, *, exclusive: bool) -> Iterator[None]:
        """Whoever looks how old a value is and removes it must not do so while somebody puts it again."""
        path = os.path.join(self._root, _LOCK)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            self._make_folder(self._root)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
            yield
        finally:
            os.close(descriptor)

    @property
    def _files(self) -> Any:
        if self._fsspec is None:
            from fsspec.implementations.local import LocalFileSystem

            self._fsspec = LocalFileSystem(skip_instance_cache=True)
        return self._fsspec

    def _path(self, key: str) -> str:
        if _is_partial(check_key(key)):
            raise KitaruUsageError(f"storage key {key!r:.80}: names that start with {_PARTIAL} are reserved.")
        return os.path.join(self._root, key)

    def _write(self, path: str, chunks: Iterator[memoryview]) -> None:
        folder = os.path.dirname(path)
        partial = os.path.join(folder, f"{_PARTIAL}{os.getpid()}-{next(_numbers)}")
        descriptor = self._create(partial, folder)
        try:
            try:
                for chunk in chunks:
                    rest = chunk
                    while rest:
                        rest = rest[os.write(descriptor, rest) :]
                if self._sync:
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.replace(partial, path)
        except BaseException:
            _remove(partial)
            raise
        if self._sync:
            _sync_folder(folder)

    def _create(self, partial: str, folder: str) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            return os.open(partial, flags, 0o600)
        except FileNotFoundError:
            self._make_folder(folder)
            return os.open(partial, flags, 0o600)

    def _make_folder(self, folder: str) -> None:
        missing = []
        while not os.path.isdir(folder):
            missing.append(folder)
            folder = os.path.dirname(folder)
        for one in reversed(missing):
            try:
                os.mkdir(one, 0o700)
            except FileExistsError:
                if not os.path.isdir(one):
                    raise NotADirectoryError(20, "Not a directory", one) from None
            if self._sync:
                _sync_folder(os.path.dirname(one))

    def _settle(self, path: str) -> None:
        # The same bytes are there already, but whoever put them may have crashed, or not have promised durability.
        if not self._sync:
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        _sync_folder(os.path.dirname(path))


def _same(path: str, data: Any) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return False
    with open(descriptor, "rb", buffering=0) as file:
        return os.fstat(descriptor).st_size == len(data) and file.read() == data


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        pass


def _is_partial(key: str) -> bool:
    return any(part.startswith(_PARTIAL) for part in key.split("/"))


def _file_limit() -> str:
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit == resource.RLIM_INFINITY:
        return "of its file system"
    return f"that this process may write, {limit:,} bytes (`ulimit -f`)"


@contextmanager
def _errors(key: str, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EFBIG:  # also on the next try, unlike a full disk
            raise KitaruSerializationError(
                f"artifact {key!r} cannot be {what}: it is larger than the largest file {_file_limit()}."
            ) from error
        raise KitaruBackendError(f"artifact {key!r} cannot be {what}: {error.strerror}.") from error

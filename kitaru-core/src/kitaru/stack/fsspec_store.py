"""What artifact stores on a cloud's objects have in common: :class:`FsspecArtifactStore`, a base class for providers.

fsspec brings the protocol; this brings the contract of ``kitaru.stack.components.ArtifactStore``: keys that are no
paths, puts that are whole or not there, streams, and errors that say what to do.
"""

from __future__ import annotations

import builtins
import io
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, cast
from urllib.parse import quote, unquote

from kitaru.errors import KitaruArtifactNotFoundError, KitaruError, KitaruUsageError
from kitaru.stack.clients import PerProcess
from kitaru.stack.components import check_key

#: A stream goes in parts of this size, and is read ahead by as much.
PART_BYTES = 8 * 1024 * 1024
_OBJECT_NAME_MAX = 1024  # bytes; what all three clouds take
_CHUNK_BYTES = 1024 * 1024


class FsspecArtifactStore:
    """Values as objects below a root, such as ``bucket/prefix``.

    A key's characters beyond ``A-Za-z0-9._-~/`` are percent-encoded in the object's name, so that no service takes them
    for something else. Every process makes its own client, when it first needs one: a forked child cannot use its
    parent's. A subclass supplies :meth:`connect` and :meth:`translate`.
    """

    def __init__(self, root: str) -> None:
        self._root = root.strip("/")
        self._connected = PerProcess(self.connect)

    # -- for subclasses ---------------------------------------------------------------------------------------------

    def connect(self) -> Any:
        """A new fsspec file system, made without its cache of instances and of listings. May use no network."""
        raise KitaruUsageError(f"{type(self).__name__} does not say how it connects.")

    def translate(self, error: Exception, what: str) -> KitaruError:
        """The error for a failure that is not about a missing object; ``what`` was tried. It shows no secret."""
        raise KitaruUsageError(f"{type(self).__name__} does not explain `{what}`.") from error

    def abort(self, file: Any) -> None:
        """Give an upload up: nothing of it may become readable, and the service should keep none of its parts."""
        file.discard()

    # -- the contract -----------------------------------------------------------------------------------------------

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """See ``ArtifactStore``."""
        path = self._path(key)
        try:
            if isinstance(data, (bytes, bytearray, memoryview)):
                self._fs.pipe_file(path, bytes(data))
            else:
                self._upload(path, data)
        except Exception as error:
            raise self._explained(error, f"storing `{key}`", key) from error

    def get(self, key: str) -> bytes:
        """See ``ArtifactStore``."""
        path = self._path(key)
        try:
            return cast("bytes", self._fs.cat_file(path))
        except Exception as error:
            raise self._explained(error, f"reading `{key}`", key) from error

    def open(self, key: str) -> BinaryIO:
        """See ``ArtifactStore``."""
        path = self._path(key)
        try:
            size = self._size(path)
            if size is None:
                raise FileNotFoundError(path)
            file = self._fs.open(path, "rb", block_size=PART_BYTES, cache_type="readahead", size=size)
        except Exception as error:
            raise self._explained(error, f"reading `{key}`", key) from error
        return cast("BinaryIO", file)

    def exists(self, key: str) -> bool:
        """See ``ArtifactStore``."""
        path = self._path(key)
        try:
            return self._size(path) is not None
        except Exception as error:
            raise self._explained(error, f"looking for `{key}`", key) from error

    def delete(self, key: str) -> None:
        """See ``ArtifactStore``."""
        path = self._path(key)
        try:
            self._fs.rm_file(path)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._explained(error, f"deleting `{key}`", key) from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """See ``ArtifactStore``. All keys are held in memory, to be sorted: services order by the encoded names."""
        try:
            names = self._names(encoded_key(prefix))
        except FileNotFoundError as error:
            if self._root_is_missing(error):
                raise self.translate(error, "listing values") from error
            names = []
        except Exception as error:
            raise self._explained(error, "listing values", None) from error
        below = len(self._root) + 1
        return iter(sorted(unquote(name[below:]) for name in names))

    # -- how it is done ---------------------------------------------------------------------------------------------

    @property
    def _fs(self) -> Any:
        return self._connected()

    def _path(self, key: str) -> str:
        return object_name(key, self._root)

    def _size(self, path: str) -> int | None:
        """The size of the object with exactly this name, None when there is none: a folder of others is none."""
        try:
            found = self._fs.info(path)
        except FileNotFoundError:
            return None
        return int(found["size"]) if found["type"] == "file" and found["name"] == path else None

    def _names(self, prefix: str) -> builtins.list[str]:
        """The full names of all objects whose names below the root start with ``prefix``."""
        folder, _, start = prefix.rpartition("/")
        within = f"{self._root}/{folder}" if folder else self._root
        return [name for name in self._fs.find(within, prefix=start) if name.startswith(f"{self._root}/{prefix}")]

    def _upload(self, path: str, source: BinaryIO) -> None:
        file = self._fs.open(path, "wb", block_size=PART_BYTES)
        try:
            while chunk := source.read(_CHUNK_BYTES):
                file.write(chunk)
            file.close()
        except BaseException:
            # Closed, so that its finaliser does not complete what was given up.
            file.closed = True
            with suppress(Exception):  # what made it fail may well make this fail, too: it is what is told
                self.abort(file)
            raise

    def _explained(self, error: Exception, what: str, key: str | None) -> Exception:
        if isinstance(error, KitaruError):
            return error
        if isinstance(error, FileNotFoundError) and key is not None and not self._root_is_missing(error):
            return KitaruArtifactNotFoundError(f"there is no value `{key}` in this artifact store.")
        return self.translate(error, what)

    def _root_is_missing(self, error: Exception) -> bool:
        """Whether a missing bucket, and not a missing object, is what the error is about."""
        del error
        return False


def object_name(key: str, root: str) -> str:
    """``root`` and the name of a key's object below it. Raises KitaruUsageError for a key that may not be used."""
    path = f"{root}/{encoded_key(check_key(key))}"
    if len(path) - path.find("/") > _OBJECT_NAME_MAX:
        raise KitaruUsageError(f"storage key {key!r:.80} is too long: its object's name has {len(path)} bytes.")
    return path


def encoded_key(key: str) -> str:
    """A key, or the beginning of one, as it stands in the names of objects."""
    return quote(key, safe="/", encoding="utf-8", errors="surrogatepass")


def full_reads(source: BinaryIO) -> io.BufferedReader:
    """``source`` as a stream whose reads give all that was asked for, but for the last one."""
    return io.BufferedReader(_Source(source), PART_BYTES)


class _Source(io.RawIOBase):
    """Reads a caller's file, which may give less or more than it is asked for."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._left or self._source.read(len(buffer))
        count = min(len(data), len(buffer))
        buffer[:count] = data[:count]
        self._left = data[count:]
        return count

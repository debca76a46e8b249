"""Google Cloud Storage."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote

from kitaru.errors import KitaruArtifactNotFoundError, KitaruError
from kitaru.stack.clients import PerThread
from kitaru.stack.fsspec_store import PART_BYTES, encoded_key, full_reads, object_name
from kitaru_gcp.errors import backend_error
from kitaru_gcp.session import TIMEOUT_SECONDS, storage_client

if TYPE_CHECKING:
    from kitaru_gcp.config import GcsConfig

_RETRY_SECONDS = 5.0


class GcsArtifactStore:
    """See :class:`kitaru.stack.components.ArtifactStore` and ``SweepableStore`` for the contract.

    Uploads become an object with their last part: what was cut is never readable, and Google forgets it after a week.
    """

    def __init__(self, config: GcsConfig) -> None:
        self._config = config
        self._connected = PerThread(lambda: storage_client(config))  # its connections belong to one thread

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """See ``ArtifactStore``."""
        blob = self._blob(key)
        blob.chunk_size = PART_BYTES
        try:
            if isinstance(data, (bytes, bytearray, memoryview)):
                blob.upload_from_string(bytes(data), timeout=TIMEOUT_SECONDS, retry=self._retry())
            else:
                blob.upload_from_file(_Whole(full_reads(data)), timeout=TIMEOUT_SECONDS, retry=self._retry())
        except Exception as error:
            raise self._explained(error, f"storing `{key}`") from error

    def get(self, key: str) -> bytes:
        """See ``ArtifactStore``."""
        blob = self._blob(key)
        try:
            return cast(
                "bytes", blob.download_as_bytes(timeout=TIMEOUT_SECONDS, retry=self._retry(), checksum="crc32c")
            )
        except Exception as error:
            raise self._explained(error, f"reading `{key}`", key) from error

    def open(self, key: str) -> BinaryIO:
        """See ``ArtifactStore``."""
        blob = self._blob(key)
        try:
            blob.reload(timeout=TIMEOUT_SECONDS, retry=self._retry())
            file = blob.open("rb", chunk_size=PART_BYTES, timeout=TIMEOUT_SECONDS, retry=self._retry())
        except Exception as error:
            raise self._explained(error, f"reading `{key}`", key) from error
        return cast("BinaryIO", file)

    def exists(self, key: str) -> bool:
        """See ``ArtifactStore``."""
        blob = self._blob(key)
        try:
            return bool(blob.exists(timeout=TIMEOUT_SECONDS, retry=self._retry()))
        except Exception as error:
            raise self._explained(error, f"looking for `{key}`") from error

    def delete(self, key: str) -> None:
        """See ``ArtifactStore``."""
        blob = self._blob(key)
        try:
            blob.delete(timeout=TIMEOUT_SECONDS, retry=self._retry())
        except Exception as error:
            if _status(error) != 404:
                raise self._explained(error, f"deleting `{key}`") from error

    def list(self, prefix: str = "") -> Iterator[str]:
        """See ``ArtifactStore``. All keys are held in memory, to be sorted: the service orders by the encoded names."""
        below = f"{self._folder}/" if self._folder else ""
        start = below + encoded_key(prefix)
        try:
            found = self._client.list_blobs(
                self._config.bucket, prefix=start, timeout=TIMEOUT_SECONDS, retry=self._retry()
            )
            return iter(sorted(unquote(one.name[len(below) :]) for one in found))
        except Exception as error:
            raise self._explained(error, "listing values") from error

    def delete_stale(self, key: str, seconds: float) -> bool:
        """See ``SweepableStore``: an object that was put again has another generation, and is left then."""
        blob = self._blob(key)
        try:
            blob.reload(timeout=TIMEOUT_SECONDS, retry=self._retry())
            if self._put_at(key, blob) > datetime.now(UTC) - timedelta(seconds=seconds):
                return False
            blob.delete(if_generation_match=blob.generation, timeout=TIMEOUT_SECONDS, retry=self._retry())
        except Exception as error:
            if _status(error) in (404, 412):
                return False
            raise self._explained(error, f"deleting `{key}`") from error
        return True

    def _put_at(self, key: str, blob: Any) -> datetime:
        """When what lies under ``key`` was put last."""
        del key
        moment: datetime = blob.time_created
        return moment

    # -- how it is done ---------------------------------------------------------------------------------------------

    @property
    def _folder(self) -> str:
        return self._config.root.partition("/")[2]

    @property
    def _client(self) -> Any:
        return self._connected()

    def _blob(self, key: str) -> Any:
        name = object_name(key, self._config.root).partition("/")[2]
        return self._client.bucket(self._config.bucket).blob(name)

    def _retry(self) -> Any:
        from google.cloud.storage.retry import DEFAULT_RETRY

        return DEFAULT_RETRY.with_timeout(_RETRY_SECONDS)

    def _explained(self, error: Exception, what: str, key: str | None = None) -> Exception:
        if isinstance(error, KitaruError):
            return error
        if key is not None and _status(error) == 404 and not self._bucket_is_missing():
            return KitaruArtifactNotFoundError(f"there is no value `{key}` in this artifact store.")
        missing = "there is no such bucket: make it first, or look at its name"
        return backend_error(error, f"{what} in gs://{self._config.bucket}", missing=missing)

    def _bucket_is_missing(self) -> bool:
        # The answer to a missing object does not tell: only then, the bucket is asked for.
        try:
            pages = self._client.list_blobs(self._config.bucket, max_results=1, timeout=TIMEOUT_SECONDS)
            next(iter(pages), None)
        except Exception as error:
            return _status(error) == 404
        return False


class _Whole:
    """A stream from its beginning whose reads are full but for the last one, as uploads in parts need it."""

    def __init__(self, source: io.BufferedReader) -> None:
        self._source = source
        self._at = 0
        self._last = b""

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Back to where the last part began: it is sent again. Anywhere else cannot be."""
        if whence == io.SEEK_SET and self._at - len(self._last) <= offset <= self._at:
            again = self._last[len(self._last) - (self._at - offset) :]
            self._source = full_reads(cast("BinaryIO", _Chain(again, self._source)))
            self._at = offset
            return offset
        raise io.UnsupportedOperation("this stream goes one way")

    def read(self, size: int) -> bytes:
        self._last = self._source.read(size)
        self._at += len(self._last)
        return self._last


class _Chain:
    def __init__(self, first: bytes, then: io.BufferedReader) -> None:
        self._first, self._then = first, then

    def read(self, size: int) -> bytes:
        if self._first:
            given, self._first = self._first[:size], self._first[size:]
            return given
        return self._then.read(size)


def _status(error: BaseException) -> int | None:
    code = getattr(error, "code", None)
    return int(code) if isinstance(code, int) else None

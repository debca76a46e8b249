"""Azure Blob Storage."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO, cast
from urllib.parse import unquote

from kitaru.errors import KitaruArtifactNotFoundError
from kitaru.stack.clients import PerProcess
from kitaru.stack.fsspec_store import PART_BYTES, encoded_key, full_reads, object_name
from kitaru_azure.config import split_uri
from kitaru_azure.errors import azure_errors, code_of
from kitaru_azure.session import container_client

if TYPE_CHECKING:
    from kitaru_azure.config import AzureBlobConfig

_ROLE = "Storage Blob Data Contributor"
_NO_BLOB = "BlobNotFound"


class AzureBlobStore:
    """See :class:`kitaru.stack.components.ArtifactStore` and ``SweepableStore`` for the contract.

    A stream goes in blocks, which become a blob when their list is committed: what was cut is never readable, and Azure
    forgets its blocks after a week.
    """

    def __init__(self, config: AzureBlobConfig) -> None:
        self._config = config
        place = split_uri(config.uri)
        self._container = place.container
        self._root = f"{place.container}/{place.path}".strip("/")
        self._connected = PerProcess(lambda: container_client(config))

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """See ``ArtifactStore``."""
        name = self._name(key)
        plain = isinstance(data, (bytes, bytearray, memoryview))
        with self._errors(f"storing `{key}`"):
            source = bytes(cast("bytes", data)) if plain else full_reads(cast("BinaryIO", data))
            self._client.upload_blob(name, source, overwrite=True, max_concurrency=1)

    def get(self, key: str) -> bytes:
        """See ``ArtifactStore``."""
        name = self._name(key)
        with self._errors(f"reading `{key}`"):
            found: bytes = self._download(key, name).readall()
        return found

    def open(self, key: str) -> BinaryIO:
        """See ``ArtifactStore``."""
        name = self._name(key)
        with self._errors(f"reading `{key}`"):
            return cast("BinaryIO", io.BufferedReader(_Download(self._download(key, name), self, key), PART_BYTES))

    def exists(self, key: str) -> bool:
        """See ``ArtifactStore``."""
        name = self._name(key)
        with self._errors(f"looking for `{key}`"):
            return bool(self._client.get_blob_client(name).exists())

    def delete(self, key: str) -> None:
        """See ``ArtifactStore``."""
        name = self._name(key)
        with self._errors(f"deleting `{key}`"):
            try:
                self._client.delete_blob(name)
            except Exception as error:
                if code_of(error) != _NO_BLOB:
                    raise

    def list(self, prefix: str = "") -> Iterator[str]:
        """See ``ArtifactStore``. All keys are held in memory, to be sorted: the service orders by the encoded names."""
        folder = self._root.partition("/")[2]
        below = f"{folder}/" if folder else ""
        # A dot at the end of the prefix may be one inside of a name.
        start = below + encoded_key(prefix.rstrip("."))
        with self._errors("listing values"):
            found = [unquote(name[len(below) :]) for name in self._client.list_blob_names(name_starts_with=start)]
        return iter(sorted(key for key in found if key.startswith(prefix)))

    def delete_stale(self, key: str, seconds: float) -> bool:
        """See ``SweepableStore``: a blob that was put again has another ETag, and is left then."""
        from azure.core import MatchConditions

        blob = self._client.get_blob_client(self._name(key))
        with self._errors(f"deleting `{key}`"):
            try:
                found = blob.get_blob_properties()
                if self._put_at(key, found) > datetime.now(UTC) - timedelta(seconds=seconds):
                    return False
                blob.delete_blob(etag=found.etag, match_condition=MatchConditions.IfNotModified)
            except Exception as error:
                if code_of(error) in (_NO_BLOB, "ConditionNotMet"):
                    return False
                raise
        return True

    def verify(self) -> None:
        """Look into the container. Raises KitaruBackendError."""
        with self._errors("looking for values"):
            next(iter(self._client.list_blob_names(name_starts_with="kitaru", results_per_page=1)), None)

    def failing(self, key: str) -> AbstractContextManager[None]:
        """What turns the library's errors into ours while ``key`` is being read."""
        return self._errors(f"reading `{key}`")

    # -- how it is done ---------------------------------------------------------------------------------------------

    def _put_at(self, key: str, found: Any) -> datetime:
        """When what lies under ``key`` was put last."""
        del key
        moment: datetime = found.last_modified
        return moment

    def _download(self, key: str, name: str) -> Any:
        try:
            return self._client.download_blob(name, max_concurrency=1)
        except Exception as error:
            if code_of(error) == _NO_BLOB:
                raise KitaruArtifactNotFoundError(f"there is no value `{key}` in this artifact store.") from None
            raise

    @property
    def _client(self) -> Any:
        return self._connected()

    def _name(self, key: str) -> str:
        # A dot at the end of a part would be lost on the way.
        return re.sub(r"\.(?=/|$)", "%2E", object_name(key, self._root).partition("/")[2])

    def _errors(self, doing: str) -> AbstractContextManager[None]:
        missing = "there is no such container: make it first, or look at its name"
        return azure_errors(f"{doing} in the container {self._container}", role=_ROLE, missing=missing)


class _Download(io.RawIOBase):
    def __init__(self, stream: Any, store: AzureBlobStore, key: str) -> None:
        self._stream, self._store, self._key = stream, store, key

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with self._store.failing(self._key):
            data: bytes = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

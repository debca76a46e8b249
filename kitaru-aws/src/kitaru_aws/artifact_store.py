"""Amazon S3, and services that speak its protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruError
from kitaru.stack.fsspec_store import FsspecArtifactStore
from kitaru_aws.errors import backend_error, code_of
from kitaru_aws.session import file_system

if TYPE_CHECKING:
    from kitaru_aws.config import S3Config


class S3ArtifactStore(FsspecArtifactStore):
    """See :class:`kitaru.stack.components.ArtifactStore` for the contract.

    It has no ``delete_stale``: S3 cannot delete an object only if nobody has put it again, so large values that nobody
    refers to stay. A lifecycle rule of the bucket should end unfinished multipart uploads of killed processes.
    """

    def __init__(self, config: S3Config) -> None:
        super().__init__(config.root)
        self._config = config

    def connect(self) -> Any:
        return file_system(self._config)

    def translate(self, error: Exception, what: str) -> KitaruError:
        return backend_error(error, f"{what} in s3://{self._config.bucket}")

    def _root_is_missing(self, error: Exception) -> bool:
        return code_of(error) == "NoSuchBucket"

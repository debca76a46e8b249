"""Clients of AWS's services, from a component's settings: with bounded timeouts, and its own address if it has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru_aws.errors import aws_errors

if TYPE_CHECKING:
    from kitaru_aws.config import AwsConfig, S3Config

CONNECT_SECONDS = 5
READ_SECONDS = 20
_ATTEMPTS = 3


def client(service: str, config: AwsConfig, *, region: str | None = None) -> Any:
    """A boto3 client that signs in with the credentials of ``config``. Raises KitaruBackendError: it cannot be made."""
    import boto3
    from botocore.config import Config

    credentials = config.credentials or {}
    with aws_errors(f"preparing a client of {service}"):
        session = boto3.session.Session(
            aws_access_key_id=credentials.get("access_key_id"),
            aws_secret_access_key=credentials.get("secret_access_key"),
            aws_session_token=credentials.get("session_token"),
            profile_name=credentials.get("profile_name"),
        )
        return session.client(
            service,
            region_name=region or config.region,
            endpoint_url=config.endpoint_url,
            config=Config(
                connect_timeout=CONNECT_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"max_attempts": _ATTEMPTS, "mode": "standard"},
            ),
        )


def file_system(config: S3Config) -> Any:
    """A file system of S3 for :class:`kitaru.stack.fsspec_store.FsspecArtifactStore`."""
    import s3fs

    credentials = config.credentials or {}
    options: dict[str, Any] = {"endpoint_url": config.endpoint_url, "region_name": config.region}
    settings: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"max_attempts": _ATTEMPTS, "mode": "standard"},
        "max_pool_connections": 32,
    }
    if config.path_style:
        settings["s3"] = {"addressing_style": "path"}
    system = s3fs.S3FileSystem(
        key=credentials.get("access_key_id"),
        secret=credentials.get("secret_access_key"),
        token=credentials.get("session_token"),
        profile=credentials.get("profile_name"),
        client_kwargs={name: value for name, value in options.items() if value is not None},
        config_kwargs=settings,
        max_concurrency=3,  # parts of 8 MiB in memory at once
        skip_instance_cache=True,
        use_listings_cache=False,
    )
    system.retries = 2  # its own, around those of the client
    return system

"""AWS as moto's server plays it, on the loopback."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.emulators.processes import server

REGION = "eu-west-1"
SECRET = "hunter2-canary-secret"
CREDENTIALS = {"method": "secret-key", "access_key_id": "AKIAEXAMPLE", "secret_access_key": SECRET}


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the server."""
    log = tmp_path_factory.mktemp("moto") / "log"
    with server(lambda port: [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], log) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def aws(moto: str) -> dict[str, Any]:
    """Settings that every component takes: where the service is, and how to sign in."""
    return {"region": REGION, "endpoint_url": moto, "credentials": CREDENTIALS}


@pytest.fixture
def bucket(aws: dict[str, Any]) -> str:
    """A new bucket."""
    from kitaru_aws.config import AwsConfig
    from kitaru_aws.session import client

    name = f"bucket-{uuid4().hex[:12]}"
    client("s3", AwsConfig(**aws)).create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
    return name

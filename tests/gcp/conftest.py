"""Google Cloud on the loopback: an emulator of its storage, and a server that speaks its other interfaces."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from tests.emulators.processes import server
from tests.gcp.fake import FakeGoogle

PROJECT = "my-project-123"


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the storage emulator."""
    command = [sys.executable, "-m", "gcp_storage_emulator", "start", "--host=127.0.0.1", "--in-memory"]
    log = tmp_path_factory.mktemp("gcs") / "log"
    with server(lambda port: [*command, f"--port={port}"], log) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def google() -> Iterator[FakeGoogle]:
    made = FakeGoogle()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def answering(google: FakeGoogle) -> None:
    google.refuse = None


@pytest.fixture(scope="session")
def private_key() -> str:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(65537, 2048)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem.decode()


@pytest.fixture
def account(google: FakeGoogle, private_key: str) -> str:
    """The key of a service account that signs in at the server."""
    return json.dumps(
        {
            "type": "service_account",
            "project_id": PROJECT,
            "private_key_id": "1",
            "private_key": private_key,
            "client_email": "flows@example.iam.gserviceaccount.com",
            "token_uri": f"{google.url}/token",
        }
    )


@pytest.fixture
def signed(account: str) -> dict[str, str]:
    """The setting `credentials` of a component."""
    return {"method": "service-account", "client_email": "flows@example", "service_account_json": account}


@pytest.fixture
def gcp(google: FakeGoogle, signed: dict[str, str]) -> dict[str, Any]:
    """Settings that every component but the storage takes."""
    return {"endpoint_url": google.url, "credentials": signed}


@pytest.fixture
def bucket(storage: str) -> str:
    """A new bucket."""
    import requests

    name = f"bucket-{uuid4().hex[:12]}"
    requests.post(f"{storage}/storage/v1/b?project={PROJECT}", json={"name": name}, timeout=30).raise_for_status()
    return name

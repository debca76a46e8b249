"""Azure Blob Storage as Azurite plays it, on the loopback.

Azurite comes from npm: ``KITARU_TEST_AZURITE`` names its program, or it is on the PATH; without it, its tests are
skipped.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.azure.fake import TOKEN, FakeAzure
from tests.emulators.processes import server

# Everybody's: the account that the emulator always has.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A connection string of the emulator."""
    program = os.environ.get("KITARU_TEST_AZURITE") or shutil.which("azurite-blob")
    if program is None:
        pytest.skip(
            "Azurite is not here: `npm install azurite`, and KITARU_TEST_AZURITE names node_modules/.bin/azurite-blob"
        )
    folder = tmp_path_factory.mktemp("azurite")
    flags = ["--blobHost", "127.0.0.1", "--location", str(folder), "--silent", "--skipApiVersionCheck"]
    with server(lambda port: [program, *flags, "--blobPort", str(port)], folder / "log") as port:
        address = f"http://127.0.0.1:{port}/{ACCOUNT}"
        yield f"DefaultEndpointsProtocol=http;AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={address};"


@pytest.fixture
def container(azurite: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A new container, in the account that the environment names."""
    from azure.storage.blob import ContainerClient

    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", azurite)
    name = f"box-{uuid4().hex[:12]}"
    with ContainerClient.from_connection_string(azurite, name) as client:
        client.create_container()
    return name


@pytest.fixture
def settings(container: str) -> dict[str, Any]:
    return {"uri": f"az://{container}/some/folder"}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1, signed by itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    alternative = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("certificate")
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(pem)
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def cloud(certificate: tuple[Path, Path]) -> Iterator[FakeAzure]:
    made = FakeAzure(*certificate)
    yield made
    made.close()


@pytest.fixture
def azure(cloud: FakeAzure, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> FakeAzure:
    """Azure's other services, whose certificate this process trusts."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate[0]))
    cloud.refuse = None
    return cloud


@pytest.fixture
def signed() -> dict[str, str]:
    """The setting `credentials` of a component."""
    return {"method": "access-token", "token": TOKEN}

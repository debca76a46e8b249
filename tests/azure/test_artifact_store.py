"""Azure Blob Storage, on Azurite."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from tests.azure.conftest import KEY
from tests.emulators.uses import break_an_upload, use_in_a_forked_child

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import ArtifactStoreConformance, FlavorSettings
from kitaru_azure.artifact_store import AzureBlobStore
from kitaru_azure.config import AzureBlobConfig


def store(settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor("artifact_store", "azure-blob").build(settings)


class Aging(AzureBlobStore):
    """Has values that look as if they were put a day ago: nobody can change when that was."""

    def __init__(self, config: AzureBlobConfig) -> None:
        super().__init__(config)
        self.old: set[tuple[str, str]] = set()

    def age(self, key: str) -> None:
        found = self._client.get_blob_client(self._name(key)).get_blob_properties()
        self.old.add((key, found.etag))

    def _put_at(self, key: str, found: Any) -> datetime:
        return super()._put_at(key, found) - timedelta(days=1 if (key, found.etag) in self.old else 0)


class TestAzureBlobStore(ArtifactStoreConformance):
    @pytest.fixture
    def artifact_store(self, settings: dict[str, Any]) -> Any:
        return Aging(AzureBlobConfig(**settings))

    @pytest.fixture
    def grow_old(self, artifact_store: Any) -> Any:
        return artifact_store.age

    @pytest.fixture
    def flavor_settings(self, settings: dict[str, Any]) -> FlavorSettings:
        return FlavorSettings("artifact_store", "azure-blob", settings, (KEY,))

    @pytest.fixture
    def unreachable_artifact_store(self) -> Any:
        signed = {"method": "access-token", "token": KEY}
        return store(
            {
                "uri": "az://box",
                "account_name": "devstoreaccount1",
                "endpoint_url": "https://127.0.0.1:9",
                "credentials": signed,
            }
        )


def test_a_container_that_is_missing_is_no_missing_value(settings: dict[str, Any]) -> None:
    del settings
    missing = store({"uri": "az://no-such-container"})
    for use in (lambda: missing.put("a", b"x"), lambda: missing.get("a"), lambda: list(missing.list())):
        with pytest.raises(KitaruBackendError, match="no-such-container failed: there is no such container") as caught:
            use()
        assert KEY not in str(caught.value)


def test_an_upload_that_breaks_leaves_nothing(settings: dict[str, Any]) -> None:
    break_an_upload(store(settings))


def test_a_forked_child_has_a_client_of_its_own(settings: dict[str, Any]) -> None:
    use_in_a_forked_child(store(settings))


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("s3://box", "must begin with az://"),
        ("az://", "must name a container"),
        ("az://Box", "must name a container"),
        ("az://box?sig=x", "no \\?"),
        ("abfs://box@a.example.com", "must have the account as in"),
    ],
)
def test_addresses_that_cannot_be(uri: str, told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told):
        store({"uri": uri})


def test_without_an_account_it_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_ACCOUNT_NAME"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KitaruUsageError, match="names no storage account"):
        store({"uri": "az://box"}).exists("a")

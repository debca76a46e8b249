"""Key Vault and Container Registry, on a server that speaks their interfaces."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.azure.fake import TOKEN, FakeAzure

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import (
    ContainerRegistryConformance,
    FlavorSettings,
    LogStoreConformance,
    SecretStoreConformance,
)
from kitaru_azure import log_store
from kitaru_azure.config import AzureMonitorConfig
from kitaru_azure.secret_store import name_of, vault_name

NOWHERE = "https://127.0.0.1:9"


def made(kind: str, flavor: str, settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor(kind, flavor).build(settings)


def vault(azure: FakeAzure, signed: dict[str, str]) -> Any:
    settings = {"vault_url": azure.url, "verify_challenge_resource": False, "credentials": signed}
    return made("secret_store", "azure-key-vault", settings)


class TestKeyVault(SecretStoreConformance):
    @pytest.fixture
    def secret_store(self, azure: FakeAzure, signed: dict[str, str]) -> Any:
        return vault(azure, signed)

    @pytest.fixture
    def unreachable_secret_store(self, signed: dict[str, str]) -> Any:
        return made("secret_store", "azure-key-vault", {"vault_url": NOWHERE, "credentials": signed})


def test_secrets_of_others_are_left_alone(azure: FakeAzure, signed: dict[str, str]) -> None:
    store = vault(azure, signed)
    name = f"S.{uuid4().hex}"
    store.set(name, {"KEY": "value"})
    azure.secrets["kitaru-theirs"] = {"value": "x", "tags": None}
    azure.secrets["other"] = {"value": "x", "tags": {"kitaru-name": "theirs"}}
    assert name in store.list() and "theirs" not in store.list()
    with pytest.raises(KitaruUsageError, match="too large"):
        store.set(name, {"KEY": "x" * 30_000})
    store.delete(name)


@pytest.mark.parametrize("name", ["plain", "My.Key_1", "a-b", "x" * 200, "UPPER"])
def test_names_in_the_vault(name: str) -> None:
    place = vault_name(name, prefix="kitaru-")
    assert len(place) <= 127 and all(letter.isalnum() or letter == "-" for letter in place)
    assert name_of(place, prefix="kitaru-") == (name if len(name) < 100 else None)
    assert vault_name(name.swapcase(), prefix="kitaru-").lower() != place.lower()


class TestAzureMonitor(LogStoreConformance):
    @pytest.fixture
    def log_store(self, azure: FakeAzure, signed: dict[str, str]) -> Any:
        return made("log_store", "azure-monitor", monitor(azure.url, signed))

    @pytest.fixture
    def flavor_settings(self, azure: FakeAzure, signed: dict[str, str]) -> FlavorSettings:
        return FlavorSettings("log_store", "azure-monitor", monitor(azure.url, signed), (TOKEN,))

    @pytest.fixture
    def unreachable_log_store(self, signed: dict[str, str]) -> Any:
        return made("log_store", "azure-monitor", monitor(NOWHERE, signed))


def monitor(url: str, signed: dict[str, str]) -> dict[str, Any]:
    place = {"ingestion_endpoint": url, "query_endpoint": f"{url}/v1", "rule_id": "dcr-1", "workspace_id": "w-1"}
    return {**place, "credentials": signed}


def test_a_page_ends_with_a_whole_line(
    azure: FakeAzure, signed: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_store, "_PAGE_ROWS", 7)
    store = made("log_store", "azure-monitor", monitor(azure.url, signed))
    lines = [LogRecord(number, "INFO", f"{number} " + "x" * 70_000, "stdout") for number in range(9)]
    exec_id = str(uuid4())
    store.append(exec_id, lines)
    assert store.read(exec_id) == lines, "each line has three parts, a page holds two of them and one part more"


def test_what_an_endpoint_stands_for() -> None:
    """What `kitaru log-store set azure-monitor --endpoint ...` gives."""
    address = "https://name.westeurope.ingest.monitor.azure.com"
    config = AzureMonitorConfig(endpoint=f"{address}/dcr-1/w-1")  # type: ignore[call-arg]
    assert (config.ingestion_endpoint, config.rule_id, config.workspace_id) == (address, "dcr-1", "w-1")
    with pytest.raises(KitaruUsageError, match="RULE_ID/WORKSPACE_ID"):
        made("log_store", "azure-monitor", {"endpoint": address})


class TestContainerRegistry(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, azure: FakeAzure, signed: dict[str, str]) -> Any:
        return made("container_registry", "acr", {"uri": f"https://{azure.host}/", "credentials": signed})

    @pytest.fixture
    def refusing_container_registry(self, signed: dict[str, str]) -> Any:
        settings = {"uri": "flows.azurecr.io", "endpoint_url": NOWHERE, "credentials": signed}
        return made("container_registry", "acr", settings)


def test_a_repository_need_not_be_there_yet(azure: FakeAzure, signed: dict[str, str]) -> None:
    azure.repositories.add("flows/research")
    for repository in ("flows/research", "flows/new"):
        made("container_registry", "acr", {"uri": f"{azure.host}/{repository}", "credentials": signed}).verify()
    for uri in ("", "https:///", "host/Upper", "host name"):
        with pytest.raises(KitaruUsageError):
            made("container_registry", "acr", {"uri": uri})


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "Unauthorized", "the credentials were refused"),
        (403, "Forbidden", "permission was denied .*Key Vault Secrets Officer"),
        (429, "Throttled", "too many requests"),
        (501, "Odd", "Azure answered 501 Odd"),
    ],
)
def test_answers_are_told_apart(azure: FakeAzure, signed: dict[str, str], status: int, code: str, told: str) -> None:
    azure.refuse = (status, code)
    with pytest.raises(KitaruBackendError, match=told) as caught:
        vault(azure, signed).list()
    assert TOKEN not in f"{caught.value!r}"

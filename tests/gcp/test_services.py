"""Secret Manager, Cloud Logging and Artifact Registry, on a server that speaks their interfaces."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.gcp.conftest import PROJECT
from tests.gcp.fake import FakeGoogle

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import (
    ContainerRegistryConformance,
    FlavorSettings,
    LogStoreConformance,
    SecretStoreConformance,
)
from kitaru_gcp.config import CloudLoggingConfig

NOWHERE = "http://127.0.0.1:9"
REGISTRY = f"europe-west1-docker.pkg.dev/{PROJECT}/flows"
PLACE = f"projects/{PROJECT}/locations/europe-west1/repositories/flows"


def made(kind: str, flavor: str, settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor(kind, flavor).build(settings)


class TestSecretManager(SecretStoreConformance):
    @pytest.fixture
    def secret_store(self, gcp: dict[str, Any]) -> Any:
        return made("secret_store", "gcp-secret-manager", {**gcp, "project": PROJECT})

    @pytest.fixture
    def unreachable_secret_store(self, gcp: dict[str, Any]) -> Any:
        return made("secret_store", "gcp-secret-manager", {**gcp, "project": PROJECT, "endpoint_url": NOWHERE})


def test_values_that_were_replaced_are_destroyed_and_others_secrets_left(
    gcp: dict[str, Any], google: FakeGoogle
) -> None:
    store = made("secret_store", "gcp-secret-manager", {**gcp, "project": PROJECT})
    name = f"s-{uuid4().hex}"
    for value in ("first", "second", "third"):
        store.set(name, {"KEY": value})
    (kept,) = [one for one in google.secrets.values() if one.get("annotations", {}).get("kitaru-name") == name]
    assert [one["state"] for one in kept["versions"]] == ["DESTROYED", "DESTROYED", "ENABLED"]
    place = f"projects/{PROJECT}/secrets/theirs"
    google.secrets[place] = {"name": place, "labels": {"kitaru": "true"}, "versions": []}
    assert name in store.list() and len(store.list()) == len(set(store.list()))
    assert "theirs" not in store.list()
    store.delete(name)
    with pytest.raises(KitaruUsageError, match="too large"):
        store.set(name, {"KEY": "x" * 70_000})


class TestCloudLogging(LogStoreConformance):
    @pytest.fixture
    def log_store(self, gcp: dict[str, Any]) -> Any:
        return made("log_store", "cloud-logging", {**gcp, "project": PROJECT})

    @pytest.fixture
    def flavor_settings(self, gcp: dict[str, Any], private_key: str) -> FlavorSettings:
        settings = {**gcp, "project": PROJECT}
        return FlavorSettings("log_store", "cloud-logging", settings, (private_key, private_key.splitlines()[5]))

    @pytest.fixture
    def unreachable_log_store(self, gcp: dict[str, Any]) -> Any:
        return made("log_store", "cloud-logging", {**gcp, "project": PROJECT, "endpoint_url": NOWHERE})


def test_people_find_lines_by_message_and_severity(gcp: dict[str, Any], google: FakeGoogle) -> None:
    store = made("log_store", "cloud-logging", {**gcp, "project": PROJECT})
    exec_id = str(uuid4())
    store.append(exec_id, [LogRecord(1, "ERROR", "it broke", "logging"), LogRecord(2, "TRACE", "fine", "logging")])
    (rows,) = [rows for log, rows in google.logs.items() if exec_id in log]
    assert [(row["severity"], row["jsonPayload"]["message"]) for row in rows] == [
        ("ERROR", "it broke"),
        ("DEFAULT", "fine"),
    ]
    with pytest.raises(KitaruUsageError, match="too large for Cloud Logging"):
        store.append(exec_id, [LogRecord(1, "INFO", "x" * 300_000, "stdout")])


def test_what_an_endpoint_stands_for(google: FakeGoogle) -> None:
    """What `kitaru log-store set cloud-logging --endpoint ...` gives."""
    config = CloudLoggingConfig(endpoint=f"https://logging.googleapis.com/projects/{PROJECT}")  # type: ignore[call-arg]
    assert (config.project, config.log_name, config.endpoint_url) == (PROJECT, "kitaru", None)
    other = CloudLoggingConfig(endpoint=f"{google.url}/projects/{PROJECT}/logs/mine")  # type: ignore[call-arg]
    assert (other.log_name, other.endpoint_url) == ("mine", google.url)
    with pytest.raises(KitaruUsageError, match="projects/PROJECT"):
        made("log_store", "cloud-logging", {"endpoint": "https://logging.googleapis.com"})


class TestArtifactRegistry(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, gcp: dict[str, Any], google: FakeGoogle) -> Any:
        google.existing.add(PLACE)
        return made("container_registry", "gar", {**gcp, "uri": f"https://{REGISTRY}/"})

    @pytest.fixture
    def refusing_container_registry(self, gcp: dict[str, Any]) -> Any:
        return made("container_registry", "gar", {**gcp, "uri": REGISTRY, "endpoint_url": NOWHERE})


def test_a_repository_is_looked_at(gcp: dict[str, Any], google: FakeGoogle) -> None:
    google.existing.add(PLACE)
    registry = made("container_registry", "gar", {**gcp, "uri": REGISTRY})
    user, password = registry.login()
    assert user == "oauth2accesstoken" and password in google.tokens
    with pytest.raises(KitaruBackendError, match=r"there is no such repository.*404 NOT_FOUND"):
        made("container_registry", "gar", {**gcp, "uri": f"{REGISTRY}-none"}).verify()
    google.existing.add(f"projects/{PROJECT}/locations")
    made("container_registry", "gar", {**gcp, "uri": f"eu.gcr.io/{PROJECT}"}).verify()
    for uri in ("docker.io/x", "europe-west1-docker.pkg.dev"):
        with pytest.raises(KitaruUsageError, match="Cannot infer GCP project ID"):
            made("container_registry", "gar", {**gcp, "uri": uri})


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (401, "UNAUTHENTICATED", "the credentials were refused, or have expired"),
        (403, "PERMISSION_DENIED", "permission was denied .403 PERMISSION_DENIED."),
        (404, "NOT_FOUND", "there is no such project"),
        (429, "RESOURCE_EXHAUSTED", "too many requests"),
        (500, "INTERNAL", "Google Cloud answered 500 INTERNAL"),
    ],
)
def test_answers_are_told_apart(
    gcp: dict[str, Any], google: FakeGoogle, status: int, code: str, told: str, private_key: str
) -> None:
    google.refuse = (status, code)
    store = made("secret_store", "gcp-secret-manager", {**gcp, "project": PROJECT})
    with pytest.raises(KitaruBackendError, match=told) as caught:
        store.list()
    assert private_key.splitlines()[4] not in f"{caught.value!r}"

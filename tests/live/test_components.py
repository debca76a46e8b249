"""The conformance classes against real services, for those who have an account: skipped without one.

``KITARU_TEST_LIVE`` names a JSON file: for each kind of component, a flavor and its settings, such as
``{"artifact_store": {"flavor": "s3", "settings": {"uri": "s3://my-bucket/kitaru-tests"}}}``. Components sign in with
what the environment has unless the settings have ``credentials``. The place should be the tests' own.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import (
    ArtifactStoreConformance,
    ContainerRegistryConformance,
    FlavorSettings,
    LogStoreConformance,
    SecretStoreConformance,
)

pytestmark = pytest.mark.live
_FILE = os.environ.get("KITARU_TEST_LIVE")
_TOLD: dict[str, Any] = json.loads(Path(_FILE).read_text()) if _FILE else {}


def _made(kind: str) -> Any:
    return plugin_manager().flavor(kind, _TOLD[kind]["flavor"]).build(_TOLD[kind].get("settings", {}))


def _settings(kind: str) -> FlavorSettings:
    settings = _TOLD[kind].get("settings", {})
    return FlavorSettings(kind, _TOLD[kind]["flavor"], settings, tuple((settings.get("credentials") or {}).values()))


if "artifact_store" in _TOLD:

    class TestArtifactStore(ArtifactStoreConformance):
        @pytest.fixture
        def artifact_store(self) -> Any:
            store = _made("artifact_store")
            for key in store.list("conformance/"):
                store.delete(key)
            return store

        @pytest.fixture
        def flavor_settings(self) -> FlavorSettings:
            return _settings("artifact_store")

        @pytest.fixture
        def aged(self) -> Any:
            pytest.skip("nobody can change when a real value was put")


if "log_store" in _TOLD:

    class TestLogStore(LogStoreConformance):
        @pytest.fixture
        def log_store(self) -> Any:
            return _made("log_store")

        @pytest.fixture
        def flavor_settings(self) -> FlavorSettings:
            return _settings("log_store")


if "secret_store" in _TOLD:

    class TestSecretStore(SecretStoreConformance):
        @pytest.fixture
        def secret_store(self) -> Any:
            return _made("secret_store")


if "container_registry" in _TOLD:

    class TestContainerRegistry(ContainerRegistryConformance):
        @pytest.fixture
        def container_registry(self) -> Any:
            return _made("container_registry")


@pytest.mark.skipif(not _TOLD, reason="no KITARU_TEST_LIVE: see the module")
def test_there_is_something_to_test() -> None:
    assert set(_TOLD) <= {"artifact_store", "log_store", "secret_store", "container_registry"}

"""Our own components, and a stranger's, pass the suites that are shipped for both."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.sites import ACME, Site

from kitaru.plugins.manager import PluginManager, plugin_manager
from kitaru.testing.conformance import (
    ArtifactStoreConformance,
    ContainerRegistryConformance,
    FlavorSettings,
    LogStoreConformance,
    OrchestratorConformance,
    SecretStoreConformance,
)


class TestLocalArtifactStore(ArtifactStoreConformance):
    @pytest.fixture(params=[True, False], ids=["full", "process"])
    def flavor_settings(self, tmp_path: Path, request: pytest.FixtureRequest) -> FlavorSettings:
        settings = {"uri": f"file://{tmp_path}/artifacts", "sync": request.param}
        return FlavorSettings("artifact_store", "local", settings)

    @pytest.fixture
    def artifact_store(self, flavor_settings: FlavorSettings) -> Any:
        return plugin_manager().flavor("artifact_store", "local").build(flavor_settings.settings)

    @pytest.fixture
    def unreachable_artifact_store(self, tmp_path: Path) -> Any:
        """Its directory cannot be: there is a file on the way."""
        (tmp_path / "file").touch()
        settings = {"uri": f"file://{tmp_path}/file/artifacts"}
        return plugin_manager().flavor("artifact_store", "local").build(settings)

    @pytest.fixture
    def grow_old(self, tmp_path: Path) -> Any:
        return lambda key: os.utime(tmp_path / "artifacts" / key, (time.time() - 86_400,) * 2)


class TestLocalLogStore(LogStoreConformance):
    @pytest.fixture
    def log_store(self, tmp_path: Path) -> Any:
        return plugin_manager().flavor("log_store", "local").build({"path": str(tmp_path / "logs")})

    @pytest.fixture
    def flavor_settings(self, tmp_path: Path) -> FlavorSettings:
        return FlavorSettings("log_store", "local", {"path": str(tmp_path / "logs")})

    @pytest.fixture
    def unreachable_log_store(self, tmp_path: Path) -> Any:
        (tmp_path / "file").touch()
        return plugin_manager().flavor("log_store", "local").build({"path": str(tmp_path / "file" / "logs")})


class TestArtifactLogStore(LogStoreConformance):
    """On the local artifact store."""

    @pytest.fixture
    def flavor_settings(self, tmp_path: Path) -> FlavorSettings:
        store = {"flavor": "local", "settings": {"uri": f"file://{tmp_path}/artifacts", "sync": False}}
        return FlavorSettings("log_store", "artifact-store", {"artifact_store": store})

    @pytest.fixture
    def log_store(self, flavor_settings: FlavorSettings) -> Any:
        return plugin_manager().flavor("log_store", "artifact-store").build(flavor_settings.settings)

    @pytest.fixture
    def unreachable_log_store(self, tmp_path: Path) -> Any:
        (tmp_path / "file").touch()
        store = {"flavor": "local", "settings": {"uri": f"file://{tmp_path}/file/artifacts", "sync": False}}
        return plugin_manager().flavor("log_store", "artifact-store").build({"artifact_store": store})


class TestLocalSecretStore(SecretStoreConformance):
    @pytest.fixture
    def secret_store(self, tmp_path: Path) -> Any:
        return plugin_manager().flavor("secret_store", "local").build({"path": str(tmp_path / "secrets")})


class TestLocalOrchestrator(OrchestratorConformance):
    @pytest.fixture
    def orchestrator(self) -> Any:
        return plugin_manager().flavor("orchestrator", "local").build({})


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginManager:
    """The plugins of this process, the stranger's among them."""
    site = Site(tmp_path / "site")
    site.add_project(ACME)
    monkeypatch.syspath_prepend(str(site.folder))
    paths = [str(site.folder), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_kitaru"]:
        monkeypatch.delitem(sys.modules, name)
    return PluginManager()


class TestAcmeArtifactStore(ArtifactStoreConformance):
    @pytest.fixture
    def artifact_store(self, acme: PluginManager) -> Iterator[Any]:
        from fsspec.implementations.memory import MemoryFileSystem

        yield acme.flavor("artifact_store", "acme").build({"bucket": "conformance-bucket"})
        MemoryFileSystem.store.clear()


class TestAcmeLogStore(LogStoreConformance):
    @pytest.fixture
    def log_store(self, acme: PluginManager) -> Any:
        return acme.flavor("log_store", "acme").build({})


class TestAcmeSecretStore(SecretStoreConformance):
    @pytest.fixture
    def secret_store(self, acme: PluginManager) -> Any:
        return acme.flavor("secret_store", "acme").build({})


class TestAcmeContainerRegistry(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, acme: PluginManager) -> Any:
        return acme.flavor("container_registry", "acme").build({"host": "registry.acme.example/team"})


class TestAcmeOrchestrator(OrchestratorConformance):
    """Its executions run in processes of their own."""

    @pytest.fixture
    def orchestrator(self, acme: PluginManager) -> Iterator[Any]:
        made = acme.flavor("orchestrator", "acme").build({})
        yield made
        for started in made.processes.values():
            for process in started:
                process.wait(timeout=60)

"""Conformance suites for authors of components and journals: plain pytest classes.

Subclass one and give it the fixture that its docstring names::

    from kitaru.testing.conformance import ArtifactStoreConformance

    class TestAcmeStore(ArtifactStoreConformance):
        @pytest.fixture
        def artifact_store(self, tmp_path):
            return AcmeStore(AcmeConfig(path=tmp_path))

They need pytest, which Kitaru itself does not install.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXPORTS = {
    "ArtifactStoreConformance": "kitaru.testing.conformance.artifact_store",
    "ContainerRegistryConformance": "kitaru.testing.conformance.container_registry",
    "LogStoreConformance": "kitaru.testing.conformance.log_store",
    "OrchestratorConformance": "kitaru.testing.conformance.orchestrator",
    "SecretStoreConformance": "kitaru.testing.conformance.secret_store",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605  the table is the list


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_EXPORTS[name]), name)

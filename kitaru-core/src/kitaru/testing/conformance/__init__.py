"""What every implementation of a component must do, as plain pytest classes for its author to inherit.

::

    from kitaru.testing.conformance import JournalConformance

    class TestMyJournal(JournalConformance):
        @pytest.fixture
        def journal(self, tmp_path):
            ...
            yield journal
            journal.close()

Each class has one fixture that its user must define, named after the kind; more are optional and say so. Kitaru's own
implementations run every class. They need pytest, which Kitaru itself does not install.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kitaru.testing.conformance.artifact_store import ArtifactStoreConformance as ArtifactStoreConformance
    from kitaru.testing.conformance.container_registry import (
        ContainerRegistryConformance as ContainerRegistryConformance,
    )
    from kitaru.testing.conformance.flavors import FlavorSettings as FlavorSettings
    from kitaru.testing.conformance.journal import JournalConformance as JournalConformance
    from kitaru.testing.conformance.log_store import LogStoreConformance as LogStoreConformance
    from kitaru.testing.conformance.orchestrator import OrchestratorConformance as OrchestratorConformance
    from kitaru.testing.conformance.secret_store import SecretStoreConformance as SecretStoreConformance

# Class -> the module that has it, and those it is made of.
_MODULES = {
    "ArtifactStoreConformance": ("artifact_store", "artifact_store_trouble"),
    "FlavorSettings": ("flavors",),
    "ContainerRegistryConformance": ("container_registry",),
    "JournalConformance": (
        "journal",
        "journal_executions",
        "journal_entries",
        "journal_reading",
        "journal_waits",
        "journal_samples",
    ),
    "LogStoreConformance": ("log_store", "log_store_trouble"),
    "OrchestratorConformance": ("orchestrator", "orchestrator_calls"),
    "SecretStoreConformance": ("secret_store",),
}

__all__ = sorted(_MODULES)  # noqa: PLE0605  the table is the list


def __getattr__(name: str) -> Any:
    modules = [f"{__name__}.{module}" for module in _MODULES.get(name, ())]
    if not modules:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    new = [module for module in modules if module not in sys.modules]
    if new:
        import pytest

        # A failing assert of a shipped test must show its values, as one of the author's own would.
        pytest.register_assert_rewrite(*new)
    return getattr(importlib.import_module(modules[0]), name)

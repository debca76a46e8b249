"""What a remote stack is made of in the engine that runs it: plain records, which providers build and never send."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class EngineComponent:
    """One component of the engine's stack.

    Attributes:
        kind: ``orchestrator``, ``artifact_store`` or ``container_registry``.
        flavor: the engine's name of the implementation, such as ``kubernetes`` or ``s3``.
        configuration: the engine's options, as the user's overrides left them.
        resource: what of the connector's account it uses (cluster, bucket URI, registry); None: no single thing.
    """

    kind: str
    flavor: str
    configuration: Mapping[str, Any] = field(default_factory=dict)
    resource: str | None = None


@dataclass(frozen=True, slots=True)
class EngineConnector:
    """How the engine signs in: shared by the components of a stack. ``secrets`` are never shown."""

    type: str
    method: str
    configuration: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class EngineStack:
    """A stack as the engine knows it."""

    components: tuple[EngineComponent, ...]
    connector: EngineConnector

"""What a remote stack is made of in the engine that runs it: plain records, which providers build and never send."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from kitaru.errors import KitaruFeatureNotAvailableError
from kitaru.stack.components import OrchestratorCapability, OrchestratorStatus


@dataclass(frozen=True, slots=True)
class EngineComponent:
    """One component of the engine's stack.

    Attributes:
        kind: ``orchestrator``, ``artifact_store`` or ``container_registry``.
        flavor: the engine's name of the implementation, such as ``kubernetes`` or ``s3``.
        configuration: the engine's options, before what the user overrides.
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


class EngineOrchestrator:
    """An orchestrator whose executions the engine (extra ``zenml``) starts: base class of the remote ones.

    It declares the configuration; nothing can be started with it here yet, and ``capabilities``, which is asked before
    an execution is created, says so. A subclass names itself with ``display``.
    """

    display: ClassVar[str] = "this orchestrator"

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        """Raises KitaruFeatureNotAvailableError: nothing is started remotely in this version."""
        raise KitaruFeatureNotAvailableError(
            f"flows cannot run on {self.display} yet: remote execution needs the engine, the extra `kitaru[zenml]`, "
            "which is not part of this version. Run the flow on a local stack: `kitaru stack use default`."
        )

    def start(self, exec_id: str, *, journal_url: str) -> None:
        """Raises what :attr:`capabilities` raises; the execution can be resumed elsewhere."""
        del exec_id, journal_url
        _ = self.capabilities

    def status(self, exec_id: str) -> OrchestratorStatus:
        """UNKNOWN: it has started nothing."""
        del exec_id
        return OrchestratorStatus.UNKNOWN

    def cancel(self, exec_id: str) -> None:
        """Nothing to end."""
        del exec_id

    def logs(self, exec_id: str) -> Iterator[str]:
        """No lines."""
        del exec_id
        return iter(())

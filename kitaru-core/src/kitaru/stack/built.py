"""A stack whose components are made when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from kitaru.config.log_store import ResolvedLogStore
from kitaru.errors import KitaruPluginError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import ArtifactStore, Component, LogStore, Orchestrator, Place, SecretStore
from kitaru.stack.stacks import DEFAULT, Stack


class BuiltStack:
    """The components of one stack of this process, each made once, on first use. Thread-safe.

    The properties raise KitaruPluginError when the component's plugin is missing or unavailable, and
    KitaruUsageError when its settings do not fit. A flow that stores nothing large never makes the artifact store.
    ``log_store``: what the user wants instead of the stack's own log store; None: that one.
    """

    def __init__(
        self,
        place: Place,
        select: Callable[[str | None, Place], Stack],
        name: str = DEFAULT,
        log_store: ResolvedLogStore | None = None,
    ) -> None:
        self._preferred = log_store
        self._place = place
        self._select = select
        self._name = name
        self._stack: Stack | None = None
        self._made: dict[str, Any] = {}
        self._lock = threading.RLock()

    @property
    def stack(self) -> Stack:
        """The stack as a value."""
        with self._lock:
            if self._stack is None:
                self._stack = self._select(self._name, self._place)
            return self._stack

    @property
    def artifact_store(self) -> ArtifactStore:
        return cast("ArtifactStore", self._made.get("artifact_store") or self._make("artifact_store"))

    @property
    def log_store(self) -> LogStore:
        return cast("LogStore", self._made.get("log_store") or self._make("log_store"))

    def prefer_log_store(self, log_store: ResolvedLogStore | None) -> None:
        """Send logs there from now on; None: to the stack's own log store."""
        with self._lock:
            if log_store != self._preferred:
                self._preferred = log_store
                self._made.pop("log_store", None)

    @property
    def secret_store(self) -> SecretStore:
        return cast("SecretStore", self._made.get("secret_store") or self._make("secret_store"))

    @property
    def orchestrator(self) -> Orchestrator:
        return cast("Orchestrator", self._made.get("orchestrator") or self._make("orchestrator"))

    def _make(self, kind: str) -> Any:
        with self._lock:
            made = self._made.get(kind)
            if made is None:
                component, chosen_by = self._component(kind)
                try:
                    flavor = plugin_manager().flavor(kind, component.flavor)
                except KitaruPluginError as error:
                    raise KitaruPluginError(f"{chosen_by} cannot be used: {error}") from error
                made = self._made[kind] = flavor.build(component.settings)
            return made

    def _component(self, kind: str) -> tuple[Component, str]:
        wanted = self._preferred if kind == "log_store" else None
        if wanted is None:
            return self.stack.component(kind), f"stack `{self.stack.name}`"
        chosen_by = f"the log store `{wanted.backend}` (set by the {wanted.source})"
        return Component(kind, wanted.backend, wanted.settings()), chosen_by

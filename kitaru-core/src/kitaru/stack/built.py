"""A stack whose components are made when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, cast

from kitaru.errors import KitaruPluginError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import ArtifactStore, LogStore, Orchestrator, Place
from kitaru.stack.stacks import DEFAULT, Stack


class BuiltStack:
    """The components of one stack of this process, each made once, on first use. Thread-safe.

    The properties raise KitaruPluginError when the component's plugin is missing or unavailable, and
    KitaruUsageError when its settings do not fit. A flow that stores nothing large never makes the artifact store.
    """

    def __init__(self, place: Place, select: Callable[[str | None, Place], Stack], name: str = DEFAULT) -> None:
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

    @property
    def orchestrator(self) -> Orchestrator:
        return cast("Orchestrator", self._made.get("orchestrator") or self._make("orchestrator"))

    def _make(self, kind: str) -> Any:
        with self._lock:
            made = self._made.get(kind)
            if made is None:
                component = self.stack.component(kind)
                try:
                    flavor = plugin_manager().flavor(kind, component.flavor)
                except KitaruPluginError as error:
                    raise KitaruPluginError(f"stack `{self.stack.name}` cannot be used: {error}") from error
                made = self._made[kind] = flavor.build(component.settings)
            return made

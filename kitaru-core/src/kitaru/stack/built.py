"""Stacks whose components are made when they are first needed, and the stacks of a process by id."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from typing import Any, cast

from kitaru.errors import KitaruPluginError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import ArtifactStore, LogStore, Orchestrator, Place, SecretStore
from kitaru.stack.records import DEFAULT, FILE_NAME, Stack, is_default
from kitaru.stack.stacks import component_settings, every, find, select


class BuiltStack:
    """The components of one stack, each made once, on first use. Thread-safe.

    The properties raise KitaruPluginError when the component's plugin is missing or unavailable, and
    KitaruUsageError when its settings do not fit. A flow that stores nothing large never makes the artifact store.
    """

    def __init__(self, stack: Stack, place: Place) -> None:
        self.stack = stack
        self.id = recorded_id(stack)
        self._place = place
        self._made: dict[str, Any] = {}
        self._lock = threading.RLock()

    @property
    def artifact_store(self) -> ArtifactStore:
        return cast("ArtifactStore", self._made.get("artifact_store") or self._make("artifact_store"))

    @property
    def log_store(self) -> LogStore:
        """The stack's own log store, whatever the user prefers."""
        return cast("LogStore", self._made.get("log_store") or self._make("log_store"))

    @property
    def secret_store(self) -> SecretStore:
        return cast("SecretStore", self._made.get("secret_store") or self._make("secret_store"))

    @property
    def orchestrator(self) -> Orchestrator:
        return cast("Orchestrator", self._made.get("orchestrator") or self._make("orchestrator"))

    @property
    def artifact_uri(self) -> str:
        """Where the artifacts lie, for people."""
        component = self.stack.component("artifact_store")
        uri = component.settings.get("uri")
        if isinstance(uri, str):
            return uri
        told = ", ".join(f"{name}={value}" for name, value in component.settings.items() if isinstance(value, str))
        return f"{component.flavor}: {told}" if told else component.flavor

    def __str__(self) -> str:
        return f"stack `{self.stack.name}`"

    def _make(self, kind: str) -> Any:
        with self._lock:
            made = self._made.get(kind)
            if made is None:
                component = self.stack.component(kind)
                settings = component_settings(self.stack, component, self._place)
                made = self._made[kind] = build(kind, component.flavor, settings, str(self))
            return made


def build(kind: str, flavor: str, settings: Mapping[str, Any], chosen_by: str) -> Any:
    """A component, made of a flavor and its settings; ``chosen_by`` is who wants it, for errors.

    Raises KitaruPluginError when its plugin is missing or unavailable, KitaruUsageError when its settings do not fit.
    """
    try:
        found = plugin_manager().flavor(kind, flavor)
    except KitaruPluginError as error:
        raise KitaruPluginError(f"{chosen_by} cannot be used: {error}") from error
    return found.build(settings)


class Stacks:
    """The stacks that this process uses, made once each. Thread-safe.

    Which stack an execution belongs to is told by the id in its frozen spec; None stands for the default stack. A
    stack that was deleted is still found by its id, so that what is stored for its executions can be read.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._file = str(place.directory / FILE_NAME)
        self._active: tuple[object, BuiltStack] | None = None
        self._built: dict[str | None, BuiltStack] = {}
        self._lock = threading.Lock()

    def select(self, name: str | None) -> BuiltStack:
        """The stack to start on, by name or id; None: the active one.

        Raises KitaruUsageError for a blank name, KitaruStateError when there is none of it.
        """
        if name is not None and is_default(name):
            return self.find(None)
        if name is not None:
            return self._known(select(name, self.place))
        # Every start comes by here: which stack is active is read again only when it may have changed.
        stamp = _stamp(self._file)
        active = self._active
        if active is None or active[0] != stamp:
            active = self._active = (stamp, self._known(select(None, self.place)))
        return active[1]

    def find(self, stack_id: str | None) -> BuiltStack:
        """The stack with a recorded id, deleted ones included. Raises KitaruStateError when it is not known here."""
        built = self._built.get(stack_id)
        if built is None:
            built = self._known(select(DEFAULT, self.place) if stack_id is None else find(stack_id, self.place))
        return built

    def all(self) -> list[BuiltStack]:
        """Every stack of this installation, deleted ones included, the default stack first."""
        return [self._known(stack) for stack in every(self.place)]

    def _known(self, stack: Stack) -> BuiltStack:
        recorded = recorded_id(stack)
        with self._lock:
            built = self._built.get(recorded)
            if built is None:
                built = self._built[recorded] = BuiltStack(stack, self.place)
            return built


def _stamp(path: str) -> object:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def recorded_id(stack: Stack) -> str | None:
    """What an execution's record says of its stack: the id, None for the default stack."""
    return None if stack.name == DEFAULT else stack.id

"""Which log store an execution's lines go to, and how they get there.

Decided when the execution starts, and recorded in its frozen spec for whoever continues or reads it: the log store that
the user prefers, else that of its stack.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from kitaru.config.log_store import ResolvedLogStore
from kitaru.runtime.capture import complain
from kitaru.stack.built import BuiltStack, Stacks, build
from kitaru.stack.components import LogStore, PromptLogStore

if TYPE_CHECKING:
    from kitaru.journal.log_records import LogRecord
    from kitaru.journal.records import ExecutionRecord
    from kitaru.stack.shipping import Shipper


class Route(NamedTuple):
    """A log store by what chooses it: the stack's own (``backend`` None), or a preferred one."""

    stack: str | None
    backend: str | None = None
    endpoint: str | None = None


def recorded(preferred: ResolvedLogStore | None) -> dict[str, str] | None:
    """What the frozen spec says of a preferred log store. Never its key."""
    if preferred is None:
        return None
    told = {"backend": preferred.backend, "endpoint": preferred.endpoint}
    return {name: value for name, value in told.items() if value is not None}


def route_of(spec: Mapping[str, Any]) -> Route:
    """Where an execution's lines go, by its frozen spec."""
    resolved = spec.get("resolved_execution") or {}
    told = resolved.get("log_store")
    if told is None:
        return Route(resolved.get("stack_id"))
    return Route(None, told.get("backend"), told.get("endpoint"))


class LogRouter:
    """The kernel's log sink, and the log stores of a process. Thread-safe."""

    def __init__(self, stacks: Stacks, preferred: ResolvedLogStore | None) -> None:
        self.preferred = preferred
        self.ended: Callable[[], None] = lambda: None  # waits until nothing prints any more: see `finish`
        self._stacks = stacks
        self._stores: dict[Route, LogStore] = {}
        self._shippers: dict[Route, Shipper | None] = {}
        self._lock = threading.RLock()

    # -- writing ------------------------------------------------------------------------------------------------

    def append(self, execution: ExecutionRecord, records: list[LogRecord]) -> None:
        """See ``LogSink``. Raises what a prompt store raises; other stores are never waited for."""
        route = route_of(execution.spec)
        shipper = self._shippers[route] if route in self._shippers else self._opened(route)
        if shipper is not None:
            shipper.append(execution.exec_id, records)
        elif route in self._stores:
            self._stores[route].append(execution.exec_id, records)

    def drain(self) -> None:
        """See ``LogSink``: a few seconds at most, and none for stores that are failing."""
        for shipper in list(self._shippers.values()):
            if shipper is not None:
                shipper.drain()

    def finish(self) -> None:
        """At the end of the interpreter, which waits for running flows anyway: let them end, and bring their lines."""
        self.ended()
        for shipper in list(self._shippers.values()):
            if shipper is not None:
                shipper.close()

    def close(self, seconds: float) -> None:
        """Stop shipping; what still waits gets so many seconds."""
        for shipper in list(self._shippers.values()):
            if shipper is not None:
                shipper.close(seconds)

    def _opened(self, route: Route) -> Shipper | None:
        with self._lock:
            if route in self._shippers:
                return self._shippers[route]
            try:
                store = self.store(route)
            except Exception as error:  # a plugin that is gone must not fail a flow that was started with it
                self._shippers[route] = None
                complain(f"runtime logs are not kept: {error}")
                return None
            shipper = None
            if not (isinstance(store, PromptLogStore) and store.prompt):
                # Only for stores that have to be waited for.
                from kitaru.runtime.ending import finish_early
                from kitaru.stack.shipping import Shipper

                finish_early(self)
                shipper = Shipper(store, self.describe(route))
            self._shippers[route] = shipper
            return shipper

    # -- reading ------------------------------------------------------------------------------------------------

    def store(self, route: Route) -> LogStore:
        """A log store.

        Raises KitaruStateError when the stack is not known here, KitaruPluginError when the store's plugin is missing
        or unavailable, KitaruUsageError when its settings do not fit.
        """
        with self._lock:
            store = self._stores.get(route)
            if store is None:
                store = self._stores[route] = self._made(route)
            return store

    def of(self, execution: ExecutionRecord) -> LogStore:
        """The log store of an execution. Raises like :meth:`store`."""
        return self.store(route_of(execution.spec))

    def in_force(self, stack: BuiltStack) -> LogStore:
        """The log store of what starts now on ``stack``, ready to be written to. Raises like :meth:`store`."""
        told = {"stack_id": stack.id, "log_store": recorded(self.preferred)}
        route = route_of({"resolved_execution": told})
        store = self.store(route)
        if route not in self._shippers:
            self._opened(route)
        return store

    def describe(self, route: Route) -> str:
        """A log store for people."""
        if route.backend is None:
            return f"the log store of {self._stacks.find(route.stack)}"
        return f"the log store `{route.backend}`" + (f" at {route.endpoint}" if route.endpoint else "")

    def _made(self, route: Route) -> LogStore:
        if route.backend is None:
            return self._stacks.find(route.stack).log_store
        settings = {"endpoint": route.endpoint} if route.endpoint is not None else {}
        chosen_by = self.describe(route)
        preferred = self.preferred
        if preferred is not None and (preferred.backend, preferred.endpoint) == (route.backend, route.endpoint):
            settings = preferred.settings()  # with the key, which no journal has
            chosen_by = f"the log store `{route.backend}` (set by the {preferred.source})"
        store: LogStore = build("log_store", route.backend, settings, chosen_by)
        return store

"""What the stack in force really uses, for status displays."""

from __future__ import annotations

from dataclasses import dataclass

from kitaru.config import settings as configured
from kitaru.config.log_store import normalise_log_store_name
from kitaru.errors import KitaruError
from kitaru.stack.components import Place
from kitaru.stack.stacks import select


@dataclass(frozen=True, slots=True)
class ActiveStackLogStore:
    """The log store of a stack."""

    backend: str
    endpoint: str | None
    stack_name: str


def active_stack_log_store() -> ActiveStackLogStore | None:
    """The log store that the stack in force has by itself, whatever the user prefers; None when that cannot be told."""
    try:
        settings = configured.resolve()
        stack = select(settings.stack, Place(settings.config_directory, settings.durability))
        component = stack.component("log_store")
    except KitaruError:
        return None
    endpoint = component.settings.get("endpoint")
    backend = normalise_log_store_name(component.flavor)
    return ActiveStackLogStore(backend, endpoint if isinstance(endpoint, str) else None, stack.name)

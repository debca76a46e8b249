"""Stacks by name."""

from __future__ import annotations

from dataclasses import dataclass

from kitaru.errors import KitaruPluginError, KitaruStateError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import Component, Place

DEFAULT = "default"
#: In the configuration directory: the stacks, and which of them is active.
FILE_NAME = "stacks.yaml"


@dataclass(frozen=True, slots=True)
class Stack:
    """A named set of components. A value: choosing one changes nothing for anybody else."""

    name: str
    type: str
    components: tuple[Component, ...]
    id: str = ""
    provider: str = "local"

    def component(self, kind: str) -> Component:
        """The component of a kind. Raises KitaruPluginError when this stack has none."""
        for one in self.components:
            if one.kind == kind:
                return one
        raise KitaruPluginError(f"stack `{self.name}` has no {kind}.")


def check_name(name: str | None) -> str:
    """The stack's name to use; None stands for the default stack.

    Raises:
        KitaruUsageError: the name is blank.
        KitaruStateError: there is no stack of this name.
    """
    if name is None:
        return DEFAULT
    name = str(name).strip()
    if not name:
        raise KitaruUsageError("Stack name or ID cannot be empty.")
    if name != DEFAULT:
        raise KitaruStateError(f"Stack '{name}' not found. The stacks here: {DEFAULT}.")
    return name


def select(name: str | None, place: Place) -> Stack:
    """The stack of this name, for this installation. ``default``, which runs everything on this machine, always exists.

    Raises what :func:`check_name` raises, and KitaruPluginError when no available plugin supplies its type.
    """
    name = check_name(name)
    return Stack(name, "local", tuple(plugin_manager().stack_type("local").make_components({}, place)))


def find(stack_id: str, place: Place) -> Stack:
    """The stack with this id, deleted ones included. Raises KitaruStateError when this installation has none."""
    raise KitaruStateError(f"Stack with the id '{stack_id}' not found in {place.directory}.")


def every(place: Place) -> list[Stack]:
    """All stacks of this installation, deleted ones included, ``default`` first."""
    return [select(None, place)]


def component_settings(stack: Stack, component: Component, place: Place) -> dict[str, object]:
    """What a component of a stack is made with for use."""
    del stack, place
    return dict(component.settings)

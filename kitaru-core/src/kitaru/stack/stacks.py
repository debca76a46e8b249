"""Stacks by name or id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kitaru.config.log_store import DEFAULT_BACKEND
from kitaru.errors import KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack import records
from kitaru.stack.components import Component, Place, SecretStore
from kitaru.stack.records import DEFAULT, DEFAULT_ID, Stack


def check_selector(selector: str) -> str:
    """What names a stack, trimmed. Raises KitaruUsageError for a blank one."""
    trimmed = str(selector).strip()
    if not trimmed:
        raise KitaruUsageError("Stack name or ID cannot be empty.")
    return trimmed


def select(selector: str | None, place: Place) -> Stack:
    """The stack with exactly this id or name, for this installation; None: the active one.

    ``default``, which runs everything on this machine, always exists.

    Raises:
        KitaruUsageError: the selector is blank.
        KitaruStateError: there is no such stack.
        KitaruConfigError: the file of stacks cannot be understood.
        KitaruPluginError: no available plugin supplies the default stack's type.
    """
    if selector is None:
        book = records.read(place.directory)
        return book.stacks[book.active] if book.active is not None else default(place)
    selector = check_selector(selector)
    if records.is_default(selector):
        return default(place)
    found = records.read(place.directory).named(selector)
    if found is None:
        raise not_found(selector, place.directory)
    return found


def default(place: Place) -> Stack:
    """The stack that is always there. Raises KitaruPluginError when no available plugin supplies its type."""
    components = tuple(plugin_manager().stack_type("local").make_components({}, place))
    return Stack(DEFAULT, "local", components, DEFAULT_ID)


def not_found(selector: str, directory: Path) -> KitaruStateError:
    """The error for a selector that names no stack: says which there are."""
    names = [DEFAULT, *sorted(one.name for one in records.read(directory).stacks.values())]
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")
    return KitaruStateError(f"Stack '{selector}' not found. The stacks here: {shown}. See `kitaru stack list`.")


def find(stack_id: str, place: Place) -> Stack:
    """The stack with this id, deleted ones included. Raises KitaruStateError when this installation has none."""
    book = records.read(place.directory)
    found = book.stacks.get(stack_id) or book.deleted.get(stack_id)
    if found is None:
        raise KitaruStateError(f"Stack with the id '{stack_id}' not found in {place.directory}.")
    return found


def every(place: Place) -> list[Stack]:
    """All stacks of this installation, deleted ones included, ``default`` first."""
    book = records.read(place.directory)
    return [default(place), *book.stacks.values(), *book.deleted.values()]


def component_settings(stack: Stack, component: Component, place: Place) -> dict[str, object]:
    """What a component of a stack is made with for use: see :func:`made_with`.

    Raises KitaruStateError when the secret parts of the credentials are gone, and what the secret store raises.
    """
    return made_with(
        component,
        stack.components,
        lambda: {**stack.credentials, **_secrets(stack, place)} if stack.credentials else {},
    )


def made_with(
    component: Component, components: Sequence[Component], credentials: Callable[[], Mapping[str, str]]
) -> dict[str, object]:
    """A component's settings, with the stack's credentials if it wants them and there are some.

    Logs that are kept in the artifact store are told how to make it.
    """
    settings: dict[str, object] = dict(component.settings)
    if component.credentials and (signed := credentials()):
        settings["credentials"] = dict(signed)
    if (component.kind, component.flavor) == ("log_store", DEFAULT_BACKEND):
        for store in components:
            if store.kind == "artifact_store":
                told = {"flavor": store.flavor, "settings": made_with(store, components, credentials)}
                settings["artifact_store"] = told
    return settings


def own_secrets(place: Place) -> SecretStore:
    """The secret store of this installation, whatever stack is active: where secret parts of credentials are kept.

    Raises KitaruPluginError when it cannot be made.
    """
    component = default(place).component("secret_store")
    store: SecretStore = plugin_manager().flavor("secret_store", component.flavor).build(component.settings)
    return store


def _secrets(stack: Stack, place: Place) -> dict[str, str]:
    if not stack.has_secrets:
        return {}
    try:
        return own_secrets(place).get(records.secret_name(stack.id))
    except KitaruNotFoundError:
        raise KitaruStateError(
            f"the credentials of stack `{stack.name}` are not in this installation's secrets any more. Make the stack "
            f"anew: `kitaru stack create` with `--credentials`."
        ) from None

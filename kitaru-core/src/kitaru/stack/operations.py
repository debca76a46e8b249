"""Making, choosing, showing and deleting stacks: what the command line, tool calls and ``kitaru.create_stack`` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import uuid4

from kitaru.config import settings as configured
from kitaru.errors import KitaruBackendError, KitaruError, KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack import assembling, records, stacks
from kitaru.stack.assembling import Assembly
from kitaru.stack.components import Component, Place, SecretStore
from kitaru.stack.overrides import StackComponentConfigOverrides
from kitaru.stack.records import DEFAULT, DEFAULT_ID, MANAGED_LABEL, Stack
from kitaru.stack.remote_specs import RemoteStackSpec
from kitaru.stack.rules import normalize_optional_stack_string
from kitaru.stack.types import LOCAL, StackComponentTarget, StackType, catalog
from kitaru.stack_models import (
    Role,
    StackComponentDetails,
    StackCreateResult,
    StackDeleteResult,
    StackDetails,
    StackInfo,
    StackListEntry,
)

_NAME_MAX = 200
_ROLES: dict[str, Role] = {
    "orchestrator": "runner",
    "artifact_store": "storage",
    "container_registry": "image_registry",
}


def place() -> Place:
    """The place of this installation's stacks."""
    settings = configured.resolve()
    return Place(settings.config_directory, settings.durability)


# -- reading --------------------------------------------------------------------------------------------------------


def list_stack_entries() -> list[StackListEntry]:
    """All stacks, ``default`` first, then in the order they were made."""
    here = place()
    book = records.read(here.directory)
    found = [stacks.default(here), *book.stacks.values()]
    return [StackListEntry(_info(one, book.active), one.managed) for one in found]


def current() -> StackInfo:
    """The stack that a flow without one of its own would run on now: the one that settings name, or the active one."""
    settings = configured.resolve()
    here = Place(settings.config_directory, settings.durability)
    return _info(stacks.select(settings.stack, here), records.read(here.directory).active)


def use(selector: str) -> StackInfo:
    """Make a stack the active one. Raises KitaruUsageError (blank), KitaruStateError (there is none)."""
    here = place()
    selector = stacks.check_selector(selector)

    def activate(draft: records.Draft) -> StackInfo:
        if records.is_default(selector):
            draft.activate(None)
            return StackInfo(DEFAULT_ID, DEFAULT, True)
        chosen = _named(draft, selector, here)
        draft.activate(chosen)
        return StackInfo(chosen.id, chosen.name, True)

    return records.change(here.directory, activate)


def _named(draft: records.Draft, selector: str, here: Place) -> Stack:
    found = draft.book.named(selector)
    if found is None:
        raise stacks.not_found(selector, here.directory)
    return found


def show(selector: str) -> StackDetails:
    """A stack with its components. Raises like :func:`use`; never needs the network."""
    here = place()
    stack = stacks.select(stacks.check_selector(selector), here)
    order = [target.value for target in StackComponentTarget]
    components = sorted(
        stack.components, key=lambda one: (order.index(one.kind) if one.kind in order else len(order), one.kind)
    )
    info = _info(stack, records.read(here.directory).active)
    details = tuple(_details(stack, one) for one in components)
    return StackDetails(info, stack.managed, stack.type, details, dict(stack.labels))


def _info(stack: Stack, active: str | None) -> StackInfo:
    return StackInfo(stack.id, stack.name, stack.id == (active or DEFAULT_ID))


def _details(stack: Stack, component: Component) -> StackComponentDetails:
    role = _ROLES.get(component.kind, "additional_component")
    told: list[tuple[str, str]] = []
    for wish in _shown(component):
        key, _, label = wish.partition("=")
        value = component.settings.get(key)
        if value is None:
            value = stack.fields.get(key)
        if isinstance(value, (str, int, float, bool)) and str(value).strip():
            told.append((label or key, str(value)))
    purpose = component.kind if role == "additional_component" else None
    return StackComponentDetails(role, stack.name, component.flavor, tuple(told), purpose)


def _shown(component: Component) -> tuple[str, ...]:
    try:
        declared = plugin_manager().flavor(component.kind, component.flavor).shown
    except KitaruError:  # its plugin is not here any more: the stack can still be looked at
        declared = ()
    return declared or {"artifact_store": ("uri=location",), "container_registry": ("uri=location",)}.get(
        component.kind, ()
    )


# -- making ---------------------------------------------------------------------------------------------------------


def create(
    name: str,
    *,
    stack_type: str = LOCAL,
    activate: bool = True,
    labels: Mapping[str, str] | None = None,
    remote_spec: RemoteStackSpec | None = None,
    component_overrides: StackComponentConfigOverrides | None = None,
) -> StackCreateResult:
    """Make a stack. All or nothing: whatever fails or dies on the way, there is either the whole stack or none of it.

    Raises:
        KitaruUsageError: a blank or unusable name, a spec that does not go with the type, credentials that cannot be
            understood, options that a component does not take.
        KitaruStateError: there is a stack of this name.
        KitaruBackendError: what ``verify`` looked at is not there, or not for us.
        KitaruPluginError: the type, or a component of it, is not installed or cannot be loaded.
    """
    stack_type = StackType(stack_type)
    if stack_type == LOCAL and remote_spec is not None:
        raise KitaruUsageError("A local stack takes no remote spec.")
    if stack_type != LOCAL and remote_spec is None:
        raise KitaruUsageError(f"{catalog().display(stack_type)} spec required for --type {stack_type}.")
    name = _check_name(name)
    here = place()
    parts = assembling.assemble(remote_spec, component_overrides or StackComponentConfigOverrides(), here)
    _refuse_taken(records.read(here.directory), name)
    assembling.check_settings(parts)
    if remote_spec is not None and remote_spec.verify:
        _verify(name, parts)
    stack = _made(name, labels, parts)
    secrets = dict(parts.credentials.secret) if parts.credentials is not None else {}
    try:
        result = records.change(here.directory, lambda draft: _keep(draft, stack, secrets, activate, here))
    except BaseException:
        if secrets and stack.id not in records.read(here.directory).stacks:
            _forget(stacks.own_secrets(here), records.secret_name(stack.id))
        raise
    return replace(result, stack_type=stack_type, resources=parts.resources() or None)


def _keep(
    draft: records.Draft, stack: Stack, secrets: Mapping[str, str], activate: bool, here: Place
) -> StackCreateResult:
    """Under the file's lock. The secret comes first: a stack that is seen can sign in. One without stack is removed."""
    _refuse_taken(draft.book, stack.name)
    previous = _active_name(draft.book) if activate else None
    if secrets:
        store = stacks.own_secrets(here)
        _remove_orphans(draft.book, store)
        store.set(records.secret_name(stack.id), secrets)
    draft.add(stack)
    if activate:
        draft.activate(stack)
    created = _component_labels(stack)
    active = stack.id if activate else draft.book.active
    return StackCreateResult(_info(stack, active), previous, created)


def _made(name: str, labels: Mapping[str, str] | None, parts: Assembly) -> Stack:
    credentials = parts.credentials
    return Stack(
        name=name,
        type=parts.declared.name,
        components=parts.components,
        id=str(uuid4()),
        provider=parts.declared.provider,
        labels={**{str(key): str(value) for key, value in (labels or {}).items()}, MANAGED_LABEL: "true"},
        fields=dict(parts.fields),
        credentials={**credentials.public, "method": credentials.method} if credentials is not None else {},
        has_secrets=credentials is not None and bool(credentials.secret),
    )


def _check_name(name: str) -> str:
    checked = normalize_optional_stack_string(str(name))
    if checked is None:
        raise KitaruUsageError("Stack name cannot be empty.")
    if len(checked) > _NAME_MAX or not checked.isprintable():
        raise KitaruUsageError(f"Stack name {checked[:40]!r} has over {_NAME_MAX} characters, or some without a shape.")
    return checked


def _refuse_taken(book: records.Book, name: str) -> None:
    # A name that is another stack's id would hide behind it.
    if records.is_default(name) or book.named(name) is not None:
        raise KitaruStateError(f"Stack '{name}' already exists. Activate it with `kitaru stack use {name}`.")


def _verify(name: str, parts: Assembly) -> None:
    wrong = assembling.verify(parts)
    if wrong:
        told = "\n".join(f"  {one}" for one in wrong)
        raise KitaruBackendError(
            f"failed to prepare {parts.declared.display} stack '{name}', nothing was created:\n{told}\n"
            "Fix that, or make the stack without looking: `--no-verify`."
        )


def _component_labels(stack: Stack) -> tuple[str, ...]:
    kinds = {one.kind for one in stack.components}
    return tuple(f"{stack.name} ({target.value})" for target in StackComponentTarget if target.value in kinds)


def _active_name(book: records.Book) -> str:
    return book.stacks[book.active].name if book.active is not None else DEFAULT


def _remove_orphans(book: records.Book, store: SecretStore) -> None:
    """What a process left that died between a secret and its stack; under the lock nobody else is between them."""
    known = {records.secret_name(one) for one in (*book.stacks, *book.deleted)}
    for name in store.list():
        if name.startswith(records.SECRET_PREFIX) and name not in known:
            _forget(store, name)


def _forget(store: SecretStore, name: str) -> None:
    try:
        store.delete(name)
    except KitaruNotFoundError:
        return


# -- deleting -------------------------------------------------------------------------------------------------------


def delete(selector: str, *, recursive: bool = False, force: bool = False) -> StackDeleteResult:
    """Delete a stack: no new execution can start on it. What its executions have stored stays and can be read.

    Args:
        selector: its id or name, exactly.
        recursive: give up its components and credentials, too: what only it had. Nothing in the cloud is removed.
        force: also when it is active; ``default`` is active then.

    Raises:
        KitaruUsageError: a blank selector, or ``default``.
        KitaruStateError: there is no such stack, or it is active and ``force`` was not given.
    """
    here = place()
    selector = stacks.check_selector(selector)
    if records.is_default(selector):
        raise KitaruUsageError("The stack 'default' is always there: it cannot be deleted.")

    def remove(draft: records.Draft) -> tuple[Stack, StackDeleteResult]:
        stack = _named(draft, selector, here)
        active = draft.book.active == stack.id
        if active and not force:
            raise KitaruStateError(
                f"Cannot delete the active stack '{stack.name}'. Use another one first (`kitaru stack use OTHER`), or "
                f"fall back to '{DEFAULT}' with `--force`."
            )
        if active:
            draft.activate(None)
        draft.delete(stack)
        given_up = _component_labels(stack) if recursive and stack.managed else ()
        return stack, StackDeleteResult(stack.name, given_up, DEFAULT if active else None, recursive)

    gone, result = records.change(here.directory, remove)
    if recursive and gone.has_secrets:
        _forget(stacks.own_secrets(here), records.secret_name(gone.id))
    return result


_list_stack_entries = list_stack_entries
_show_stack_operation = show
_create_stack_operation = create
_delete_stack_operation = delete
_StackListEntry = StackListEntry
_StackCreateResult = StackCreateResult
_StackDeleteResult = StackDeleteResult

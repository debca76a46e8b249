"""From what the command line or a tool call says to a request that can be carried out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.stack.labels import MCP_STACK_OPTION_LABELS, StackOptionLabels
from kitaru.stack.overrides import (
    StackComponentConfigOverrides,
    apply_async_override,
    normalize_component_overrides_mapping,
    validate_component_override_targets,
)
from kitaru.stack.remote_specs import RemoteStackSpec, remote_stack_spec
from kitaru.stack.rules import normalize_stack_type, render_field_labels, render_stack_type_requirement
from kitaru.stack.types import LOCAL, StackType, catalog


@dataclass(frozen=True, slots=True)
class ManageStackCreateRequest:
    """Make a stack. ``remote_spec`` is None for the local type."""

    name: str
    activate: bool
    stack_type: StackType
    remote_spec: RemoteStackSpec | None = None
    component_overrides: StackComponentConfigOverrides = field(default_factory=StackComponentConfigOverrides)


@dataclass(frozen=True, slots=True)
class ManageStackDeleteRequest:
    """Delete a stack."""

    name: str
    recursive: bool
    force: bool


def build_stack_create_request(
    *,
    name: str,
    activate: bool,
    stack_type: str,
    artifact_store: str | None = None,
    container_registry: str | None = None,
    cluster: str | None = None,
    region: str | None = None,
    subscription_id: str | None = None,
    resource_group: str | None = None,
    workspace: str | None = None,
    execution_role: str | None = None,
    namespace: str | None = None,
    credentials: str | None = None,
    verify: bool = True,
    component_overrides: StackComponentConfigOverrides | None = None,
    async_enabled: bool = False,
    labels: StackOptionLabels,
    allowed_stack_types: tuple[StackType, ...] | None = None,
    more_fields: Mapping[str, str | None] | None = None,
) -> ManageStackCreateRequest:
    """A request to make a stack; ``name`` is passed on as it is.

    ``allowed_stack_types`` are those of the interface (default: all installed); ``more_fields`` are those that only
    some plugin's stack type knows.

    Raises:
        KitaruUsageError: in this order: an unknown type; ``async`` for the local type; overrides of a component that
            the type has not; options that do not make a stack (see ``remote_stack_spec``).
    """
    given = {
        "artifact_store": artifact_store,
        "container_registry": container_registry,
        "cluster": cluster,
        "region": region,
        "subscription_id": subscription_id,
        "resource_group": resource_group,
        "workspace": workspace,
        "execution_role": execution_role,
        "namespace": namespace,
        "credentials": credentials,
    }
    return create_request(
        name,
        stack_type,
        {**(more_fields or {}), **given},
        activate=activate,
        verify=verify,
        component_overrides=component_overrides,
        async_enabled=async_enabled,
        labels=labels,
        allowed_stack_types=allowed_stack_types,
    )


def create_request(
    name: str,
    stack_type: str,
    given: Mapping[str, str | None],
    *,
    activate: bool = True,
    verify: bool = True,
    component_overrides: StackComponentConfigOverrides | None = None,
    async_enabled: bool = False,
    labels: StackOptionLabels,
    allowed_stack_types: tuple[StackType, ...] | None = None,
) -> ManageStackCreateRequest:
    """:func:`build_stack_create_request` for options in a mapping, ``credentials`` included; None: not given."""
    chosen = normalize_stack_type(stack_type, allowed_stack_types=allowed_stack_types)
    if async_enabled and chosen == LOCAL:
        raise _async_needs_remote(labels)
    validate_component_override_targets(chosen, component_overrides, labels=labels)
    spec = remote_stack_spec(chosen, given, verify=verify, labels=labels)
    overrides = apply_async_override(component_overrides, async_enabled=async_enabled)
    return ManageStackCreateRequest(name, activate, chosen, spec, overrides)


def build_manage_stack_request(
    *,
    action: str,
    name: str,
    activate: bool = True,
    recursive: bool = False,
    force: bool = False,
    stack_type: str = LOCAL,
    artifact_store: str | None = None,
    container_registry: str | None = None,
    cluster: str | None = None,
    region: str | None = None,
    subscription_id: str | None = None,
    resource_group: str | None = None,
    workspace: str | None = None,
    execution_role: str | None = None,
    namespace: str | None = None,
    credentials: str | None = None,
    verify: bool = True,
    extra: Mapping[str, Any] | None = None,
    async_mode: bool = False,
    more_fields: Mapping[str, str | None] | None = None,
) -> ManageStackCreateRequest | ManageStackDeleteRequest:
    """The request of a tool call: ``action`` is ``"create"`` or ``"delete"``.

    Raises:
        KitaruUsageError: another action, arguments of the other action (those that only ``create`` takes are named
            all at once), or what ``build_stack_create_request`` raises.
    """
    given = {
        "artifact_store": artifact_store,
        "container_registry": container_registry,
        "cluster": cluster,
        "region": region,
        "subscription_id": subscription_id,
        "resource_group": resource_group,
        "workspace": workspace,
        "execution_role": execution_role,
        "namespace": namespace,
        "credentials": credentials,
    }
    if action == "create":
        return create_request(
            name,
            stack_type,
            {**(more_fields or {}), **given},
            activate=activate,
            verify=verify,
            component_overrides=_overrides_to_create(recursive or force, extra),
            async_enabled=async_mode,
            labels=MCP_STACK_OPTION_LABELS,
        )
    if action == "delete":
        if activate is False:
            raise KitaruUsageError('`activate` is only valid when action="create".')
        provided = {"stack_type": normalize_stack_type(stack_type) != LOCAL}
        provided |= {field: value is not None for field, value in {**given, **(more_fields or {})}.items()}
        provided |= {"verify": verify is False, "extra": extra is not None, "async": async_mode}
        _refuse_create_options(provided)
        return ManageStackDeleteRequest(name, recursive, force)
    raise KitaruUsageError('`action` must be "create" or "delete".')


def _overrides_to_create(delete_options: bool, extra: Any) -> StackComponentConfigOverrides | None:
    if delete_options:
        raise KitaruUsageError('`recursive` and `force` are only valid when action="delete".')
    if extra is None:
        return None
    if not isinstance(extra, Mapping):
        raise KitaruUsageError("`extra` must be an object when provided.")
    return normalize_component_overrides_mapping(extra, labels=MCP_STACK_OPTION_LABELS)


def _refuse_create_options(provided: Mapping[str, bool]) -> None:
    given = [name for name, is_given in provided.items() if is_given]
    if given:
        names = render_field_labels(given, labels=MCP_STACK_OPTION_LABELS)
        raise KitaruUsageError(f'Stack create options are only valid when action="create": {names}')


def _async_needs_remote(labels: StackOptionLabels) -> KitaruUsageError:
    label, remote = labels.field_labels["async"], frozenset(catalog().remote_types)
    if not remote:
        return KitaruUsageError(f"{label} requires a remote stack type. {catalog().explain_remote()}")
    return KitaruUsageError(f"{label} requires {render_stack_type_requirement(remote, labels=labels)}.")

"""What a remote stack is made of, as the user asked for it and its provider declared it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kitaru.errors import KitaruUsageError
from kitaru.plugins.declarations import StackType as Declared
from kitaru.stack.labels import StackOptionLabels
from kitaru.stack.rules import (
    infer_cloud_provider,
    normalize_optional_stack_string,
    render_alternatives,
    render_field_labels,
    render_schemes,
    validate_explicit_field_usage,
)
from kitaru.stack.types import LOCAL, CloudProvider, StackType, catalog, rule_of


@dataclass(frozen=True, slots=True)
class RemoteStackSpec:
    """A remote stack that fits its declaration.

    Every field that the declaration takes is an attribute too: ``spec.region`` is its text, or None.

    Attributes:
        stack_type: its type.
        provider: whose it is.
        values: each field the declaration takes, in the order of messages, trimmed, with its default; None: absent.
        credentials: how to sign in, as the user wrote it; it may hold a secret and is not shown.
        verify: whether to look at what it names before it is made.
    """

    stack_type: StackType
    provider: CloudProvider
    values: tuple[tuple[str, str | None], ...]
    credentials: str | None = field(default=None, repr=False)
    verify: bool = True

    @property
    def fields(self) -> dict[str, str]:
        """The fields that are not absent: what the provider's functions get."""
        return {name: value for name, value in self.values if value is not None}

    def __getattr__(self, name: str) -> str | None:
        # By way of object: a copy under construction has no values yet, and must not ask for them here again.
        for one, value in object.__getattribute__(self, "values"):
            if one == name:
                text: str | None = value
                return text
        raise AttributeError(f"a {self.stack_type} stack has no field {name!r}")


def build_remote_stack_spec(
    *,
    stack_type: StackType,
    artifact_store: str | None,
    container_registry: str | None,
    cluster: str | None,
    region: str | None,
    subscription_id: str | None,
    resource_group: str | None,
    workspace: str | None,
    execution_role: str | None,
    namespace: str | None,
    credentials: str | None,
    verify: bool,
    labels: StackOptionLabels,
    more_fields: Mapping[str, str | None] | None = None,
) -> RemoteStackSpec | None:
    """The spec of a remote stack; None for the local type. See ``remote_stack_spec``.

    ``more_fields`` are those that only some plugin's stack type knows.
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
    return remote_stack_spec(stack_type, {**(more_fields or {}), **given}, verify=verify, labels=labels)


def remote_stack_spec(
    stack_type: StackType, given: Mapping[str, str | None], *, verify: bool, labels: StackOptionLabels
) -> RemoteStackSpec | None:
    """The spec of a remote stack; None for the local type.

    Args:
        stack_type: its type.
        given: the options as the user wrote them, ``credentials`` included; None: not given.
        verify: see ``RemoteStackSpec``.
        labels: how the interface writes them.

    Raises:
        KitaruUsageError: in this order: options the type does not take; an unknown type; required ones that are
            missing or blank (all at once); an artifact store of no provider, or of one that does not have this type;
            options that the chosen provider's variant of the type needs or refuses.
    """
    stack_type = StackType(stack_type)
    provided = {name: value is not None for name, value in given.items()}
    validate_explicit_field_usage(
        stack_type=stack_type, provided_fields={**provided, "verify": verify is False}, labels=labels
    )
    if stack_type == LOCAL:
        return None
    candidates = catalog().of(stack_type)
    if not candidates:
        explanation = catalog().explain(stack_type)
        raise KitaruUsageError(f"Unsupported stack type: {stack_type}." + (f" {explanation}" if explanation else ""))
    values = {name: normalize_optional_stack_string(value) for name, value in given.items()}
    _check_required(stack_type, candidates, values, labels)
    declared = _choose(stack_type, candidates, values.get("artifact_store"))
    _check_variant(declared, provided, values, labels)
    return RemoteStackSpec(
        stack_type=stack_type,
        provider=CloudProvider(declared.provider),
        values=tuple(
            (name, values.get(name) or declared.defaults.get(name))
            for name in catalog().fields
            if name not in ("credentials", "verify") and rule_of(declared, name) != "forbidden"
        ),
        credentials=values.get("credentials"),
        verify=verify,
    )


def _check_required(
    stack_type: StackType, candidates: list[Declared], values: Mapping[str, str | None], labels: StackOptionLabels
) -> None:
    # Which provider it is shows in the artifact store, so what only one of several needs is checked later.
    required = [name for name in catalog().fields if all(rule_of(one, name) == "required" for one in candidates)]
    if len(candidates) > 1 and "artifact_store" not in required:
        required.insert(0, "artifact_store")
    missing = [name for name in required if values.get(name) is None]
    if missing:
        label = labels.stack_type_labels[stack_type]
        raise KitaruUsageError(f"{label} requires: {render_field_labels(missing, labels=labels)}.")


def _choose(stack_type: StackType, candidates: list[Declared], artifact_store: str | None) -> Declared:
    if artifact_store is None:
        return candidates[0]
    provider = infer_cloud_provider(artifact_store)
    for one in candidates:
        if one.provider == provider:
            return one
    schemes = catalog().schemes(one.provider for one in candidates)
    if not schemes:
        raise KitaruUsageError(
            f"{candidates[0].display} stacks cannot use '{artifact_store}': no URI scheme belongs to "
            f"{render_alternatives([one.provider for one in candidates])}."
        )
    if len(candidates) > 1:
        raise KitaruUsageError(
            f"Cannot infer cloud provider from '{artifact_store}' for a stack of type {stack_type}. "
            f"Use {render_schemes(schemes)} artifact store URI."
        )
    raise KitaruUsageError(
        f"{candidates[0].display} stacks require {render_schemes(schemes)} artifact store URI, got '{artifact_store}'."
    )


def _check_variant(
    declared: Declared, provided: Mapping[str, bool], values: Mapping[str, str | None], labels: StackOptionLabels
) -> None:
    label = f"{labels.stack_type_labels[StackType(declared.name)]} on {declared.provider}"
    order = catalog().fields
    refused = [name for name in order if provided.get(name) and rule_of(declared, name) == "forbidden"]
    if refused:
        raise KitaruUsageError(f"{label} does not take: {render_field_labels(refused, labels=labels)}.")
    missing = [name for name in order if rule_of(declared, name) == "required" and values.get(name) is None]
    if missing:
        raise KitaruUsageError(f"{label} requires: {render_field_labels(missing, labels=labels)}.")

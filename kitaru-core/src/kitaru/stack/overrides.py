"""Options of a stack's components beyond the curated ones: reading, checking and merging them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.stack.labels import StackOptionLabels
from kitaru.stack.types import LOCAL, StackComponentTarget, StackType

_FORM = "TARGET.FIELD=VALUE"


@dataclass(frozen=True, slots=True)
class StackComponentConfigOverrides:
    """Options per component, as the user wrote them. Never changed in place: merging makes a new one."""

    orchestrator: dict[str, Any] = field(default_factory=dict)
    artifact_store: dict[str, Any] = field(default_factory=dict)
    container_registry: dict[str, Any] = field(default_factory=dict)

    def is_empty(self) -> bool:
        """Whether no component has any."""
        return not any(self.of(target) for target in StackComponentTarget)

    def of(self, target: StackComponentTarget) -> dict[str, Any]:
        """The options of one component."""
        options: dict[str, Any] = getattr(self, target.value)
        return options


def deep_merge(base: Any, override: Any) -> Any:
    """``override`` over ``base``: two mappings merge key by key into a new dict, anything else is replaced whole.

    Neither argument is changed, and the result shares no container with them.
    """
    if isinstance(base, Mapping) and isinstance(override, Mapping):
        return _merge_nested_mapping(base, override)
    return deepcopy(override)


def merge_component_overrides(
    base: StackComponentConfigOverrides | None, override: StackComponentConfigOverrides | None
) -> StackComponentConfigOverrides:
    """Both as one new object; ``override`` wins leaf by leaf. None counts as empty."""
    base, override = base or StackComponentConfigOverrides(), override or StackComponentConfigOverrides()
    return StackComponentConfigOverrides(
        **{target.value: _merge_nested_mapping(base.of(target), override.of(target)) for target in StackComponentTarget}
    )


def normalize_component_overrides_mapping(
    raw: Mapping[Any, Any], *, labels: StackOptionLabels
) -> StackComponentConfigOverrides:
    """The overrides of a mapping ``{target: {option: value}}``.

    Raises:
        KitaruUsageError: a key that is no text, an unknown target, or a target's value that is no mapping.
    """
    extra = labels.field_labels["extra"]
    found: dict[str, dict[str, Any]] = {}
    for key, value in raw.items():
        if not isinstance(key, str):
            raise KitaruUsageError(f"{extra} keys must be strings.")
        label = _target_field_label(_target(key, labels=labels), labels=labels)
        if not isinstance(value, Mapping):
            raise KitaruUsageError(f"{label} must be an object.")
        found[key] = _validate_nested_override_mapping(value, option_name=label)
    return StackComponentConfigOverrides(**found)


def parse_cli_component_overrides(
    assignments: Sequence[str], *, labels: StackOptionLabels
) -> StackComponentConfigOverrides:
    """The overrides of texts ``TARGET.FIELD=VALUE``; later ones win. Values are YAML and may hold ``=`` and ``.``.

    Raises:
        KitaruUsageError: a text of another form, an unknown target, or a value that is no YAML.
    """
    merged = StackComponentConfigOverrides()
    for assignment in assignments:
        invalid = KitaruUsageError(f"Invalid {labels.field_labels['extra']} value '{assignment}'. Use {_FORM}.")
        left, equals, raw_value = assignment.partition("=")
        name, _, path = left.partition(".")
        if not (equals and name and path):
            raise invalid
        target = _target(name, labels=labels)
        parts = path.split(".")
        if not all(parts):
            raise invalid
        options: dict[str, Any] = {}
        _assign_nested_override(options, parts, _parse_component_override_value(raw_value, labels=labels))
        merged = merge_component_overrides(merged, StackComponentConfigOverrides(**{target.value: options}))
    return merged


def apply_async_override(
    overrides: StackComponentConfigOverrides | None, *, async_enabled: bool
) -> StackComponentConfigOverrides:
    """The overrides with ``orchestrator.synchronous = False``, if enabled and the user has not set that himself."""
    current = overrides if overrides is not None else StackComponentConfigOverrides()
    if not async_enabled or "synchronous" in current.orchestrator:
        return current
    return merge_component_overrides(current, StackComponentConfigOverrides(orchestrator={"synchronous": False}))


def validate_component_override_targets(
    stack_type: StackType, overrides: StackComponentConfigOverrides | None, *, labels: StackOptionLabels
) -> None:
    """Refuse options of a component that stacks of this type do not have. Raises KitaruUsageError."""
    if overrides is None:
        return
    allowed = set(StackComponentTarget)
    if stack_type == LOCAL:
        allowed.remove(StackComponentTarget.CONTAINER_REGISTRY)
    for target in StackComponentTarget:
        if target in allowed or not overrides.of(target):
            continue
        text = (
            f"{_target_field_label(target, labels=labels)} cannot be used with {labels.stack_type_labels[stack_type]}"
        )
        if target is StackComponentTarget.CONTAINER_REGISTRY:
            text += ": local stacks have no container registry component"
        raise KitaruUsageError(f"{text}.")


def _merge_nested_mapping(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    merged = deepcopy(dict(base))
    for key, value in override.items():
        merged[key] = deep_merge(merged[key], value) if key in merged else deepcopy(value)
    return merged


def _validate_nested_override_mapping(raw: Mapping[Any, Any], *, option_name: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in raw.items():
        if not isinstance(key, str):
            raise KitaruUsageError(f"{option_name} keys must be strings.")
        nested = isinstance(value, Mapping)
        found[key] = _validate_nested_override_mapping(value, option_name=option_name) if nested else value
    return found


def _target_field_label(target: StackComponentTarget, *, labels: StackOptionLabels) -> str:
    return f"{labels.field_labels['extra']} {target.value}.*"


def _target(name: str, *, labels: StackOptionLabels) -> StackComponentTarget:
    try:
        return StackComponentTarget(name)
    except ValueError:
        valid = ", ".join(sorted(StackComponentTarget))
        raise KitaruUsageError(
            f"Unsupported {labels.field_labels['extra']} target '{name}'. Valid targets: {valid}."
        ) from None


def _assign_nested_override(root: dict[str, Any], path_parts: list[str], value: Any) -> None:
    current = root
    for part in path_parts[:-1]:
        if current.get(part) is None:
            current[part] = {}
        following = current[part]
        if not isinstance(following, dict):
            raise KitaruUsageError(f"Cannot set '{'.'.join(path_parts)}': '{part}' is not an object.")
        current = following
    current[path_parts[-1]] = value


def _parse_component_override_value(raw_value: str, *, labels: StackOptionLabels) -> Any:
    extra = labels.field_labels["extra"]
    if not raw_value:
        raise KitaruUsageError(f"Invalid {extra} value: it is empty. Use {_FORM}.")
    import yaml

    try:
        return yaml.safe_load(raw_value)
    # ValueError: what looks like a date but is none; RecursionError: brackets without end.
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise KitaruUsageError(f"Invalid {extra} value '{raw_value}': {error}") from error


_deep_merge_config_values = deep_merge

"""Reading what a user says about a stack: names of types, URIs, and which options go with which type. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from kitaru.errors import KitaruUsageError
from kitaru.stack.labels import StackOptionLabels
from kitaru.stack.types import CloudProvider, StackType, catalog


def normalize_optional_stack_string(value: str | None) -> str | None:
    """The text trimmed; None for None and for a blank one."""
    return (value.strip() or None) if value is not None else None


def render_alternatives(items: list[str]) -> str:
    """``A``, ``A or B``, ``A, B, or C``. At least one item is expected."""
    if len(items) < 3:
        return " or ".join(items)
    return f"{', '.join(items[:-1])}, or {items[-1]}"


def render_schemes(schemes: list[str]) -> str:
    """URI schemes as alternatives behind their article: ``an s3://``, ``a gs:// or s3://``."""
    first = schemes[0]
    # A letter before a digit is spelled out: "an s3".
    spelled = first[0] in "fhlmnrsx" and first[1].isdigit()
    article = "an" if spelled or first[0] in "aeiou" else "a"
    return f"{article} {render_alternatives(schemes)}"


def normalize_stack_type(raw_type: str, *, allowed_stack_types: tuple[StackType, ...] | None = None) -> StackType:
    """The stack type of a text: trimmed, in lower case.

    Args:
        raw_type: what the user wrote.
        allowed_stack_types: the types the interface takes; default: all that are installed.

    Raises:
        KitaruUsageError: no such type, or not one that is allowed (a blank text never is). The text echoes the input
            and lists the types; for a type whose package is not installed it says what to install.
    """
    there = catalog()
    allowed = there.types if allowed_stack_types is None else allowed_stack_types
    stack_type = StackType(raw_type.strip().lower())
    if stack_type in there.types and stack_type in allowed:
        return stack_type
    text = f"Unsupported stack type: {raw_type}."
    if allowed:
        text += f" Use {_render_supported_stack_types(allowed)}."
    # A type that the interface leaves out would not be taken once it is installed either.
    candidate = stack_type not in there.types and (allowed_stack_types is None or stack_type in allowed)
    explanation = there.explain(stack_type) if candidate and stack_type else None
    raise KitaruUsageError(f"{text} {explanation}" if explanation else text)


def infer_cloud_provider(artifact_store_uri: str) -> CloudProvider:
    """The provider a URI belongs to, by its scheme: case matters, nothing is trimmed.

    Raises:
        KitaruUsageError: no installed provider has this scheme. The text lists the schemes there are; for one whose
            package is not installed it says what to install.
    """
    there = catalog()
    provider = there.provider_of(artifact_store_uri)
    if provider is not None:
        return provider
    text = f"Cannot infer cloud provider from '{artifact_store_uri}'."
    if there.schemes():
        text += f" Use {render_schemes(there.schemes())} artifact store URI."
    scheme, separator, _ = artifact_store_uri.partition("://")
    explanation = there.explain(scheme + separator) if separator else None
    if explanation is None and not there.schemes():
        explanation = there.explain_remote()
    raise KitaruUsageError(f"{text} {explanation}" if explanation else text)


def render_field_labels(field_names: list[str], *, labels: StackOptionLabels) -> str:
    """The labels of options, joined by commas."""
    return ", ".join(labels.field_labels[name] for name in field_names)


def render_stack_type_requirement(allowed: frozenset[StackType], *, labels: StackOptionLabels) -> str:
    """The labels of stack types as alternatives, in order, without those that the interface has no label for."""
    return render_alternatives(
        [labels.stack_type_labels[one] for one in catalog().types if one in allowed and one in labels.stack_type_labels]
    )


def validate_explicit_field_usage(
    *, stack_type: StackType, provided_fields: Mapping[str, bool], labels: StackOptionLabels
) -> None:
    """Refuse options that the stack type does not take.

    Args:
        stack_type: the type the user chose.
        provided_fields: whether each option was given; a blank one was.
        labels: how the interface writes them.

    Raises:
        KitaruUsageError: options that only other types take. Of several groups one is named: that of the fewest
            types, then by name.
    """
    there = catalog()
    order = dict.fromkeys((*there.fields, *provided_fields))
    groups: dict[frozenset[StackType], list[str]] = {}
    for field in order:
        takers = there.takers(field)
        if provided_fields.get(field, False) and stack_type not in takers:
            groups.setdefault(takers, []).append(field)
    if not groups:
        return
    takers = min(groups, key=lambda types: (len(types), tuple(one for one in there.types if one in types)))
    group, given = _option_group_label(takers), render_field_labels(groups[takers], labels=labels)
    if not takers:
        raise KitaruUsageError(f"{group} require a stack type that is not installed: {given}. {there.explain_remote()}")
    raise KitaruUsageError(f"{group} require {render_stack_type_requirement(takers, labels=labels)}: {given}")


def _render_supported_stack_types(allowed: tuple[StackType, ...]) -> str:
    return render_alternatives([f"'{one}'" for one in allowed])


def _option_group_label(allowed: frozenset[StackType]) -> str:
    there = catalog()
    if len(allowed) == 1:
        (only,) = allowed
        return f"{there.display(only)}-only options"
    if allowed and allowed == frozenset(there.remote_types):
        return "Remote stack options"
    return "Stack-specific options"


_render_oxford_comma_list = render_alternatives
_render_field_labels = render_field_labels
_render_stack_type_requirement = render_stack_type_requirement
_validate_explicit_field_usage = validate_explicit_field_usage

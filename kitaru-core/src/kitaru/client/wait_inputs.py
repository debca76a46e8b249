"""A quick look at a wait's answer, before the full check that the journal's owner makes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruUsageError

if TYPE_CHECKING:
    from kitaru.models import Execution

_TYPES: dict[str, tuple[type, ...]] = {
    "null": (type(None),),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "string": (str,),
    "array": (list,),
    "object": (dict,),
}


def _validate_schema_type(value: Any, schema_type: str) -> bool:
    """Whether ``value`` has a JSON Schema type; a bool is no number, and an unknown label admits everything."""
    expected = _TYPES.get(schema_type)
    if expected is None:
        return True
    if isinstance(value, bool) and schema_type in ("integer", "number"):
        return False
    return isinstance(value, expected)


def validate_wait_input_schema(*, wait_schema: dict[str, Any] | None, value: Any) -> None:
    """Check the top-level ``type`` of a schema, one label or a list of them; a schema without one accepts all.

    Raises KitaruUsageError (a ValueError) naming the accepted types.
    """
    declared = (wait_schema or {}).get("type")
    if declared is None:
        return
    accepted = [declared] if isinstance(declared, str) else list(declared)
    if not any(_validate_schema_type(value, label) for label in accepted):
        raise KitaruUsageError(
            f"the answer {value!r} does not have the wait's schema type: {', '.join(map(str, accepted))}."
        )


def validate_pending_wait_input(*, execution: Execution, wait: str, value: Any) -> None:
    """:func:`validate_wait_input_schema` for the execution's pending wait, if ``wait`` is its name or its id."""
    pending = execution.pending_wait
    if pending is not None and wait in (pending.name, pending.wait_id):
        validate_wait_input_schema(wait_schema=pending.schema, value=value)

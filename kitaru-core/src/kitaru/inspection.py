"""Snapshots as plain JSON: one shape for the command line, for agents and for the server."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from enum import Enum
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kitaru import models, stack_models


def to_jsonable(value: Any, *, fallback_repr: bool) -> Any:
    """``value`` as JSON data: dates as ISO texts, enums by value, paths as text, sets as lists sorted by ``repr``.

    Dataclasses and pydantic models become objects. With ``fallback_repr`` anything else becomes its ``repr``, else
    it raises TypeError naming the type.
    """
    if isinstance(value, Enum):  # before the primitives: a StrEnum is a str, and its value is what counts
        return to_jsonable(value.value, fallback_repr=fallback_repr)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        return {_text_key(key): to_jsonable(one, fallback_repr=fallback_repr) for key, one in value.items()}
    if isinstance(value, AbstractSet):
        return [to_jsonable(one, fallback_repr=fallback_repr) for one in sorted(value, key=repr)]
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [to_jsonable(one, fallback_repr=fallback_repr) for one in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return to_jsonable(fields, fallback_repr=fallback_repr)
    dump = getattr(value, "model_dump", None)
    if callable(dump) and not isinstance(value, type):
        return to_jsonable(dump(), fallback_repr=fallback_repr)
    if fallback_repr:
        return repr(value)
    raise TypeError(f"a value of type {_type_name(value)} has no JSON form")


def serialize_failure(failure: models.FailureInfo | None) -> dict[str, Any] | None:
    """``message``, ``exception_type``, ``traceback``, ``origin``; None without a failure."""
    return _pick(failure, ("message", "exception_type", "traceback", "origin")) if failure is not None else None


def serialize_pending_wait(wait: models.PendingWait | None) -> dict[str, Any] | None:
    """``wait_id``, ``name``, ``question``, ``schema``, ``metadata``, ``entered_waiting_at``, and ``expires_at`` of one
    with a deadline; None without a wait."""
    if wait is None:
        return None
    row = _pick(wait, ("wait_id", "name", "question", "schema", "metadata", "entered_waiting_at"))
    if wait.expires_at is not None:
        row["expires_at"] = to_jsonable(wait.expires_at, fallback_repr=True)
    return row


def serialize_artifact_ref(artifact: models.ArtifactRef) -> dict[str, Any]:
    """What is known of a stored value, without the value."""
    return _pick(artifact, ("artifact_id", "name", "kind", "save_type", "producing_call", "metadata"))


def serialize_artifact_value(value: Any) -> dict[str, Any]:
    """A loaded value: as JSON where it has such a form (``value_format`` ``"json"``), else its ``repr``."""
    try:
        shown, form = to_jsonable(value, fallback_repr=False), "json"
    except (TypeError, RecursionError):
        shown, form = repr(value), "repr"
    return {"value": shown, "value_format": form, "value_type": _type_name(value)}


def serialize_checkpoint_attempt(attempt: models.CheckpointAttempt) -> dict[str, Any]:
    """One try of a call."""
    row = _pick(attempt, ("attempt_id", "attempt", "status", "started_at", "ended_at", "metadata"))
    row["failure"] = serialize_failure(attempt.failure)
    return row


def serialize_checkpoint_call(call: models.CheckpointCall) -> dict[str, Any]:
    """One call with its attempts and artifacts."""
    names = ("call_id", "name", "invocation_id", "status", "started_at", "ended_at", "metadata", "checkpoint_type")
    row = _pick(call, (*names, "cached", "original_call_id", "parent_call_id", "parent_call_ids"))
    row["failure"] = serialize_failure(call.failure)
    row["attempts"] = [serialize_checkpoint_attempt(attempt) for attempt in call.attempts]
    row["artifacts"] = [serialize_artifact_ref(artifact) for artifact in call.artifacts]
    return row


def serialize_execution_summary(execution: models.Execution) -> dict[str, Any]:
    """An execution without its calls. The counts are None where a listing did not read them: 0 would be a lie."""
    names = ("exec_id", "flow_name", "status", "created_at", "started_at", "ended_at", "stack_name", "status_reason")
    row = _pick(execution, names)
    row["pending_wait"] = serialize_pending_wait(execution.pending_wait)
    row["pending_waits"] = [serialize_pending_wait(wait) for wait in execution.pending_waits]
    row["failure"] = serialize_failure(execution.failure)
    row.update(_pick(execution, ("metadata", "wake_at", "owners_lost", "parent_exec_id")))
    row["checkpoint_count"] = len(execution.checkpoints) if execution.detailed else None
    row["artifact_count"] = len(execution.artifacts) if execution.detailed else None
    return row


def serialize_execution(execution: models.Execution) -> dict[str, Any]:
    """An execution with everything that its snapshot holds."""
    row = serialize_execution_summary(execution)
    row.update(_pick(execution, ("idempotency_key", "frozen_execution_spec", "original_exec_id")))
    row["checkpoints"] = [serialize_checkpoint_call(call) for call in execution.checkpoints]
    row["artifacts"] = [serialize_artifact_ref(artifact) for artifact in execution.artifacts]
    row["children"] = [
        _pick(child, ("exec_id", "flow_name", "started_at", "parent_call_id")) for child in execution.children
    ]
    return row


def serialize_execution_diff(found: models.ExecutionDiff) -> dict[str, Any]:
    """Two executions side by side."""
    row = _pick(found, ("first", "second", "same_flow", "inputs", "results_differ", "first_result", "second_result"))
    row["calls"] = [to_jsonable(call, fallback_repr=True) for call in found.calls]
    return row


def serialize_runtime_snapshot(found: Any) -> dict[str, Any]:
    """Every field, also those that are None; ``environment`` as a list of name and value."""
    row: dict[str, Any] = to_jsonable(found, fallback_repr=True)
    return row


def serialize_model_alias(entry: Any) -> dict[str, Any]:
    """``alias``, ``model``, ``secret`` (its name) and ``is_default``."""
    return _pick(entry, ("alias", "model", "secret", "is_default"))


def serialize_secret_summary(secret: Any) -> dict[str, Any]:
    """A secret without its values. Its id is its name; who can use the secret store can read it."""
    return {
        "id": secret.name,
        "name": secret.name,
        "visibility": "private",
        "keys": list(secret.keys),
        "has_missing_values": False,
    }


def serialize_secret_detail(secret: Any, *, show_values: bool) -> dict[str, Any]:
    """A secret; its ``values`` only if they are asked for, else None."""
    return {**serialize_secret_summary(secret), "values": dict(secret.values) if show_values else None}


def serialize_check_report(report: models.CheckReport) -> dict[str, Any]:
    """What a check found."""
    row = _pick(report, ("exec_id", "flow_name", "status", "verdict", "fits", "message", "place"))
    row["differences"] = [_pick(one, ("argument", "recorded", "now")) for one in report.differences]
    return row


def serialize_log_entry(entry: models.LogEntry) -> dict[str, Any]:
    """``message`` and every other field that is set."""
    fields = {name: to_jsonable(getattr(entry, name), fallback_repr=True) for name in type(entry).model_fields}
    return {name: value for name, value in fields.items() if name == "message" or value is not None}


def _pick(snapshot: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: to_jsonable(getattr(snapshot, name), fallback_repr=True) for name in names}


def _text_key(key: Any) -> str:
    return str(key.value if isinstance(key, Enum) else key)


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def serialize_stack(stack: stack_models.StackInfo, *, is_managed: bool | None = None) -> dict[str, Any]:
    """A stack; ``is_managed`` only when it is told."""
    row: dict[str, Any] = {"id": stack.id, "name": stack.name, "is_active": stack.is_active}
    return row if is_managed is None else {**row, "is_managed": is_managed}


def serialize_stack_create_result(result: stack_models.StackCreateResult) -> dict[str, Any]:
    """What creating a stack did; connectors and resources only when there are some."""
    row = serialize_stack(result.stack)
    row["previous_active_stack"] = result.previous_active_stack
    row["components_created"] = list(result.components_created)
    row["stack_type"] = str(result.stack_type)
    if result.service_connectors_created:
        row["service_connectors_created"] = list(result.service_connectors_created)
    if result.resources:
        row["resources"] = dict(result.resources)
    return row


def serialize_stack_delete_result(result: stack_models.StackDeleteResult) -> dict[str, Any]:
    """What deleting a stack did."""
    return {
        "deleted_stack": result.deleted_stack,
        "components_deleted": list(result.components_deleted),
        "new_active_stack": result.new_active_stack,
        "recursive": result.recursive,
    }


def serialize_stack_details(found: stack_models.StackDetails) -> dict[str, Any]:
    """A stack with its components; what a component does not have is left out."""
    row = serialize_stack(found.stack, is_managed=found.is_managed)
    row["stack_type"] = found.stack_type
    row["components"] = [_component(one) for one in found.components]
    return row


def _component(component: stack_models.StackComponentDetails) -> dict[str, Any]:
    row: dict[str, Any] = {"role": component.role, "name": component.name}
    if component.backend is not None:
        row["backend"] = component.backend
    if component.details:
        row["details"] = dict(component.details)
    if component.purpose is not None:
        row["purpose"] = component.purpose
    return row

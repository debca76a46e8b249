"""JSON Schemas (draft 2020-12) of what commands print with ``--output json``; the tests check every command by them.

Objects are closed: a key that is not here is not printed. Keys that are not required are left out where they are empty.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_TRUTH: Schema = {"type": "boolean"}
_ANY: Schema = {}
_MOMENT: Schema = {"type": "string", "format": "date-time"}
_DATA: Schema = {"type": "object"}


def _maybe(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/$defs/{name}"}


def _object(required: dict[str, Schema], optional: dict[str, Schema] | None = None) -> Schema:
    return {
        "type": "object",
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


def _nulls(*names: str, of: Schema = TEXT) -> dict[str, Schema]:
    return {name: _maybe(of) for name in names}


_STATUS: Schema = {
    "enum": ["pending", "running", "waiting", "interrupted", "completed", "failed", "cancelled"],
}
_TIMES = {"started_at": _maybe(_MOMENT), "ended_at": _maybe(_MOMENT)}
_WAIT_SCHEMA = {"schema": _maybe(_DATA), "metadata": _DATA, "entered_waiting_at": _maybe(_MOMENT)}
_SUMMARY: dict[str, Schema] = {
    "exec_id": TEXT,
    "status": _STATUS,
    "pending_waits": _list(_ref("wait")),
    "metadata": _DATA,
    "owners_lost": _WHOLE,
}
_SUMMARY_MORE: dict[str, Schema] = {
    **_nulls("flow_name", "stack_name", "status_reason", "parent_exec_id"),
    **_nulls("created_at", "started_at", "ended_at", "wake_at", of=_MOMENT),
    **_nulls("checkpoint_count", "artifact_count", of=_WHOLE),
    "pending_wait": _maybe(_ref("wait")),
    "failure": _maybe(_ref("failure")),
}
_DETAILS: dict[str, Schema] = {
    "checkpoints": _list(_ref("call")),
    "artifacts": _list(_ref("artifact")),
    "children": _list(_object({"exec_id": TEXT, "flow_name": TEXT}, _nulls("started_at", "parent_call_id"))),
}
_DETAILS_MORE: dict[str, Schema] = {
    **_nulls("idempotency_key", "original_exec_id"),
    "frozen_execution_spec": _maybe(_DATA),
}

#: Shapes that several commands share.
DEFINITIONS: dict[str, Schema] = {
    "failure": _object({"message": TEXT, "origin": TEXT, **_nulls("exception_type", "traceback")}),
    "wait": _object({"wait_id": TEXT, "name": TEXT, **_nulls("question"), **_WAIT_SCHEMA}, {"expires_at": _MOMENT}),
    "artifact": _object(
        {"artifact_id": TEXT, "name": TEXT, "save_type": TEXT, "metadata": _DATA, **_nulls("kind", "producing_call")}
    ),
    "attempt": _object(
        {
            "attempt_id": TEXT,
            "attempt": _WHOLE,
            "status": TEXT,
            **_TIMES,
            "metadata": _DATA,
            "failure": _maybe(_ref("failure")),
        }
    ),
    "call": _object(
        {
            "call_id": TEXT,
            "name": TEXT,
            "invocation_id": TEXT,
            "status": TEXT,
            **_TIMES,
            "metadata": _DATA,
            "cached": _TRUTH,
            **_nulls("checkpoint_type", "original_call_id", "parent_call_id"),
            "parent_call_ids": _list(TEXT),
            "failure": _maybe(_ref("failure")),
            "attempts": _list(_ref("attempt")),
            "artifacts": _list(_ref("artifact")),
        }
    ),
    "summary": _object(_SUMMARY, _SUMMARY_MORE),
    "execution": _object({**_SUMMARY, **_DETAILS}, {**_SUMMARY_MORE, **_DETAILS_MORE}),
    "value": _object({"value": _ANY, "value_format": {"enum": ["json", "repr"]}, "value_type": TEXT}),
    "log": _object(
        {"message": TEXT},
        {
            **dict.fromkeys(("level", "timestamp", "source", "checkpoint_name", "invocation_id", "call_id"), TEXT),
            **dict.fromkeys(("module", "filename"), TEXT),
            "attempt": _WHOLE,
            "lineno": _WHOLE,
        },
    ),
    "stack": _object({"id": TEXT, "name": TEXT, "is_active": _TRUTH}, {"is_managed": _TRUTH}),
    "component": _object({"role": TEXT, "name": TEXT}, {"backend": TEXT, "details": _DATA, "purpose": TEXT}),
    "difference": _object({"argument": TEXT, "recorded": TEXT, "now": TEXT}),
    "group": _object(
        {
            "name": TEXT,
            "executions": _WHOLE,
            "ended": _WHOLE,
            "seconds_total": _NUMBER,
            **_nulls("seconds_mean", "seconds_max", of=_NUMBER),
            "cost": _NUMBER,
            "cost_reused": _NUMBER,
        }
    ),
    "side": _object(
        {
            "exec_id": TEXT,
            **_nulls("flow_name"),
            "status": _STATUS,
            **_nulls("seconds", of=_NUMBER),
            "cost": _NUMBER,
            "cost_reused": _NUMBER,
            "tokens": _WHOLE,
        }
    ),
    "compared_call": _object(
        {
            "invocation_id": TEXT,
            "verdict": TEXT,
            **_nulls("first_status", "second_status", "first_value", "second_value"),
            **_nulls("first_seconds", "second_seconds", "first_cost", "second_cost", of=_NUMBER),
            "inputs": _list(_ref("difference")),
            "reused": _TRUTH,
        }
    ),
    "alias": _object({"alias": TEXT, "model": TEXT, "is_default": _TRUTH}, {"secret": _maybe(TEXT)}),
    "secret": _object(
        {"id": TEXT, "name": TEXT, "visibility": TEXT, "keys": _list(TEXT), "has_missing_values": _TRUTH},
        {"result": TEXT, "values": {"type": "object", "additionalProperties": TEXT}},
    ),
    "log_store": _object(
        {"backend": TEXT, "api_key_configured": _TRUTH, "source": TEXT},
        _nulls("endpoint", "active_stack_backend", "active_stack_name", "warning"),
    ),
    "snapshot": _object(
        {
            **dict.fromkeys(("sdk_version", "connection", "connection_target"), TEXT),
            **_nulls("config_directory", "server_url", "active_user", "project_override", "active_stack"),
            **_nulls("repository_root", "server_version", "server_database", "server_deployment_type"),
            **_nulls("local_server_status", "warning", "log_store_status", "log_store_warning"),
            "environment": _list(_object({"name": TEXT, "value": TEXT})),
        }
    ),
}

_EXECUTION = _ref("execution")
_RUN = _object(
    {"exec_id": TEXT, "status": _STATUS, "execution": _EXECUTION, "result": _ref("value")},
    {"target": TEXT},
)
_SHOWN_RESULT = _object({"value": _ANY}, {"value_type": _maybe(TEXT), "unreadable": TEXT})
_GET = _object({**_SUMMARY, **_DETAILS}, {**_SUMMARY_MORE, **_DETAILS_MORE, "result": _maybe(_SHOWN_RESULT)})
_CREATED_STACK = _object(
    {"id": TEXT, "name": TEXT, "is_active": _TRUTH, "components_created": _list(TEXT), "stack_type": TEXT},
    {"previous_active_stack": TEXT, "service_connectors_created": _list(TEXT), "resources": _DATA},
)
_SHOWN_STACK = _object(
    {
        "id": TEXT,
        "name": TEXT,
        "is_active": _TRUTH,
        "is_managed": _TRUTH,
        "stack_type": TEXT,
        "components": _list(
            _object({"role": TEXT, "name": TEXT}, {"backend": TEXT, "details": _DATA, "purpose": TEXT})
        ),
    }
)
_DELETED_STACK = _object(
    {"deleted_stack": TEXT, "components_deleted": _list(TEXT), "recursive": _TRUTH}, {"new_active_stack": TEXT}
)
_DIFF = _object(
    {
        "first": _ref("side"),
        "second": _ref("side"),
        "same_flow": _TRUTH,
        "inputs": _list(_ref("difference")),
        "results_differ": _TRUTH,
        "calls": _list(_ref("compared_call")),
    },
    _nulls("first_result", "second_result"),
)
_STATISTICS = _object(
    {"total": _ref("group"), **dict.fromkeys(("by_flow", "by_status", "by_day"), _list(_ref("group")))}
)
_CHECKED = _object(
    {"exec_id": TEXT, "status": _STATUS, "verdict": TEXT, "fits": _TRUTH, "message": TEXT},
    {**_nulls("flow_name", "place"), "differences": _list(_ref("difference"))},
)
_PLUGIN = _object(
    {
        "name": TEXT,
        **_nulls("distribution", "version", "interface", "reason"),
        "status": {"enum": ["available", "unavailable", "disabled"]},
        "supplies": _list(_object({"kind": TEXT, "name": TEXT})),
    }
)
_RECOVERED = _object({"exec_id": TEXT, "result": TEXT, "status": _STATUS}, {"reason": TEXT})

#: The ``item`` of each command that prints one thing.
ITEMS: dict[str, Schema] = {
    "run": _RUN,
    "executions.resume": _RUN,
    "executions.retry": _RUN,
    "executions.replay": _RUN,
    "executions.get": _GET,
    "executions.latest": _GET,
    "executions.cancel": _EXECUTION,
    "executions.input": _EXECUTION,
    "executions.abort": _EXECUTION,
    "executions.diff": _DIFF,
    "executions.statistics": _STATISTICS,
    "executions.export": _object({"exec_id": TEXT, "file": TEXT}),
    "executions.import": _EXECUTION,
    "stack.current": _ref("stack"),
    "stack.use": _ref("stack"),
    "stack.show": _SHOWN_STACK,
    "stack.create": _CREATED_STACK,
    "stack.delete": _DELETED_STACK,
    "model.register": _ref("alias"),
    "model.default": _ref("alias"),
    "model.delete": _object({"alias": TEXT, "result": TEXT}),
    "secrets.set": _ref("secret"),
    "secrets.show": _ref("secret"),
    "secrets.delete": _ref("secret"),
    "log-store.set": _ref("log_store"),
    "log-store.show": _ref("log_store"),
    "log-store.reset": _ref("log_store"),
    "status": _ref("snapshot"),
    "info": _ref("snapshot"),
    "init": _object({"path": TEXT, "repository_directory": TEXT}),
    "clean": _object({"removed": _WHOLE, "kept": _WHOLE}, {"artifacts": _WHOLE, "note": TEXT}),
    "doctor": _DATA,
    "demo": _DATA,
    "plugins.new": _DATA,
    "schema": _DATA,
}

#: One of the ``items`` of each command that prints a list.
ROWS: dict[str, Schema] = {
    "executions.list": _ref("summary"),
    "executions.logs": _ref("log"),
    "stack.list": _ref("stack"),
    "model.list": _ref("alias"),
    "secrets.list": _ref("secret"),
    "plugins.list": _PLUGIN,
    "check": _CHECKED,
    "recover": _RECOVERED,
}

#: The ``item`` of each event of the commands that print a line for each.
EVENTS: dict[str, dict[str, Schema]] = {
    "executions.logs": {
        "log": _ref("log"),
        "waiting": _object({"wait_name": TEXT, "wait_id": TEXT}, {"exec_id": TEXT, "question": TEXT}),
        "terminal": _object({"status": _STATUS, "message": TEXT}),
        "interrupted": _object({"message": TEXT}),
    },
}

ERROR: Schema = _object(
    {"command": TEXT, "error": _object({"message": TEXT}, {"type": TEXT, "exec_id": TEXT})},
)


def names() -> list[str]:
    """What :func:`schema` knows: every command with JSON output, its events, and ``error``."""
    events = [f"{command}.events" for command in EVENTS]
    return sorted({*ITEMS, *ROWS, *events, "error"})


def schema(name: str) -> Schema:
    """The schema of what a command prints on success: of one line on stdout. ``error``: of the line on stderr.

    Raises KeyError for a name that :func:`names` does not give.
    """
    return {"$schema": _DIALECT, "title": f"kitaru {name}", **_envelope(name), "$defs": DEFINITIONS}


def _envelope(name: str) -> Schema:
    if name == "error":
        return ERROR
    if name in ITEMS:
        return _object({"command": {"const": name}, "item": ITEMS[name]})
    if name in ROWS:
        return _object({"command": {"const": name}, "items": _list(ROWS[name]), "count": _WHOLE})
    command = name.removesuffix(".events")
    return {
        "anyOf": [
            _object({"command": {"const": command}, "event": {"const": event}, "item": item})
            for event, item in EVENTS[command].items()
        ]
    }

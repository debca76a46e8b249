"""The frozen execution spec: what an execution was started with, committed with it, for whoever continues it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kitaru.config.redaction import redact_image

#: Version of the document.
SPEC_VERSION = 1


@dataclass(frozen=True, slots=True)
class FrozenExecutionSpec:
    """A spec as it was read back: plain data, without secrets."""

    version: int = SPEC_VERSION
    resolved_execution: Mapping[str, Any] = field(default_factory=dict)
    flow_defaults: Mapping[str, Any] = field(default_factory=dict)
    connection: Mapping[str, Any] = field(default_factory=dict)
    model_registry: Mapping[str, Any] = field(default_factory=dict)


def build_frozen_execution_spec(
    *,
    resolved_execution: Any,
    flow_defaults: Any = None,
    connection: Any = None,
    model_registry: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document: plain JSON data, nulls left out, no token, and no secret from the environment of an image.

    ``resolved_execution``, ``flow_defaults`` and ``connection`` are mappings or the configuration's own records.
    """
    document: dict[str, Any] = {
        "version": SPEC_VERSION,
        "resolved_execution": _plain(resolved_execution),
        "flow_defaults": _plain(flow_defaults),
        "connection": {name: value for name, value in _plain(connection).items() if name in ("server_url", "project")},
        "model_registry": dict(model_registry or {}),
    }
    return {name: value for name, value in document.items() if value or name in ("version", "resolved_execution")}


def read_frozen_execution_spec(document: Any) -> FrozenExecutionSpec | None:
    """A stored document; None when it is none. ``runner``, as ``stack`` was called once, is understood."""
    if not isinstance(document, Mapping) or document.get("version") != SPEC_VERSION:
        return None
    parts = {}
    for name in ("resolved_execution", "flow_defaults", "connection", "model_registry"):
        part = document.get(name) or {}
        if not isinstance(part, Mapping):
            return None
        parts[name] = dict(part)
    for name in ("resolved_execution", "flow_defaults"):
        former = parts[name].pop("runner", None)
        if former is not None:
            parts[name].setdefault("stack", former)
    return FrozenExecutionSpec(SPEC_VERSION, **parts)


def _plain(record: Any) -> dict[str, Any]:
    if record is None:
        return {}
    if not isinstance(record, Mapping):
        record = {name: getattr(record, name) for name in record.__dataclass_fields__}
    found = {name: value for name, value in record.items() if value is not None and name != "auth_token"}
    image = found.get("image")
    if image is not None:
        given = image if isinstance(image, Mapping) else image.model_dump()
        found["image"] = redact_image({name: value for name, value in given.items() if value is not None})
    return found

"""Names of flows and checkpoints in an engine that runs them: registered names, source aliases, texts without them."""

from __future__ import annotations

import re
from typing import Any

PIPELINE_SOURCE_ALIAS_PREFIX = "__kitaru_pipeline_source_"
CHECKPOINT_SOURCE_ALIAS_PREFIX = "__kitaru_checkpoint_source_"

_ALIAS = re.compile(
    rf"(?:{PIPELINE_SOURCE_ALIAS_PREFIX}|{CHECKPOINT_SOURCE_ALIAS_PREFIX})([A-Za-z_][A-Za-z0-9_]*)", re.ASCII
)


def callable_name(func: Any) -> str:
    """The name of a function, or of the class of another callable."""
    return str(getattr(func, "__name__", None) or type(func).__name__)


def _normalize_callable_name(raw_name: str, *, fallback: str) -> str:
    """A name as an identifier: other characters become ``_``, nothing becomes ``fallback``, a digit is led by it."""
    name = re.sub(r"\W", "_", raw_name)
    if not name:
        return fallback
    return f"{fallback}_{name}" if name[0].isdigit() else name


def build_pipeline_registration_name(name: str) -> str:
    """The name that a flow is registered under."""
    return _normalize_callable_name(name, fallback="flow")


def build_checkpoint_registration_name(name: str) -> str:
    """The name that a checkpoint is registered under."""
    return _normalize_callable_name(name, fallback="checkpoint")


def build_pipeline_source_alias(name: str) -> str:
    """The module attribute that a flow is found by."""
    return PIPELINE_SOURCE_ALIAS_PREFIX + build_pipeline_registration_name(name)


def build_checkpoint_source_alias(name: str) -> str:
    """The module attribute that a checkpoint is found by."""
    return CHECKPOINT_SOURCE_ALIAS_PREFIX + build_checkpoint_registration_name(name)


def normalize_flow_name(value: object | None) -> str | None:
    """A flow's own name: trimmed, without the prefix of its alias; None when nothing is left."""
    if value is None:
        return None
    return str(value).strip().removeprefix(PIPELINE_SOURCE_ALIAS_PREFIX) or None


def normalize_checkpoint_name(step_name: str) -> str:
    """A checkpoint's own name: without the prefix of its alias."""
    return step_name.removeprefix(CHECKPOINT_SOURCE_ALIAS_PREFIX)


def normalize_aliases_in_text(text: str) -> str:
    """A text with every alias in it replaced by the name it stands for."""
    return _ALIAS.sub(r"\1", text)

"""Checks of arguments that several client methods share."""

from __future__ import annotations

from typing import Any

from kitaru.errors import KitaruUsageError


def check_limit(limit: Any, name: str = "limit") -> None:
    """Raises KitaruUsageError unless ``limit`` is None or a whole number of at least 1."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise KitaruUsageError(f"{name}={limit!r}: must be a whole number, 1 or more.")


def check_id(exec_id: Any) -> str:
    """The id of an execution as it is. Raises KitaruUsageError when it is blank or no text."""
    if not isinstance(exec_id, str) or not exec_id.strip():
        raise KitaruUsageError(f"exec_id={exec_id!r}: must be the id of an execution. See `kitaru executions list`.")
    return exec_id

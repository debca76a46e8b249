"""Environment variables: their names, one snapshot of them, and readers that say what is wrong with a value."""

from __future__ import annotations

import json
import os
from typing import Any

from kitaru.errors import KitaruUsageError

CONFIG_PATH = "KITARU_CONFIG_PATH"
JOURNAL_URL = "KITARU_JOURNAL_URL"
DURABILITY = "KITARU_DURABILITY"
PLUGINS = "KITARU_PLUGINS"
LEASE_SECONDS = "KITARU_LEASE_SECONDS"
LOG_CAPTURE = "KITARU_LOG_CAPTURE"
INTERACTIVE = "KITARU_INTERACTIVE"
STACK = "KITARU_STACK"
CACHE = "KITARU_CACHE"
RETRIES = "KITARU_RETRIES"
IMAGE = "KITARU_IMAGE"
PROJECT = "KITARU_PROJECT"
RETIRED_STACK = "KITARU_RUNNER"
XDG_CONFIG_HOME = "XDG_CONFIG_HOME"

#: Every variable that settings depend on.
WATCHED = (
    CONFIG_PATH,
    JOURNAL_URL,
    DURABILITY,
    PLUGINS,
    LEASE_SECONDS,
    LOG_CAPTURE,
    STACK,
    CACHE,
    RETRIES,
    IMAGE,
    PROJECT,
    RETIRED_STACK,
    XDG_CONFIG_HOME,
    "HOME",
)

_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


def snapshot() -> tuple[str | None, ...]:
    """The values of all watched variables: equal snapshots give equal settings."""
    return tuple(map(os.environ.get, WATCHED))


def text(name: str) -> str | None:
    """A variable's text, stripped; blank counts as unset."""
    value = os.environ.get(name)
    return (value.strip() or None) if value is not None else None


def filled(name: str) -> str | None:
    """A variable's text, stripped; set but blank is an error."""
    value = os.environ.get(name)
    if value is not None and not value.strip():
        raise KitaruUsageError(f"{name} is set but blank. Give it a value, or `unset {name}`.")
    return value.strip() if value is not None else None


def boolean(name: str) -> bool | None:
    """A truth value: 1/true/t/yes/y/on or 0/false/f/no/n/off, in any case."""
    value = filled(name)
    if value is None:
        return None
    lowered = value.lower()
    if lowered in _TRUE or lowered in _FALSE:
        return lowered in _TRUE
    raise KitaruUsageError(f"{name}={value!r} is neither true nor false. Use 1/true/yes/on or 0/false/no/off.")


def whole_number(name: str, *, minimum: int) -> int | None:
    """A whole number of at least ``minimum``."""
    value = filled(name)
    if value is None:
        return None
    try:
        number = int(value)
    except ValueError:
        raise KitaruUsageError(f"{name}={value!r} is not a whole number.") from None
    if number < minimum:
        raise KitaruUsageError(f"{name}={value!r} must be >= {minimum}.")
    return number


def seconds(name: str) -> float | None:
    """A duration above zero, in seconds."""
    value = filled(name)
    if value is None:
        return None
    try:
        number = float(value)
    except ValueError:
        raise KitaruUsageError(f"{name}={value!r} is not a number of seconds.") from None
    if not 0 < number < float("inf"):
        raise KitaruUsageError(f"{name}={value!r} must be a number of seconds above 0.")
    return number


def choice(name: str, allowed: tuple[str, ...]) -> str | None:
    """One of a few words, in any case."""
    value = filled(name)
    if value is None:
        return None
    if value.lower() not in allowed:
        raise KitaruUsageError(f"{name}={value!r}: allowed are {', '.join(allowed)}.")
    return value.lower()


def image() -> Any:
    """``KITARU_IMAGE``: a JSON object of image settings, or any other text as the name of a base image."""
    value = filled(IMAGE)
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, dict) else value


def refuse_retired() -> None:
    """Raise KitaruUsageError when a variable is set under a name that is no longer used."""
    if os.environ.get(RETIRED_STACK) is not None:
        raise KitaruUsageError(f"{RETIRED_STACK} was renamed to {STACK}: set {STACK} and `unset {RETIRED_STACK}`.")

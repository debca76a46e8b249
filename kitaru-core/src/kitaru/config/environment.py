"""Environment variables: their names, one snapshot of them, and readers that say what is wrong with a value."""

from __future__ import annotations

import json
import os
from typing import Any

from kitaru.errors import KitaruUsageError

KITARU_SERVER_URL_ENV = "KITARU_SERVER_URL"
KITARU_AUTH_TOKEN_ENV = "KITARU_AUTH_TOKEN"  # noqa: S105  a name
KITARU_PROJECT_ENV = "KITARU_PROJECT"
KITARU_RUNNER_ENV = "KITARU_RUNNER"
KITARU_STACK_ENV = "KITARU_STACK"
KITARU_CACHE_ENV = "KITARU_CACHE"
KITARU_RETRIES_ENV = "KITARU_RETRIES"
KITARU_IMAGE_ENV = "KITARU_IMAGE"
KITARU_LOG_STORE_BACKEND_ENV = "KITARU_LOG_STORE_BACKEND"
KITARU_LOG_STORE_ENDPOINT_ENV = "KITARU_LOG_STORE_ENDPOINT"
KITARU_LOG_STORE_API_KEY_ENV = "KITARU_LOG_STORE_API_KEY"
KITARU_DEFAULT_MODEL_ENV = "KITARU_DEFAULT_MODEL"
KITARU_MODEL_REGISTRY_ENV = "KITARU_MODEL_REGISTRY"
KITARU_CONFIG_PATH_ENV = "KITARU_CONFIG_PATH"
KITARU_JOURNAL_URL_ENV = "KITARU_JOURNAL_URL"
KITARU_DURABILITY_ENV = "KITARU_DURABILITY"
KITARU_PLUGINS_ENV = "KITARU_PLUGINS"
KITARU_LEASE_SECONDS_ENV = "KITARU_LEASE_SECONDS"
KITARU_LOG_CAPTURE_ENV = "KITARU_LOG_CAPTURE"
KITARU_INTERACTIVE_ENV = "KITARU_INTERACTIVE"
KITARU_DEBUG_ENV = "KITARU_DEBUG"
KITARU_ANALYTICS_OPT_IN_ENV = "KITARU_ANALYTICS_OPT_IN"
KITARU_DEFAULT_ANALYTICS_SOURCE_ENV = "KITARU_DEFAULT_ANALYTICS_SOURCE"
KITARU_MCP_TOKEN_ENV = "KITARU_MCP_TOKEN"  # noqa: S105  a name
KITARU_LLM_MOCK_RESPONSE_ENV = "KITARU_LLM_MOCK_RESPONSE"
XDG_CONFIG_HOME = "XDG_CONFIG_HOME"

#: Every variable that settings depend on.
WATCHED = (
    KITARU_CONFIG_PATH_ENV,
    KITARU_JOURNAL_URL_ENV,
    KITARU_DURABILITY_ENV,
    KITARU_PLUGINS_ENV,
    KITARU_LEASE_SECONDS_ENV,
    KITARU_LOG_CAPTURE_ENV,
    KITARU_STACK_ENV,
    KITARU_CACHE_ENV,
    KITARU_RETRIES_ENV,
    KITARU_IMAGE_ENV,
    KITARU_PROJECT_ENV,
    KITARU_RUNNER_ENV,
    KITARU_SERVER_URL_ENV,
    KITARU_AUTH_TOKEN_ENV,
    KITARU_LOG_STORE_BACKEND_ENV,
    KITARU_LOG_STORE_ENDPOINT_ENV,
    KITARU_LOG_STORE_API_KEY_ENV,
    KITARU_MODEL_REGISTRY_ENV,
    XDG_CONFIG_HOME,
    "HOME",
)
_WATCHED_BYTES = tuple(name.encode() for name in WATCHED)

_TRUE = frozenset(("1", "true", "t", "yes", "y", "on"))
_FALSE = frozenset(("0", "false", "f", "no", "n", "off"))


def snapshot() -> tuple[str | bytes | None, ...]:
    """The values of all watched variables, to be compared only: equal snapshots give equal settings."""
    # Taken at every start: the dictionary below CPython's os.environ, which is spared the conversions, is ten times as
    # fast. Anything else that stands in for os.environ is asked the ordinary way.
    data = getattr(os.environ, "_data", None)
    if type(os.environ) is os._Environ and isinstance(data, dict):
        return tuple(map(data.get, _WATCHED_BYTES))
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
    value = filled(KITARU_IMAGE_ENV)
    if value is None:
        return None
    try:
        parsed = json.loads(value)
    except ValueError:
        return value
    return parsed if isinstance(parsed, dict) else value


def refuse_retired() -> None:
    """Raise KitaruUsageError when a variable is set under a name that is no longer used."""
    old, new = KITARU_RUNNER_ENV, KITARU_STACK_ENV
    if os.environ.get(old) is not None:
        raise KitaruUsageError(f"{old} was renamed to {new}: set {new} and `unset {old}`.")

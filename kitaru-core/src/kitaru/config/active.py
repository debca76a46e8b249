"""The environment variables of Kitaru that are set, as they may be shown."""

from __future__ import annotations

import os
from dataclasses import dataclass

from kitaru.config import environment as names
from kitaru.config import image as images
from kitaru.config.journal_url import hide_password
from kitaru.config.redaction import mask, redact_image, without_passwords
from kitaru.errors import KitaruUsageError

_SECRETS = (names.KITARU_AUTH_TOKEN_ENV, names.KITARU_LOG_STORE_API_KEY_ENV)
_ADDRESSES = (names.KITARU_SERVER_URL_ENV, names.KITARU_LOG_STORE_ENDPOINT_ENV, names.KITARU_JOURNAL_URL_ENV)
# In the order they are shown in. What holds a whole document (registry, mock response) is left out.
_SHOWN = (
    names.KITARU_SERVER_URL_ENV,
    names.KITARU_AUTH_TOKEN_ENV,
    names.KITARU_PROJECT_ENV,
    names.KITARU_RUNNER_ENV,
    names.KITARU_STACK_ENV,
    names.KITARU_CACHE_ENV,
    names.KITARU_RETRIES_ENV,
    names.KITARU_IMAGE_ENV,
    names.KITARU_LOG_STORE_BACKEND_ENV,
    names.KITARU_LOG_STORE_ENDPOINT_ENV,
    names.KITARU_LOG_STORE_API_KEY_ENV,
    names.KITARU_DEFAULT_MODEL_ENV,
    names.KITARU_CONFIG_PATH_ENV,
    names.KITARU_DEBUG_ENV,
    names.KITARU_ANALYTICS_OPT_IN_ENV,
    names.KITARU_JOURNAL_URL_ENV,
    names.KITARU_DURABILITY_ENV,
    names.KITARU_PLUGINS_ENV,
    names.KITARU_LEASE_SECONDS_ENV,
    names.KITARU_LOG_CAPTURE_ENV,
    names.KITARU_INTERACTIVE_ENV,
)


@dataclass(frozen=True, slots=True)
class ActiveEnvironmentVariable:
    """One variable that is set. ``value`` may be shown: secrets in it are masked."""

    name: str
    value: str


def list_active_kitaru_environment_variables() -> list[ActiveEnvironmentVariable]:
    """The variables that are set, in a fixed order. Raises nothing: a bad value is shown too, without secrets."""
    return [
        ActiveEnvironmentVariable(name, _showable(name, value))
        for name in _SHOWN
        if (value := os.environ.get(name)) is not None
    ]


def _showable(name: str, value: str) -> str:
    if name in _SECRETS:
        return mask(value)
    if name in _ADDRESSES:
        return hide_password(value)
    if name == names.KITARU_IMAGE_ENV and value.lstrip().startswith("{"):
        return _image(value)
    return without_passwords(value)


def _image(value: str) -> str:
    import json

    try:
        parsed = images.normalise(json.loads(value), names.KITARU_IMAGE_ENV)
    except (ValueError, KitaruUsageError):
        return "*** (not usable)"  # whatever is wrong with it, there may be secrets in it
    return json.dumps(redact_image(parsed or {}))

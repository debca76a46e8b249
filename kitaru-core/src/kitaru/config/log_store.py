"""Where this user wants runtime logs to go: environment, then the configuration file, then the stack's own store."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kitaru.config import checks, environment, files, paths
from kitaru.errors import KitaruConfigError, KitaruUsageError

SECTION = "log_store"
#: The backend that stands for "the log store of the stack".
DEFAULT_BACKEND = "artifact-store"
_BACKEND = re.compile(r"[a-z0-9][a-z0-9._-]*")
_VARIABLES = (
    environment.KITARU_LOG_STORE_BACKEND_ENV,
    environment.KITARU_LOG_STORE_ENDPOINT_ENV,
    environment.KITARU_LOG_STORE_API_KEY_ENV,
)

LogStoreSource = Literal["environment", "global user config", "default"]


@dataclass(frozen=True, slots=True)
class ResolvedLogStore:
    """The log store in force and who says so. ``backend`` is a log store flavor, or ``artifact-store``."""

    backend: str
    endpoint: str | None
    api_key: str | None = field(repr=False)
    source: LogStoreSource

    @property
    def is_default(self) -> bool:
        """Whether logs go to the log store of the stack."""
        return self.backend == DEFAULT_BACKEND

    def settings(self) -> dict[str, str]:
        """What the flavor is made with."""
        given = {"endpoint": self.endpoint, "api_key": self.api_key}
        return {name: value for name, value in given.items() if value is not None}


def resolve_log_store() -> ResolvedLogStore:
    """The log store in force. The environment replaces the file as a whole, never field by field.

    Raises:
        KitaruUsageError: the variables do not go together, or one of them cannot be used.
        KitaruConfigError: the file cannot be used.
    """
    return log_store_of(paths.config_directory())


def log_store_of(directory: Path) -> ResolvedLogStore:
    """:func:`resolve_log_store` for a configuration directory."""
    backend, endpoint, api_key = map(environment.text, _VARIABLES)
    if backend is None and (endpoint is not None or api_key is not None):
        given = _VARIABLES[1] if endpoint is not None else _VARIABLES[2]
        raise KitaruUsageError(f"{given} is set without {_VARIABLES[0]}: name the log store it belongs to.")
    if backend is not None:
        return _from_environment(_backend(_VARIABLES[0], backend), endpoint, api_key)
    section = files.section(directory, SECTION)
    if not section:
        return ResolvedLogStore(DEFAULT_BACKEND, None, None, "default")
    try:
        return _checked(section.get("backend"), section.get("endpoint"), section.get("api_key"), "global user config")
    except KitaruUsageError as error:
        path = directory / files.FILE_NAME
        raise KitaruConfigError(
            f"{path}: {SECTION}: {error} Nothing in the file was changed; set it anew with "
            "kitaru.config.set_global_log_store(), or kitaru.config.reset_global_log_store()."
        ) from error


def set_global_log_store(backend: str, *, endpoint: str, api_key: str | None = None) -> ResolvedLogStore:
    """Send the logs of this user's executions to ``backend``, whose plugin must be installed when one starts.

    Returns the store that is in force then: the environment may say something else.

    Raises KitaruUsageError for values that cannot be used, KitaruConfigError as :func:`kitaru.config.files.update`.
    """
    chosen = _checked(backend, endpoint, api_key, "global user config")

    def apply(content: dict[str, Any]) -> None:
        content[SECTION] = {"backend": chosen.backend, **chosen.settings()}

    files.update(paths.config_directory(), apply)
    return resolve_log_store()


def reset_global_log_store() -> ResolvedLogStore:
    """Forget what :func:`set_global_log_store` has set. Returns the store that is in force then."""
    directory = paths.config_directory()
    if files.read(directory).get(SECTION) is not None:
        files.update(directory, lambda content: content.pop(SECTION, None))
    return resolve_log_store()


def normalise_log_store_name(name: str | None) -> str:
    """One spelling for the backends that several names are in use for; ``unknown`` for none."""
    plain = (name or "").strip().lower().replace("_", "-")
    if plain in ("artifact", "artifact-store", "artifactstore"):
        return DEFAULT_BACKEND
    if plain in ("otel", "otlp", "open-telemetry"):
        return "otel"
    return plain or "unknown"


def _from_environment(backend: str, endpoint: str | None, api_key: str | None) -> ResolvedLogStore:
    if backend != DEFAULT_BACKEND:
        if endpoint is None:
            raise KitaruUsageError(f"{_VARIABLES[0]}={backend} needs {_VARIABLES[1]}.")
        return _checked(backend, endpoint, api_key, "environment", endpoint_is=_VARIABLES[1])
    if endpoint is not None or api_key is not None:
        raise KitaruUsageError(
            f"{_VARIABLES[0]}={backend} is the stack's own: it takes neither {_VARIABLES[1]} nor {_VARIABLES[2]}."
        )
    return ResolvedLogStore(DEFAULT_BACKEND, None, None, "environment")


def _checked(
    backend: Any, endpoint: Any, api_key: Any, source: LogStoreSource, *, endpoint_is: str = "endpoint"
) -> ResolvedLogStore:
    name = _backend("backend", backend)
    if name == DEFAULT_BACKEND:
        raise KitaruUsageError(
            f"backend {DEFAULT_BACKEND!r} is what holds without a setting: kitaru.config.reset_global_log_store()."
        )
    if api_key is not None and (not isinstance(api_key, str) or not api_key.strip()):
        raise KitaruUsageError("api_key must be a text that is not blank, or left out.")
    return ResolvedLogStore(
        name, checks.http_url(endpoint_is, endpoint), api_key.strip() if api_key is not None else None, source
    )


def _backend(what: str, value: Any) -> str:
    name = value.strip().lower() if isinstance(value, str) else ""
    if not _BACKEND.fullmatch(name):
        raise KitaruUsageError(f"{what}={value!r} is not the name of a log store: use a-z, 0-9, `.`, `_` and `-`.")
    return name

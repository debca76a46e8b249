"""What is in force here, for ``kitaru status`` and ``info``: read from settings only, so it never fails or waits."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kitaru.client.version import resolve_installed_version
from kitaru.config import environment, paths
from kitaru.config import settings as configured
from kitaru.config.active import ActiveEnvironmentVariable, list_active_kitaru_environment_variables
from kitaru.config.settings import Settings
from kitaru.errors import KitaruError

MARKER = ".kitaru"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(slots=True)
class RuntimeSnapshot:
    """How this installation is set up. What does not exist, or cannot be read, is None; ``warning`` says why."""

    sdk_version: str
    connection: str
    connection_target: str
    config_directory: str | None = None
    server_url: str | None = None
    active_user: str | None = None
    project_override: str | None = None
    active_stack: str | None = None
    repository_root: str | None = None
    server_version: str | None = None
    server_database: str | None = None
    server_deployment_type: str | None = None
    local_server_status: str | None = None
    warning: str | None = None
    log_store_status: str | None = None
    log_store_warning: str | None = None
    environment: list[ActiveEnvironmentVariable] = field(default_factory=list)


def build_runtime_snapshot() -> RuntimeSnapshot:
    """The snapshot. Raises nothing: settings that cannot be used are told in ``warning``."""
    snapshot = RuntimeSnapshot(
        resolve_installed_version(),
        "local database",
        "unavailable",
        config_directory=_tried(lambda: str(paths.config_directory())),
        active_user=_tried(getpass.getuser),
        repository_root=_tried(lambda: _root(Path.cwd())),
        environment=list_active_kitaru_environment_variables(),
    )
    warnings = []
    if environment.KITARU_RUNNER_ENV in os.environ:
        warnings.append(
            f"{environment.KITARU_RUNNER_ENV} was renamed to {environment.KITARU_STACK_ENV}: no flow starts with it."
        )
    try:
        settings = configured.resolve()
    except KitaruError as error:
        if str(error) not in warnings:
            warnings.append(str(error))
    else:
        _add_settings(snapshot, settings, warnings)
    snapshot.warning = "\n".join(warnings) or None
    return snapshot


def find_root(directory: Path) -> Path | None:
    """The folder that ``kitaru init`` has marked, on the way up from a directory."""
    return next((place for place in (directory, *directory.parents) if (place / MARKER).is_dir()), None)


def _root(directory: Path) -> str | None:
    found = find_root(directory)
    return str(found) if found is not None else None


def _add_settings(snapshot: RuntimeSnapshot, settings: Settings, warnings: list[str]) -> None:
    snapshot.config_directory = str(settings.config_directory)
    snapshot.project_override = settings.project
    snapshot.server_url = settings.server_url
    snapshot.connection_target = _without_password(settings.journal_url)
    if settings.server_url is not None:
        local = urlsplit(settings.server_url).hostname in _LOOPBACK
        snapshot.connection = f"{'local' if local else 'remote'} Kitaru server"
        snapshot.connection_target = settings.server_url
        warnings.append(
            "this version works on a journal of its own and cannot ask servers yet: unset "
            f"{environment.KITARU_SERVER_URL_ENV} (or the kept login) to work without one."
        )
    try:
        from kitaru.stack import operations

        snapshot.active_stack = operations.current().name
    except KitaruError as error:
        warnings.append(f"the active stack cannot be read: {error}")
    if settings.log_store is not None:
        from kitaru.client.log_store import log_store_warning

        snapshot.log_store_status = f"{settings.log_store.backend} ({settings.log_store.source})"
        snapshot.log_store_warning = log_store_warning(settings.log_store)


def _without_password(url: str) -> str:
    from kitaru.config.redaction import without_passwords

    return without_passwords(url)


def _tried(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except (OSError, KeyError, KitaruError):
        return None

"""The settings in force: ``configure()``, then environment, then the project's file, then the built-in ones."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from kitaru.config import checks, environment, files, image, log_store, overrides, paths, project
from kitaru.config.journal_url import normalise_journal_url
from kitaru.errors import KitaruConfigError, KitaruUsageError

#: Section of the configuration file that holds a persisted login.
LOGIN = "login"
LEASE_SECONDS = 30.0
MAX_CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know to open its journal and run flows.

    ``stack``, ``image``, ``cache`` and ``retries`` are None where no layer sets them: what ``.run()`` and ``@flow`` say
    stands above them, the built-in values (the default stack, no cache, no retries) below. ``server_url`` and
    ``auth_token`` are set independently; :func:`kitaru.config.connection.validate` says whether they go together.
    ``log_store`` is None where logs go to the store of the stack.
    """

    config_directory: Path
    journal_url: str
    durability: Literal["full", "process"] = "full"
    plugins: str | None = None
    lease_seconds: float = LEASE_SECONDS
    max_concurrency: int = MAX_CONCURRENCY
    allow_pickle: bool = True
    log_capture: bool = True
    stack: str | None = None
    image: dict[str, Any] | None = None
    cache: bool | None = None
    retries: int | None = None
    project: str | None = None
    server_url: str | None = None
    auth_token: str | None = field(default=None, repr=False)
    log_store: log_store.ResolvedLogStore | None = None


@dataclass(slots=True)
class _Resolved:
    """Settings, and what they were made from: they hold until one of these changes."""

    overrides: overrides.Overrides
    environment: tuple[str | bytes | None, ...]
    directory: str | None
    project_file: Path | None
    stamp: tuple[int, int] | None
    user_stamp: files.Stamp | None
    settings: Settings


_latest: _Resolved | None = None


def resolve() -> Settings:
    """The settings in force now. The same object while nothing they depend on has changed.

    Cheap enough for every ``.run()``: environment, working directory and the time stamps of the project's and the
    user's file are compared, and only a difference is worked out again. A ``pyproject.toml`` that appears while the
    process stays in its directory is not noticed.

    Raises:
        KitaruUsageError: a value in the environment or in the project's file cannot be used; the text names it.
    """
    global _latest
    layer = overrides.current()
    variables = environment.snapshot()
    directory = _working_directory()
    latest = _latest
    if latest is not None and latest.directory == directory:
        path = latest.project_file
        if (
            latest.overrides is layer
            and latest.environment == variables
            and (path is None or project.stamp(path) == latest.stamp)
            and files.stamp(latest.settings.config_directory) == latest.user_stamp
        ):
            return latest.settings
    path = project.find(directory) if directory is not None else None
    stamp = project.stamp(path)  # before reading: an edit in between is noticed next time
    folder = paths.config_directory()
    user_stamp = files.stamp(folder)
    settings = _resolve(layer, project.read(path), folder)
    _latest = _Resolved(layer, variables, directory, path, stamp, user_stamp, settings)
    return settings


def default_journal_url(directory: Path) -> str:
    """The journal of an installation that names none."""
    return f"sqlite:///{directory / 'kitaru.db'}"


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted: there is no project here, and flows still run
        return None


def _resolve(layer: overrides.Overrides, defaults: project.ProjectDefaults, directory: Path) -> Settings:
    environment.refuse_retired()
    server_url, auth_token = _server(directory)
    named = layer.journal or environment.text(environment.KITARU_JOURNAL_URL_ENV) or server_url
    logs = log_store.log_store_of(directory)
    url = normalise_journal_url(named) if named else default_journal_url(directory)
    durability = (
        layer.durability or environment.choice(environment.KITARU_DURABILITY_ENV, ("full", "process")) or "full"
    )
    return Settings(
        config_directory=directory,
        journal_url=url,
        durability=cast("Literal['full', 'process']", durability),
        plugins=environment.text(environment.KITARU_PLUGINS_ENV),
        lease_seconds=environment.seconds(environment.KITARU_LEASE_SECONDS_ENV) or LEASE_SECONDS,
        max_concurrency=layer.max_concurrency or MAX_CONCURRENCY,
        allow_pickle=first(layer.allow_pickle, True),
        log_capture=first(environment.boolean(environment.KITARU_LOG_CAPTURE_ENV), True),
        stack=layer.execution.stack or environment.filled(environment.KITARU_STACK_ENV) or defaults.execution.stack,
        image=image.merge(
            [
                layer.execution.image,
                image.normalise(environment.image(), environment.KITARU_IMAGE_ENV),
                defaults.execution.image,
            ]
        ),
        cache=first(layer.execution.cache, environment.boolean(environment.KITARU_CACHE_ENV), defaults.execution.cache),
        retries=first(
            layer.execution.retries,
            environment.whole_number(environment.KITARU_RETRIES_ENV, minimum=0),
            defaults.execution.retries,
        ),
        project=layer.project or environment.text(environment.KITARU_PROJECT_ENV) or defaults.project,
        server_url=server_url,
        auth_token=auth_token,
        log_store=None if logs.is_default else logs,
    )


def _server(directory: Path) -> tuple[str | None, str | None]:
    """Address and token of the server, each from the environment or from the persisted login."""
    address = environment.text(environment.KITARU_SERVER_URL_ENV)
    url = checks.http_url(environment.KITARU_SERVER_URL_ENV, address) if address is not None else None
    token = environment.text(environment.KITARU_AUTH_TOKEN_ENV)
    if url is not None and token is not None:
        return url, token
    login = files.section(directory, LOGIN)
    try:
        if url is None and login.get("server_url") is not None:
            url = checks.http_url("server_url", login["server_url"])
        return url, token or checks.text("auth_token", login.get("auth_token"))
    except KitaruUsageError:
        # Not its text: it may quote a part of the token.
        path = directory / files.FILE_NAME
        raise KitaruConfigError(
            f"{path}: {LOGIN} holds no usable address or token. Nothing in the file was changed; connect anew with "
            "kitaru.connect(), or remove the section."
        ) from None


def first(*values: Any) -> Any:
    """The first value that is not None; None when all are."""
    return next((value for value in values if value is not None), None)

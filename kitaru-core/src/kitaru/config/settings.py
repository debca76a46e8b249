"""The settings in force: ``configure()``, then environment, then the project's file, then the built-in ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from kitaru.config import environment, image, overrides, paths, project
from kitaru.config.journal_url import normalise_journal_url

LEASE_SECONDS = 30.0
MAX_CONCURRENCY = 16


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything a process needs to know to open its journal and run flows.

    ``stack``, ``image``, ``cache`` and ``retries`` are None where no layer sets them: what ``.run()`` and ``@flow`` say
    stands above them, the built-in values (the default stack, no cache, no retries) below.
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


@dataclass(slots=True)
class _Resolved:
    """Settings, and what they were made from: they hold until one of these changes."""

    overrides: overrides.Overrides
    environment: tuple[str | None, ...]
    directory: str | None
    project_file: Path | None
    stamp: tuple[int, int] | None
    settings: Settings


_latest: _Resolved | None = None


def resolve() -> Settings:
    """The settings in force now. The same object while nothing they depend on has changed.

    Cheap enough for every ``.run()``: environment, working directory and the time stamp of the project's file are
    compared, and only a difference is worked out again. A ``pyproject.toml`` that appears while the process stays in
    its directory is not noticed.

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
        ):
            return latest.settings
    path = project.find(directory) if directory is not None else None
    stamp = project.stamp(path)  # before reading: an edit in between is noticed next time
    settings = _resolve(layer, project.read(path))
    _latest = _Resolved(layer, variables, directory, path, stamp, settings)
    return settings


def _working_directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was deleted: there is no project here, and flows still run
        return None


def _resolve(layer: overrides.Overrides, defaults: project.ProjectDefaults) -> Settings:
    environment.refuse_retired()
    directory = paths.config_directory()
    named = layer.journal or environment.text(environment.JOURNAL_URL)
    url = normalise_journal_url(named) if named else f"sqlite:///{directory / 'kitaru.db'}"
    durability = layer.durability or environment.choice(environment.DURABILITY, ("full", "process")) or "full"
    return Settings(
        config_directory=directory,
        journal_url=url,
        durability=cast("Literal['full', 'process']", durability),
        plugins=environment.text(environment.PLUGINS),
        lease_seconds=environment.seconds(environment.LEASE_SECONDS) or LEASE_SECONDS,
        max_concurrency=layer.max_concurrency or MAX_CONCURRENCY,
        allow_pickle=first(layer.allow_pickle, True),
        log_capture=first(environment.boolean(environment.LOG_CAPTURE), True),
        stack=layer.execution.stack or environment.filled(environment.STACK) or defaults.execution.stack,
        image=image.merge(
            [
                layer.execution.image,
                image.normalise(environment.image(), environment.IMAGE),
                defaults.execution.image,
            ]
        ),
        cache=first(layer.execution.cache, environment.boolean(environment.CACHE), defaults.execution.cache),
        retries=first(
            layer.execution.retries,
            environment.whole_number(environment.RETRIES, minimum=0),
            defaults.execution.retries,
        ),
        project=layer.project or environment.text(environment.PROJECT) or defaults.project,
    )


def first(*values: Any) -> Any:
    """The first value that is not None; None when all are."""
    return next((value for value in values if value is not None), None)

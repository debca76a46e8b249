"""Defaults of a project: the table ``[tool.kitaru]`` of the nearest ``pyproject.toml``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kitaru.config import image as images
from kitaru.config.values import ExecutionLayer
from kitaru.errors import KitaruUsageError


@dataclass(frozen=True, slots=True)
class ProjectDefaults:
    """What a project file says; ``path`` is None when there is no such file."""

    path: Path | None = None
    execution: ExecutionLayer = field(default_factory=ExecutionLayer)
    project: str | None = None


def find(directory: str) -> Path | None:
    """The first ``pyproject.toml`` on the way up from ``directory``; it wins even if it says nothing of Kitaru."""
    folder = Path(directory)
    for place in (folder, *folder.parents):
        path = place / "pyproject.toml"
        if path.is_file():
            return path
    return None


def stamp(path: Path | None) -> tuple[int, int] | None:
    """What changes when the file is edited: modification time and size."""
    if path is None:
        return None
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def read(path: Path | None) -> ProjectDefaults:
    """The defaults in a project file. Raises KitaruUsageError, naming the file, for what cannot be used."""
    if path is None:
        return ProjectDefaults()
    table = _table(path)
    if "runner" in table:
        raise KitaruUsageError(f"{path}: [tool.kitaru] has the key `runner`, which was renamed to `stack`. Rename it.")
    where = f"{path}: [tool.kitaru]"
    return ProjectDefaults(
        path,
        ExecutionLayer(
            stack=_text(table, "stack", where),
            image=images.normalise(table.get("image"), where),
            cache=_truth(table, "cache", where),
            retries=_retries(table, where),
        ),
        _text(table, "project", where),
    )


def _table(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise KitaruUsageError(f"{path} is not valid TOML: {error}. Fix the file.") from error
    except OSError as error:
        raise KitaruUsageError(f"{path} cannot be read: {error.strerror}.") from error
    tool = content.get("tool", {})
    if not isinstance(tool, dict):
        raise KitaruUsageError(f"{path}: [tool] is not a table.")
    table = tool.get("kitaru", {})
    if not isinstance(table, dict):
        raise KitaruUsageError(f"{path}: [tool.kitaru] is not a table.")
    return table


def _text(table: dict[str, Any], key: str, where: str) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        raise KitaruUsageError(f"{where}: {key} = {value!r} must be a text that is not blank.")
    return value.strip()


def _truth(table: dict[str, Any], key: str, where: str) -> bool | None:
    value = table.get(key)
    if value is None or isinstance(value, bool):
        return value
    raise KitaruUsageError(f"{where}: {key} = {value!r} must be true or false.")


def _retries(table: dict[str, Any], where: str) -> int | None:
    value = table.get("retries")
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise KitaruUsageError(f"{where}: retries = {value!r} must be a whole number >= 0.")
    return value

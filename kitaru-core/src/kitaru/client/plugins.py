"""Plugins as rows for people and machines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def list_plugins() -> list[dict[str, Any]]:
    """One object per installed plugin: name, distribution, version, interface, status, reason, supplies."""
    from kitaru.inspection import to_jsonable
    from kitaru.plugins.manager import plugin_manager

    rows = []
    for plugin in plugin_manager().plugins():
        names = ("name", "distribution", "version", "interface", "status", "reason", "supplies")
        rows.append({name: to_jsonable(getattr(plugin, name), fallback_repr=True) for name in names})
    return rows


def new_plugin(name: str, directory: Path | None = None) -> dict[str, Any]:
    """Write the project of a new plugin: see :func:`kitaru.plugins.new_project.write_project`."""
    from dataclasses import asdict

    from kitaru.plugins.manager import plugin_manager
    from kitaru.plugins.new_project import write_project

    made = write_project(name, directory, plugin_manager())
    return {**asdict(made), "directory": str(made.directory), "files": list(made.files)}

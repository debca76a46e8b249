"""Plugins as rows for people and machines."""

from __future__ import annotations

from typing import Any


def list_plugins() -> list[dict[str, Any]]:
    """One object per installed plugin: name, distribution, version, interface, status, reason, supplies."""
    from kitaru.inspection import to_jsonable
    from kitaru.plugins.manager import plugin_manager

    rows = []
    for plugin in plugin_manager().plugins():
        names = ("name", "distribution", "version", "interface", "status", "reason", "supplies")
        rows.append({name: to_jsonable(getattr(plugin, name), fallback_repr=True) for name in names})
    return rows

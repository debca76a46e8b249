"""The operation layer: everything the command line, agents and the server do to executions goes through here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# Loaded on first use: the command line's help needs nothing of it.
_EXPORTS = {"KitaruClient": "kitaru.client.client", "Recovery": "kitaru.client.recovery"}

__all__ = ["KitaruClient", "Recovery"]

if TYPE_CHECKING:
    from kitaru.client.client import KitaruClient as KitaruClient
    from kitaru.client.recovery import Recovery as Recovery


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'kitaru.client' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value

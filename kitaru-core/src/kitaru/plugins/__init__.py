"""The plugin interface. Plugin authors need one name from here: ``from kitaru.plugins import hookimpl``."""

from __future__ import annotations

from kitaru.plugins.marker import hookimpl

__all__ = ["hookimpl"]

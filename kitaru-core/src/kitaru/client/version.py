"""Which Kitaru is installed."""

from __future__ import annotations

import functools


@functools.cache
def resolve_installed_version() -> str:
    """The version of the installed distribution, or ``"unknown"`` when it is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("kitaru-core")
    except PackageNotFoundError:
        return "unknown"

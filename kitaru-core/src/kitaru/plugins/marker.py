"""The markers: ``hookimpl`` for plugins, ``hookspec`` for the interface itself."""

from __future__ import annotations

import pluggy

#: Name of the pluggy project and of the entry-point group through which plugins are found.
PROJECT = "kitaru"

hookimpl = pluggy.HookimplMarker(PROJECT)
hookspec = pluggy.HookspecMarker(PROJECT)

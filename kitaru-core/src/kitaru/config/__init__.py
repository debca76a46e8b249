"""Settings and where they come from: the only reader of environment variables and configuration files.

Importing this package reads nothing and loads nothing heavy. A bad value raises from the call that needs it.
"""

from __future__ import annotations

from kitaru.config.overrides import UNSET, KitaruConfig, configure, reset_configuration
from kitaru.config.paths import config_directory
from kitaru.config.settings import Settings, resolve

__all__ = ["UNSET", "KitaruConfig", "Settings", "config_directory", "configure", "reset_configuration", "resolve"]

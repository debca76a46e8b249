"""Where this installation keeps its things on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kitaru.config import environment
from kitaru.errors import KitaruUsageError


def config_directory() -> Path:
    """The directory of journal, artifacts, logs and configuration; absolute, made by whoever first writes into it.

    ``KITARU_CONFIG_PATH``, else the platform's place for settings: ``$XDG_CONFIG_HOME/kitaru`` or
    ``~/.config/kitaru``, on macOS ``~/Library/Application Support/kitaru``.

    Raises KitaruUsageError when the path is there but is no directory.
    """
    named = environment.text(environment.KITARU_CONFIG_PATH_ENV)
    path = Path(os.path.abspath(os.path.expanduser(named))) if named else _platform_directory()
    if path.exists() and not path.is_dir():
        raise KitaruUsageError(
            f"the configuration directory {path} is a file. Set {environment.KITARU_CONFIG_PATH_ENV} to a directory "
            "(it is made when something is written into it)."
        )
    return path


def _platform_directory() -> Path:
    if sys.platform == "darwin":
        return Path(os.path.expanduser("~/Library/Application Support/kitaru"))
    home = environment.text(environment.XDG_CONFIG_HOME)
    # The XDG rules: a relative value counts as unset.
    if home is None or not os.path.isabs(home):
        home = os.path.expanduser("~/.config")
    return Path(home) / "kitaru"

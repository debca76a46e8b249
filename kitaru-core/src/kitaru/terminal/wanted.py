"""Whether lines about what flows do are wanted on this process's terminal. Light: every command asks."""

from __future__ import annotations

import os
import sys

_told_elsewhere = False


def tell_elsewhere() -> None:
    """This process shows progress itself, as commands do: no lines from here."""
    global _told_elsewhere
    _told_elsewhere = True


def wanted() -> bool:
    """Whether somebody looks: at a terminal on stdout, unless ``KITARU_TERMINAL`` says ``on`` or ``off``."""
    said = os.environ.get("KITARU_TERMINAL", "").strip().lower()
    if _told_elsewhere or said in ("off", "0", "false", "no"):
        return False
    return said in ("on", "1", "true", "yes") or is_terminal()


def is_terminal() -> bool:
    """Whether stdout is one."""
    isatty = getattr(sys.stdout, "isatty", None)
    try:
        return bool(callable(isatty) and isatty())
    except ValueError:  # it is closed
        return False

"""The one handler that writes these lines, and how it gets onto the root logger."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from kitaru.terminal.rules import ENGINE, TerminalDecision, decide
from kitaru.terminal.wanted import is_terminal

_MARKER = "kitaru-terminal-handler/v1"
_MARKER_ATTRIBUTE = "_kitaru_terminal_handler_marker"
_RESET = "\x1b[0m"
_SIGN = "\u203a"  # a single right-pointing angle
_LOOKS = {
    "info": ("\x1b[37m", _SIGN),
    "detail": ("\x1b[90m", _SIGN),
    "success": ("\x1b[32m", "✓"),
    "warning": ("\x1b[33m", "!"),
    "error": ("\x1b[31m", "✖"),
}


def render(decision: TerminalDecision, *, interactive: bool) -> str:
    """The line: with a coloured sign for somebody who looks, else plain."""
    if not interactive:
        return f"Kitaru: {decision.text}"
    colour, sign = _LOOKS.get(decision.kind, (_RESET, _SIGN))
    return f"{colour}Kitaru {sign}{_RESET} {decision.text}"


def get_bypass_write() -> Callable[[str], Any]:
    """Writes to the stdout below an engine's wrapper, which would take a line for something that a step printed."""
    engine = sys.modules.get(f"{ENGINE}.logger")
    original = getattr(engine, "_original_stdout_write", None)
    if callable(original):
        write: Callable[[str], Any] = original
        return write
    return sys.stdout.write


class _TerminalHandler(logging.Handler):
    """Shows records as lines of Kitaru's; what another handler on the root shows on the console is left to that one."""

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        setattr(self, _MARKER_ATTRIBUTE, _MARKER)
        self._interactive = is_terminal() and "NO_COLOR" not in os.environ
        self._write = get_bypass_write()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            decision = None if self._shown_already(record) else decide(record)
            if decision is not None:
                self._write(render(decision, interactive=self._interactive) + "\n")
        except Exception:
            self.handleError(record)

    def _shown_already(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] == ENGINE:
            return False
        others = (one for one in logging.getLogger().handlers if one is not self)
        return any(type(one) is logging.StreamHandler and one.stream in (sys.stdout, sys.stderr) for one in others)


def install_terminal_log_intercept() -> None:
    """Have our handler on the root logger, once: in the place of an engine's console handler, else behind all others.

    Further console handlers of the engine, and of ours (a reloaded module's), are closed; every other handler stays
    where it is. Calling it again changes nothing.
    """
    root = logging.getLogger()
    kept: list[logging.Handler] = []
    ours: logging.Handler | None = next((one for one in root.handlers if _is_ours(one)), None)
    placed = False
    for handler in list(root.handlers):
        if not (_is_ours(handler) or _is_of_engine(handler)):
            kept.append(handler)
            continue
        if not placed and (ours is None or handler is ours or _is_of_engine(handler)):
            ours = ours or _TerminalHandler()
            kept.append(ours)
            placed = True
        if handler is not ours:
            handler.close()
    if not placed:
        kept.append(_TerminalHandler())
    root.handlers[:] = kept


def _is_ours(handler: logging.Handler) -> bool:
    # By a mark, not by class: a reloaded module has another class.
    return getattr(handler, _MARKER_ATTRIBUTE, None) == _MARKER


def _is_of_engine(handler: logging.Handler) -> bool:
    formatter = type(handler.formatter)
    return isinstance(handler, logging.StreamHandler) and formatter.__module__.partition(".")[0] == ENGINE


_render = render
_get_bypass_write = get_bypass_write

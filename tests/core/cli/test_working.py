"""A command that takes its time says so, to somebody who looks."""

from __future__ import annotations

import io
import sys
import time

import pytest

from kitaru.cli import working as module
from kitaru.cli.working import working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_it_is_seen_and_gone_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    monkeypatch.setattr(module, "_TURN_SECONDS", 0.01)
    with working("Counting\x1b[2J sheep"):
        time.sleep(0.2)
    assert "Counting[2J sheep (" in shown.getvalue() and shown.getvalue().endswith("\r\x1b[K")


def test_short_work_and_pipes_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with pytest.raises(ValueError, match="as it is"), working("Quick"):
        raise ValueError("as it is")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(module, "_QUIET_SECONDS", 0.01)
    with working("Piped"):
        time.sleep(0.05)
    assert shown.getvalue() == "" and sys.stderr.getvalue() == ""  # type: ignore[attr-defined]

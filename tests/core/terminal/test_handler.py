"""One handler on the root logger, whoever was there before."""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kitaru.terminal import handler as module
from kitaru.terminal.handler import _render, install_terminal_log_intercept
from kitaru.terminal.rules import _TerminalDecision


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[logging.Logger]:
    logger = logging.getLogger()
    before = list(logger.handlers)
    logger.handlers[:] = []
    yield logger
    logger.handlers[:] = before


def engine_handler() -> logging.StreamHandler[Any]:
    made = logging.StreamHandler(io.StringIO())
    formatter = type("ConsoleFormatter", (logging.Formatter,), {"__module__": "zenml.logger"})
    made.setFormatter(formatter())
    return made


def ours(root: logging.Logger) -> list[logging.Handler]:
    mark = "kitaru-terminal-handler/v1"
    return [one for one in root.handlers if getattr(one, "_kitaru_terminal_handler_marker", None) == mark]


def test_it_takes_the_place_of_the_engines(root: logging.Logger) -> None:
    storage, console, file, extra = logging.NullHandler(), engine_handler(), logging.NullHandler(), engine_handler()
    root.handlers[:] = [storage, console, file, extra]
    install_terminal_log_intercept()
    (mine,) = ours(root)
    assert root.handlers == [storage, mine, file] and mine.level == logging.NOTSET
    install_terminal_log_intercept()
    assert root.handlers == [storage, mine, file]


def test_it_is_added_where_there_is_none_and_never_twice(root: logging.Logger) -> None:
    other = logging.NullHandler()
    root.handlers[:] = [other]
    install_terminal_log_intercept()
    (mine,) = ours(root)
    assert root.handlers == [other, mine]
    import importlib

    again = importlib.reload(module)
    again.install_terminal_log_intercept()
    assert root.handlers == [other, mine], "known by its mark, though its class is another one now"
    twin = again._TerminalHandler()
    root.addHandler(twin)
    again.install_terminal_log_intercept()
    assert root.handlers == [other, mine]


def test_what_it_writes(root: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    install_terminal_log_intercept()
    root.setLevel(logging.INFO)
    logging.getLogger("zenml.steps").info("Step `x` has started.")
    logging.getLogger("zenml.steps").info("Using a build:")
    logging.getLogger("mine").warning("careful %s", 1)
    assert capsys.readouterr().out == "Kitaru: Checkpoint `x` started.\nKitaru: careful 1\n"
    root.addHandler(logging.StreamHandler(sys.stderr))
    logging.getLogger("mine").warning("seen already")
    assert "seen already" not in capsys.readouterr().out


def test_it_goes_around_the_engines_capture(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    engine = types.ModuleType("zenml.logger")
    engine._original_stdout_write = written.append  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "zenml.logger", engine)
    module._get_bypass_write()("line")
    assert written == ["line"]


@pytest.mark.parametrize(
    ("kind", "colour", "sign"),
    [("info", 37, "\u203a"), ("detail", 90, "\u203a"), ("success", 32, "✓"), ("warning", 33, "!"), ("error", 31, "✖")],
)
def test_how_a_line_looks(kind: Any, colour: int, sign: str) -> None:
    decision = _TerminalDecision(kind, "text")
    assert _render(decision, interactive=False) == "Kitaru: text"
    assert _render(decision, interactive=True) == f"\x1b[{colour}mKitaru {sign}\x1b[0m text"
    odd = _TerminalDecision("odd", "text")  # type: ignore[arg-type]
    assert _render(odd, interactive=True) == "\x1b[0mKitaru \u203a\x1b[0m text"


PROGRAM = """
import logging, kitaru

@kitaru.checkpoint(retries=1)
def step(n):
    tries.append(n)
    if len(tries) == 1:
        raise ValueError("first")
    return n

@kitaru.flow
def fine():
    return step(1)

@kitaru.flow
def broken():
    step(1)
    raise ValueError("the end")

tries = []
if __name__ == "__main__":
    fine.run().wait()
    try:
        broken.run().wait()
    except Exception:
        pass
    assert logging.getLogger().handlers == [], "nobody's logging is touched"
"""


@pytest.mark.parametrize(("said", "shown"), [("on", True), ("off", False), (None, False)])
def test_a_flow_tells_what_it_does(tmp_path: Path, said: str | None, shown: bool) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    env = {**os.environ, **({"KITARU_TERMINAL": said} if said else {})}
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, env=env, capture_output=True, text=True, check=True, timeout=60
    )
    lines = done.stdout.splitlines()
    if not shown:
        assert lines == []
        return
    assert lines[0].startswith("Kitaru: Starting flow `fine` (execution ")
    assert lines[1].startswith("Kitaru: Checkpoint `step` failed after ") and lines[1].endswith("it is tried again.")
    assert lines[2].startswith("Kitaru: Checkpoint `step` finished in ")
    assert lines[3].startswith("Kitaru: Execution finished in ")
    assert lines[-1].startswith("Kitaru: Execution failed after ") and lines[-1].endswith(": the end")

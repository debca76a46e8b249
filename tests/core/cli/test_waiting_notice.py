"""Who follows an execution in the foreground is told what it waits for, and which command answers."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROGRAM = """
import os, signal
from kitaru import checkpoint, flow, wait

@checkpoint(effect="once")
def pay(amount):
    if not os.path.exists("paid"):
        open("paid", "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return amount

@flow
def order(amount: int):
    return pay(amount)

@flow
def asking():
    return wait(schema=int, name="how many", question="How many?")

@flow
def parent():
    return asking.run().wait() + 1
"""


@pytest.fixture(autouse=True)
def program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)


@contextmanager
def kitaru(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "kitaru", *arguments]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> tuple[str, str]:
    """What a command said on stderr until it named the command that answers, and that command."""
    assert process.stderr is not None
    lines = ""
    for line in process.stderr:
        lines += line
        if found := re.search(r"Answer it with: kitaru (.*)", line):
            return lines, found[1]
    raise AssertionError(f"it ended without a word about the wait: {lines}")


def answer(command: str, value: str) -> None:
    arguments = [value if word == "JSON" else word for word in shlex.split(command)]
    subprocess.run([sys.executable, "-m", "kitaru", *arguments], check=True, stdout=subprocess.DEVNULL, timeout=60)


@pytest.mark.parametrize("output", ["text", "json"])
@pytest.mark.parametrize("flow", ["asking", "parent"])
def test_run_says_what_the_execution_or_its_child_waits_for(flow: str, output: str) -> None:
    with kitaru("run", f"program.py:{flow}", "--output", output) as process:
        lines, command = told(process)
        assert "waiting    how many  How many?" in lines
        answer(command, "7")
        stdout, stderr = process.communicate(timeout=60)
    expected = 7 if flow == "asking" else 8
    assert "Answer it" not in stderr, "once is enough"
    assert (json.loads(stdout)["item"]["result"]["value"] if output == "json" else int(stdout)) == expected


def test_resume_says_that_somebody_has_to_decide_about_an_effect() -> None:
    with kitaru("run", "program.py:order", "--args", '{"amount": 5}') as process:
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == -9
    exec_id = stderr.split()[1]
    with kitaru("executions", "resume", exec_id) as process:
        lines, command = told(process)
        assert '"run_again"' in lines and f"{exec_id} --wait in_doubt:pay" in command
        answer(command, '{"decision": "done", "result": 5}')
        stdout, _ = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (0, "5\n")
    assert os.path.exists("paid")

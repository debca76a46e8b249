"""The command line as users meet it: in processes of its own, against the test's own store."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from kitaru import KitaruClient

WAIT_SECONDS = 60.0


@dataclass
class Answer:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON object and nothing else."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The JSON error on the last line of standard error."""
        return json.loads(self.err.strip().splitlines()[-1])["error"]


class Cli:
    """Runs ``kitaru`` with the arguments of a call."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(self, *arguments: str, cwd: Path | str | None = None) -> Answer:
        process = self.start(*arguments, cwd=cwd)
        out, err = process.communicate(timeout=WAIT_SECONDS)
        return Answer(process.returncode, out, err)

    def start(self, *arguments: str, cwd: Path | str | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "kitaru.cli.main", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=cwd)
        self._started.append(process)
        return process

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@pytest.fixture
def cli() -> Iterator[Cli]:
    command = Cli()
    yield command
    command.close()


def until(condition: Callable[[], Any]) -> Any:
    """The first true answer of ``condition``; fails when it does not come."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("the awaited condition did not come true")


FLOWS = """
import os
import time
from dataclasses import dataclass
from pathlib import Path

from kitaru import checkpoint, flow

from local_helper import shout


@dataclass
class Word:
    text: str


@checkpoint
def say(text: str) -> Word:
    print(f"saying {text}")
    os.system("echo from a shell")
    return Word(shout(text))


@checkpoint
def wait_for(gate: str) -> str:
    while not Path(gate).exists():
        time.sleep(0.01)
    return "open"


@checkpoint
def count(ledger: str, number: int) -> int:
    with open(ledger, "a") as file:
        file.write(f"{number}\\n")
    return number


@checkpoint
def fail_unless(path: str) -> str:
    if not Path(path).exists():
        raise LookupError("\\x1b[31mnot there\\x1b[0m yet")
    return "there"


@checkpoint
def crash() -> None:
    os.abort()


@flow
def greet(text: str, times: int = 1) -> list[Word]:
    print("greeting")
    return [say(text) for _ in range(times)]


@flow
def gated(gate: str, ledger: str) -> int:
    total = count(ledger, 1) + count(ledger, 2)
    wait_for(gate)
    return total + count(ledger, 3)


@flow
def endless(ledger: str) -> None:
    number = 0
    while True:
        number = count(ledger, number + 1)
        time.sleep(0.01)


@flow
def fragile(path: str) -> str:
    say("before")
    return fail_unless(path)


@flow
def crashing() -> None:
    crash()
"""


@pytest.fixture
def flows(tmp_path: Path) -> Path:
    """A flow file whose helper lies beside it, in a folder that is not the working directory."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "local_helper.py").write_text("def shout(text):\n    return text.upper()\n")
    file = folder / "words_flow.py"
    file.write_text(FLOWS)
    return file


@dataclass
class Gated:
    """A flow that runs in a process of its own and waits in its third checkpoint until ``gate`` exists."""

    process: subprocess.Popen[str]
    exec_id: str
    gate: Path
    ledger: Path

    def calls(self) -> list[str]:
        """What ran, in order."""
        return self.ledger.read_text().split() if self.ledger.exists() else []


@pytest.fixture
def start_gated(cli: Cli, flows: Path, tmp_path: Path) -> Callable[..., Gated]:
    def start(name: str = "one", *options: str) -> Gated:
        gate, ledger = tmp_path / f"gate-{name}", tmp_path / f"ledger-{name}"
        arguments = json.dumps({"gate": str(gate), "ledger": str(ledger)})
        process = cli.start(
            "run", "words_flow.py:gated", "--args", arguments, "--idempotency-key", name, *options, cwd=flows.parent
        )
        client = KitaruClient()
        exec_id = until(lambda: process.poll() is None and client.executions.find("gated", name))

        def waiting() -> bool:
            calls = client.executions.get(exec_id).checkpoints
            return bool(calls) and calls[-1].name == "wait_for"

        until(waiting)
        return Gated(process, exec_id, gate, ledger)

    return start

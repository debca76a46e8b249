"""``python -m kitaru.stack.start``: what an orchestrator starts in its place."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitaru import KitaruClient
from kitaru.runtime.kernel import Kernel
from kitaru.testing.conformance import sample_flow

UNKNOWN = "00000000-0000-4000-8000-000000000000"


def begin(kernel: Kernel, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "kitaru.stack.start", *arguments],
        env={**os.environ, "KITARU_JOURNAL_URL": kernel.journal.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(kernel: Kernel, *arguments: str) -> tuple[int, str]:
    with begin(kernel, *arguments) as process:
        told = process.communicate(timeout=60)[1]
    return process.returncode, told


def create(kernel: Kernel, number: int) -> str:
    return kernel.create(sample_flow.sample.spec, (number,), {}, owned=False).record.exec_id


def staying(kernel: Kernel, folder: Path) -> tuple[str, subprocess.Popen[str]]:
    """An execution in a process of its own, in the middle of its first call."""
    exec_id = kernel.create(sample_flow.staying.spec, (str(folder),), {}, owned=False).record.exec_id
    process = begin(kernel, exec_id)
    deadline = time.monotonic() + 60
    while not (folder / "running").exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return exec_id, process


def test_it_stays_until_the_execution_has_ended(kernel: Kernel) -> None:
    exec_id = create(kernel, 3)
    assert finish(kernel, exec_id) == (0, "")
    record = kernel.journal.get(exec_id)
    assert record.status == "completed" and record.result is not None
    assert kernel.decode(record.result) == 12


@pytest.mark.parametrize("arguments", [(), ("one", "two"), ("--unknown",)])
def test_a_wrong_command_line(kernel: Kernel, arguments: tuple[str, ...]) -> None:
    code, told = finish(kernel, *arguments)
    assert code == 2 and told.startswith("usage: python -m kitaru.stack.start")


def test_an_execution_that_is_not_there(kernel: Kernel) -> None:
    code, told = finish(kernel, UNKNOWN)
    assert code == 1 and UNKNOWN in told


def test_one_that_has_ended_is_left_alone(kernel: Kernel) -> None:
    exec_id = create(kernel, 1)
    assert finish(kernel, exec_id)[0] == 0
    before = kernel.journal.entries(exec_id)
    code, told = finish(kernel, exec_id)
    assert code == 0 and "completed" in told
    assert kernel.journal.entries(exec_id) == before


def test_one_that_somebody_drives_is_left_alone(kernel: Kernel, tmp_path: Path) -> None:
    exec_id, process = staying(kernel, tmp_path)
    with process:
        code, told = finish(kernel, exec_id)
        assert code == 0 and exec_id in told
        (tmp_path / "released").touch()
        assert process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_go_and_the_next_start_continues(kernel: Kernel, tmp_path: Path, number: int) -> None:
    exec_id, process = staying(kernel, tmp_path)
    with process:
        process.send_signal(number)
        (tmp_path / "released").touch()
        assert process.wait(60) == 128 + number
    assert KitaruClient().executions.status(exec_id) == "interrupted"
    assert finish(kernel, exec_id)[0] == 0
    assert kernel.journal.get(exec_id).status == "completed"


def test_one_that_was_cancelled_before_it_came_to_start_stays_cancelled(kernel: Kernel) -> None:
    exec_id = create(kernel, 1)
    kernel.cancel(exec_id)
    code, told = finish(kernel, exec_id)
    assert code == 0 and "cancelled" in told
    assert kernel.journal.get(exec_id).status == "cancelled" and kernel.journal.entries(exec_id) == []

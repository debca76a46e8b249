"""Executions that take their owners down are parked; those that merely lose them over and over are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import FailureOrigin
from kitaru.runtime.kernel import Kernel

MAX = 3

# What a worker process does: start the flow that it is told to, or recover whatever there is.
WORKER = """
import sys
from pathlib import Path
from kitaru import KitaruClient
from tests.core.runtime import test_parking as here

if sys.argv[1] == "start":
    handle = getattr(here, sys.argv[2]).run()
    Path("starting").write_text(handle.exec_id)
    Path("starting").rename("started")
    handle.wait()
else:
    Path("parked").write_text(" ".join(KitaruClient().recover(owners_lost_max=here.MAX).parked))
"""


@checkpoint
def ends(number: int) -> int:
    return number


@checkpoint
def kills(times: int) -> str:
    """Takes its process down, so often."""
    died = Path("deaths")
    deaths = int(died.read_text()) if died.exists() else 0
    if deaths < times:
        died.write_text(str(deaths + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return f"survived {deaths}"


@flow
def poisoned() -> Any:
    return [ends(1), kills(1_000)]


@flow
def unlucky() -> Any:
    """Every process dies, but each gets further than the one before it."""
    done = []
    for number in range(1, 6):
        done.append(ends(number))
        kills(number)
    return done


@flow
def asks() -> Any:
    return [ends(1), kitaru.wait(name="go", schema=bool), kills(1_000)]


@flow
def asks_through_a_child() -> Any:
    return [ends(2), asks.run().wait()]


@flow
def asks_beside() -> Any:
    """A question is open while a call takes its owners down."""
    beside = kills.submit(1_000)
    return [asks_inside(), beside.result()]


@checkpoint
def asks_inside() -> Any:
    return kitaru.wait(name="go", schema=bool)


def work(*arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen([sys.executable, "-c", WORKER, *arguments], cwd=cwd, env=environment)


def start(name: str, cwd: Path) -> subprocess.Popen[bytes]:
    return work("start", name, cwd=cwd)


def until(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def recover_until_parked(cwd: Path) -> int:
    """How many processes died under ``recover`` until it parked what they ran."""
    for dead in range(20):
        if work("recover", cwd=cwd).wait(60) == 0:
            assert (cwd / "parked").read_text()
            return dead
    raise AssertionError("never parked")


def test_what_takes_its_owners_down_is_parked_after_exactly_so_many(kernel: Kernel, tmp_path: Path) -> None:
    assert start("poisoned", tmp_path).wait(60) == -signal.SIGKILL
    # The first owner got somewhere; the MAX - 1 that follow it do not, and no further one is risked.
    assert recover_until_parked(tmp_path) == MAX
    assert int((tmp_path / "deaths").read_text()) == MAX + 1
    (execution,) = KitaruClient().executions.list()
    assert execution.failure is not None and execution.failure.origin is FailureOrigin.RUNTIME
    assert execution.owners_lost == MAX + 1


def test_owners_that_got_further_do_not_count(kernel: Kernel, tmp_path: Path) -> None:
    process = start("unlucky", tmp_path)
    while process.wait(60) == -signal.SIGKILL:
        process = work("recover", cwd=tmp_path)
    assert process.returncode == 0
    assert int((tmp_path / "deaths").read_text()) == 5 > MAX
    (execution,) = KitaruClient().executions.list()
    assert (execution.status, execution.result()) == ("completed", [1, 2, 3, 4, 5])


def test_owners_lost_while_an_execution_only_waits_do_not_count(kernel: Kernel, tmp_path: Path) -> None:
    process = start("asks", tmp_path)
    until((tmp_path / "started").exists)
    exec_id = (tmp_path / "started").read_text()
    until(lambda: kernel.journal.get(exec_id).open_waits)
    for deploy in range(MAX + 3):
        process.kill()
        process.wait(60)
        process = work("recover", cwd=tmp_path)
        # Counted, and forgiven as soon as nothing but the question is left.
        until(lambda: kernel.journal.get(exec_id).fence == deploy + 2 and kernel.journal.get(exec_id).owners_lost == 0)
        assert kernel.journal.get(exec_id).status == "running"
    # Answered, it goes on to a call that does take owners down: those count, from the first.
    KitaruClient().executions.input(exec_id, value=True, resume=False)
    assert process.wait(60) == -signal.SIGKILL
    assert recover_until_parked(tmp_path) == MAX
    assert KitaruClient().executions.get(exec_id).owners_lost == MAX + 1


def test_nor_do_owners_lost_while_a_child_only_waits(kernel: Kernel, tmp_path: Path) -> None:
    process = start("asks_through_a_child", tmp_path)
    until((tmp_path / "started").exists)
    exec_id = (tmp_path / "started").read_text()
    until(lambda: KitaruClient().executions.get(exec_id).children)
    (child,) = [one.exec_id for one in KitaruClient().executions.get(exec_id).children]
    until(lambda: kernel.journal.get(child).open_waits)
    for deploy in range(MAX + 2):
        process.kill()
        process.wait(60)
        process = work("recover", cwd=tmp_path)
        for one in (exec_id, child):
            until(lambda: (now := kernel.journal.get(one)).fence == deploy + 2 and now.owners_lost == 0)
    KitaruClient().executions.input(child, value=True, resume=False)
    assert process.wait(60) == -signal.SIGKILL, "the child's next call takes the owner of both down"
    assert recover_until_parked(tmp_path) == MAX
    process.kill()


def test_an_open_question_does_not_hide_a_call_that_takes_its_owners_down(kernel: Kernel, tmp_path: Path) -> None:
    assert start("asks_beside", tmp_path).wait(60) == -signal.SIGKILL
    assert recover_until_parked(tmp_path) == MAX


def test_the_last_loss_counts_by_what_that_owner_did(kernel: Kernel, tmp_path: Path) -> None:
    """One that is over the limit is still continued when its last owner had got further."""
    process = start("asks", tmp_path)
    until((tmp_path / "started").exists)
    exec_id = (tmp_path / "started").read_text()
    until(lambda: kernel.journal.entries(exec_id))  # what is put in below looks like one of these
    process.kill()
    process.wait(60)
    lease = kernel.journal.claim(exec_id, _ghost(kernel), 3600.0, ("interrupted",), kernel.alive).lease
    for _ in range(MAX):
        lease = kernel.journal.claim(exec_id, _ghost(kernel), 3600.0, ("interrupted",), kernel.alive).lease
    assert kernel.journal.get(exec_id).owners_lost >= MAX
    entry = kernel.journal.entries(exec_id)[0]
    entry.seq, entry.key = 0, "ends#2"
    kernel.journal.append(lease, [entry])
    run = kernel.recover(exec_id, asks.spec, owners_lost_max=MAX)
    assert run is not None
    until(lambda: kernel.journal.get(exec_id).open_waits)
    kernel.cancel(exec_id)
    with pytest.raises(Exception, match="cancelled"):
        FlowHandle(kernel, exec_id, run).wait()


def _ghost(kernel: Kernel) -> Any:
    import dataclasses

    return dataclasses.replace(kernel.owner, pid=2**22 + 1)

"""``runtime="isolated"``: one call in a process of its own."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import pytest

import kitaru
from kitaru import checkpoint, flow
from kitaru.errors import KitaruExecutionError, KitaruTimeoutError, KitaruUserCodeError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel


@dataclass
class Answer:
    pid: int
    doubled: int
    where: Any


@checkpoint(runtime=" Isolated ")
def apart(n: int) -> Answer:
    print("said apart")
    here = kitaru.current()
    return Answer(os.getpid(), n * 2, (here.exec_id, here.invocation_id, here.idempotency_key))


@checkpoint(runtime="isolated")
async def apart_async(n: int) -> int:
    return os.getpid()


@checkpoint(runtime="isolated")
def raises(n: int) -> None:
    raise LookupError(f"no {n}")


@checkpoint(runtime="isolated", retries=1)
def dies(marker: str) -> str:
    if not os.path.exists(marker):
        with open(marker, "w"):
            pass
        os.kill(os.getpid(), signal.SIGKILL)
    return "second try"


@checkpoint(runtime="isolated", timeout=0.5)
def hangs(marker: str) -> None:
    with open(marker, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(60)


@checkpoint(runtime="isolated")
def nests(n: int) -> Any:
    return apart(n)


@flow
def run_apart(n: int) -> Answer:
    return apart(n)


def test_the_body_runs_in_another_process_and_its_value_keeps_its_type() -> None:
    handle = run_apart.run(21)
    answer = handle.wait()
    assert type(answer) is Answer
    assert answer.pid != os.getpid()
    assert answer.doubled == 42
    assert answer.where[:2] == (handle.exec_id, "apart")
    assert answer.where[2]


@flow
async def run_apart_async() -> Any:
    return await apart_async(1)


def test_async_bodies_too() -> None:
    assert run_apart_async.run().wait() != os.getpid()


@flow
def run_raises() -> str:
    try:
        raises(3)
    except LookupError as error:
        return str(error)
    return "nothing raised"


def test_its_exceptions_come_back_as_they_were() -> None:
    assert run_raises.run().wait() == "no 3"


@flow
def run_dies(marker: str) -> str:
    return dies(marker)


def test_its_death_is_one_failed_attempt(tmp_path: Any, kernel: Kernel) -> None:
    handle = run_dies.run(str(tmp_path / "marker"))
    assert handle.wait() == "second try"
    (failed,) = [entry for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.ATTEMPT_FAILED]
    assert failed.detail is not None
    assert "signal 9" in failed.detail["failure"]["message"]
    assert failed.detail["failure"]["origin"] == "backend"


@flow
def run_hangs(marker: str) -> str:
    try:
        hangs(marker)
    except KitaruTimeoutError as error:
        return str(error)
    return "not reached"


def test_a_deadline_kills_the_process(tmp_path: Any) -> None:
    marker = tmp_path / "pid"
    assert "timed out after 0.5 s" in run_hangs.run(str(marker)).wait()
    if marker.exists() and marker.read_text():
        with pytest.raises(ProcessLookupError):
            os.kill(int(marker.read_text()), 0)


@flow
def run_nests() -> Any:
    return nests(1)


def test_it_has_no_journal_and_says_so() -> None:
    with pytest.raises(KitaruUserCodeError, match='runtime="isolated" runs without the journal'):
        run_nests.run().wait()


def test_a_checkpoint_that_another_process_cannot_find_is_refused() -> None:
    @checkpoint(runtime="isolated")
    def local() -> None: ...

    @flow
    def run_local() -> None:
        local()

    with pytest.raises(KitaruExecutionError, match="it is defined inside a function"):
        run_local.run().wait()

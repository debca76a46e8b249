"""The fixture kitaru_store: isolation, fakes, time that is moved, processes that are killed."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import (
    KitaruStateError,
    KitaruTimeoutError,
    KitaruUsageError,
    KitaruUserCodeError,
    KitaruWaitingError,
)
from kitaru.testing.store import KitaruStore

HOUR = 3600
ran: list[str] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    ran.clear()


@checkpoint
def research(topic: str) -> str:
    ran.append(f"research {topic}")
    return f"all about {topic}"


@checkpoint
def write(notes: str) -> str:
    ran.append("write")
    return notes.upper()


@flow
def report(topic: str) -> str:
    text: str = write(research(topic))
    return text


@checkpoint
async def ask(question: str) -> str:
    ran.append("ask")
    return question


@flow
async def asking() -> list[str]:
    return list(await asyncio.gather(ask("a"), ask("b")))


@flow
def naps(times: int) -> list[str]:
    woke = []
    for _ in range(times):
        kitaru.sleep(HOUR)
        woke.append(kitaru.now().isoformat())
    write("done")
    return woke


@flow
async def async_nap() -> str:
    await kitaru.sleep(24 * HOUR)
    return await ask("rested")


def test_the_store_is_empty_and_lies_in_its_own_place(kitaru_store: KitaruStore, tmp_path: Path) -> None:
    assert kitaru_store.directory == tmp_path / "kitaru"
    assert kitaru_store.client.executions.list() == []
    assert report.run("x").wait() == "ALL ABOUT X"
    assert [one.flow_name for one in kitaru_store.client.executions.list()] == ["report"]
    assert kitaru_store.client.journal_url == f"sqlite:///{kitaru_store.directory}/kitaru.db"


def test_it_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kitaru.configure(retries=3)
    with KitaruStore(tmp_path / "one") as store:
        assert kitaru.configure().retries is None
        store.fake(research, returns="fake")
        store.advance(HOUR)
    outside = report.run("x")
    assert outside.wait() == "ALL ABOUT X"
    assert abs(kitaru.KitaruClient().executions.get(outside.exec_id).created_at.timestamp() - time.time()) < 60


def test_a_fake_stands_for_the_body_only(kitaru_store: KitaruStore) -> None:
    fake = kitaru_store.fake("research", returns="notes")
    handle = report.run("x")
    assert handle.wait() == "NOTES"
    assert ran == ["write"]
    assert fake.calls == [(("x",), {})]
    call = kitaru_store.client.executions.get(handle.exec_id).checkpoints[0]
    assert (call.name, call.status) == ("research", "completed")


def test_fakes_raise_run_and_are_retried(kitaru_store: KitaruStore) -> None:
    answers = iter([RuntimeError("busy"), "at last"])

    def flaky(topic: str) -> str:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    kitaru_store.fake(research, runs=flaky)
    assert report.run("x", retries=1).wait() == "AT LAST"
    kitaru_store.fake(research, raises=ValueError("no"))
    with pytest.raises(KitaruUserCodeError, match="ValueError: no"):
        report.run("x").wait()


def test_fakes_of_async_checkpoints(kitaru_store: KitaruStore) -> None:
    fake = kitaru_store.fake(ask, runs=lambda question: question * 2)
    assert asking.run().wait() == ["aa", "bb"]
    assert len(fake.calls) == 2 and ran == []

    async def slowly(question: str) -> str:
        await asyncio.sleep(0)
        return f"slow {question}"

    kitaru_store.fake(ask, runs=slowly)
    assert asking.run().wait() == ["slow a", "slow b"]


def test_bad_fakes(kitaru_store: KitaruStore) -> None:
    for answer in ({}, {"returns": 1, "raises": ValueError()}, {"raises": 3}, {"runs": 3}, {"gives": 1}):
        with pytest.raises(KitaruUsageError):
            kitaru_store.fake("research", **answer)
    for name in (3, " ", report.run):
        with pytest.raises(KitaruUsageError, match="neither a checkpoint"):
            kitaru_store.fake(name, returns=1)


def test_time_is_moved(kitaru_store: KitaruStore) -> None:
    started = time.monotonic()
    handle = naps.run(3)
    kitaru_store.settle()
    assert handle.status == "waiting"
    with pytest.raises(KitaruWaitingError):
        handle.wait()
    kitaru_store.advance(HOUR - 60)
    assert handle.status == "waiting" and ran == []
    kitaru_store.advance(60)
    kitaru_store.advance(2 * HOUR + 10)
    woke = handle.wait()
    assert ran == ["write"]
    hours = [int(b[11:13]) - int(a[11:13]) for a, b in pairwise(woke)]
    assert [one % 24 for one in hours] == [1, 1], "each woke at its own time"
    assert time.monotonic() - started < 30


def test_async_flows_and_many_executions(kitaru_store: KitaruStore) -> None:
    handles = [async_nap.run(), naps.run(1), async_nap.run()]
    kitaru_store.advance(25 * HOUR)
    assert [handle.status for handle in handles] == ["completed"] * 3
    assert handles[0].wait() == "rested"


@flow
def approval(amount: int) -> str:
    research("it")
    first = kitaru.wait(name="manager", schema=bool, question=f"spend {amount}?")
    second = kitaru.wait(name="budget", schema=int, expires_in=24 * HOUR, on_expiry=0) if first else -1
    return write(f"{first} {second}")


@flow
def boss(amount: int) -> str:
    answer: str = approval.run(amount).wait()
    return f"boss: {answer}"


def test_waits_are_answered(kitaru_store: KitaruStore) -> None:
    handle = approval.run(100)
    kitaru_store.settle()
    with pytest.raises(KitaruWaitingError, match="manager"):
        handle.wait()
    with pytest.raises(KitaruUsageError, match="boolean"):
        kitaru_store.answer(handle, "perhaps")
    kitaru_store.answer(handle, True)
    assert ran == ["research it"]
    kitaru_store.answer(handle.exec_id, 7, wait="budget")
    assert handle.wait() == "TRUE 7"
    assert ran == ["research it", "write"], "nothing ran twice"
    with pytest.raises(KitaruStateError):
        kitaru_store.answer(handle, True)


def test_a_wait_expires_when_time_has_come(kitaru_store: KitaruStore) -> None:
    handle = approval.run(1)
    kitaru_store.answer(handle, True)
    kitaru_store.advance(23 * HOUR)
    assert handle.status == "waiting"
    kitaru_store.advance(2 * HOUR)
    assert handle.wait() == "TRUE 0"


def test_an_answer_to_a_child_continues_its_parent(kitaru_store: KitaruStore) -> None:
    handle = boss.run(5)
    kitaru_store.settle()
    (child,) = kitaru_store.client.executions.get(handle.exec_id).children
    kitaru_store.answer(child.exec_id, False)
    assert handle.wait() == "boss: FALSE -1"


def test_a_running_flow_is_alive_whatever_the_clock_says(kitaru_store: KitaruStore) -> None:
    import threading

    gate = threading.Event()
    inside = threading.Event()

    def held(topic: str) -> str:
        inside.set()
        assert gate.wait(30)
        return topic

    kitaru_store.fake(research, runs=held)
    handle = report.run("x")
    assert inside.wait(30)
    with pytest.raises(KitaruTimeoutError, match="report"):
        kitaru_store.settle(timeout=0.05)
    kitaru_store.clock.move_to(kitaru_store.clock.now() + 365 * 24 * HOUR * 1_000_000)
    assert handle.status == "running"
    gate.set()
    assert handle.wait() == "X"


def test_bad_durations(kitaru_store: KitaruStore) -> None:
    for seconds in (-1, float("nan"), float("inf"), "1", True):
        with pytest.raises(KitaruUsageError, match="advance"):
            kitaru_store.advance(seconds)  # type: ignore[arg-type]


@checkpoint
def note(path: str, text: str) -> str:
    with open(path, "a") as file:
        file.write(f"{text} {os.getpid()}\n")
    return text


@flow
def noting(path: str) -> list[str]:
    return [note(path, "one"), note(path, "two"), note(path, text="three")]


@pytest.mark.parametrize(
    ("phase", "call", "there"), [("before", 1, 0), ("after", 1, 1), ("before", 2, 1), ("after", 2, 2), ("after", 3, 3)]
)
def test_a_process_is_killed_and_the_flow_goes_on_here(
    kitaru_store: KitaruStore, tmp_path: Path, phase: Any, call: int, there: int
) -> None:
    file = tmp_path / "notes"
    handle = kitaru_store.crash_at("note", phase=phase, call=call).run(noting, str(file))
    assert isinstance(handle, FlowHandle)
    assert handle.wait(timeout=60) == ["one", "two", "three"]
    lines = [line.split() for line in file.read_text().splitlines()]
    assert [text for text, _ in lines] == ["one", "two", "three"], "each body ran once"
    mine = [int(pid) == os.getpid() for _, pid in lines]
    assert mine == [False] * there + [True] * (3 - there)
    execution = kitaru_store.client.executions.get(handle.exec_id)
    assert (execution.status, execution.owners_lost) == ("completed", 1)


def test_a_crash_that_does_not_come_is_an_error(kitaru_store: KitaruStore, tmp_path: Path) -> None:
    with pytest.raises(KitaruStateError, match="without crashing after call 9 of checkpoint `note`"):
        kitaru_store.crash_at(note, call=9).run(noting, str(tmp_path / "notes"))
    for wrong in ({"checkpoint": 3}, {"phase": "during"}, {"call": 0}):
        with pytest.raises(KitaruUsageError):
            kitaru_store.crash_at(**{"checkpoint": note, **wrong})  # type: ignore[arg-type]


def test_an_interrupted_execution_is_resumed(kitaru_store: KitaruStore) -> None:
    def stop(topic: str) -> str:
        kitaru_store.client.interrupt()
        return topic

    kitaru_store.fake(research, runs=stop)
    handle = report.run("x")
    kitaru_store.settle()
    assert handle.status == "interrupted"
    assert kitaru_store.resume(handle).wait() == "X"
    assert ran == ["write"]


def test_loading_the_plugin_loads_nothing_heavy() -> None:
    code = (
        "import sys, pytest, kitaru.testing.pytest_plugin\n"
        "assert not {'pydantic', 'apsw', 'kitaru.client', 'kitaru.runtime.kernel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_plugin_is_found_by_its_entry_point(request: pytest.FixtureRequest) -> None:
    assert request.config.pluginmanager.has_plugin("kitaru")


@checkpoint(retries=3, backoff=600.0, backoff_max=HOUR)
def unreachable(where: str) -> str:
    ran.append(where)
    if len(ran) < 4:
        raise ConnectionError(where)
    return where


@checkpoint(retries=3, backoff=600.0, backoff_max=HOUR)
async def unreachable_async(where: str) -> str:
    return str(unreachable.__wrapped__(where))  # type: ignore[attr-defined]


@flow
def tries() -> str:
    result: str = unreachable("there")
    return result


@flow
async def tries_async() -> str:
    result: str = await unreachable_async("there")
    return result


@pytest.mark.parametrize("definition", [tries, tries_async])
def test_pauses_between_attempts_move_the_time(kitaru_store: KitaruStore, definition: Any) -> None:
    begun = time.monotonic()
    handle = definition.run()
    assert handle.wait(timeout=30) == "there"
    assert time.monotonic() - begun < 30
    (call,) = kitaru_store.client.executions.get(handle.exec_id).checkpoints
    starts = [attempt.started_at for attempt in call.attempts]
    gaps = [(after - before).total_seconds() for before, after in pairwise(starts)]
    for gap, pause in zip(gaps, (600, 1200, 2400), strict=True):
        assert pause <= gap < pause + 30

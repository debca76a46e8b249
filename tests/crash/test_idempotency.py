"""The same idempotency_key submitted N times at once: one execution, each body once, the same result for everybody."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash import battery, kernels, models, owners, shapes
from tests.crash.oracle import Oracle
from tests.crash.processes import Forks
from tests.crash.worker import Order


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store that this process has open."""
    monkeypatch.setenv(shapes.EFFECTS_VARIABLE, str(tmp_path / "effects"))
    with kernels.store(tmp_path):
        yield tmp_path


def _bodies(directory: Path) -> int:
    return sum(json.loads(line)[0] == "run" for line in (directory / "effects").read_text().splitlines())


def _from_threads(shape: str, size: int, key: str, threads: int) -> list[tuple[str, Any]]:
    barrier = threading.Barrier(threads)
    answers: list[tuple[str, Any]] = []

    def submit() -> None:
        barrier.wait(30)
        handle = kernels.start(getattr(shapes, shape), size, key=key)
        answers.append((handle.exec_id, handle.wait(timeout=60)))

    started = [threading.Thread(target=submit) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join(60)
    assert len(answers) == threads, "a thread failed or hangs"
    return answers


@pytest.mark.parametrize(("shape", "calls"), [("line", 4), ("gather", 15)])
def test_threads(directory: Path, shape: str, calls: int) -> None:
    model = models.SHAPES[shape](4)
    for turn in range(5):
        answers = _from_threads(shape, 4, f"order-{turn}", threads=8)
        assert len(set(answers)) == 1, answers
        assert model.check(answers[0][1])
        assert _bodies(directory) == len(model.calls) * (turn + 1)
        # Also after the end.
        again = kernels.start(getattr(shapes, shape), 4, key=f"order-{turn}")
        assert (again.exec_id, again.get()) == answers[0]
        assert _bodies(directory) == len(model.calls) * (turn + 1)


def test_asyncio_tasks(directory: Path) -> None:
    model = models.line(4)

    async def submit(key: str) -> tuple[str, Any]:
        handle = kernels.start(shapes.line, 4, key=key)
        return handle.exec_id, await handle

    async def main() -> None:
        for turn in range(5):
            answers = await asyncio.gather(*(submit(f"order-{turn}") for _ in range(10)))
            assert len(set(answers)) == 1
            assert model.check(answers[0][1])
            assert await submit(f"order-{turn}") == answers[0]
        assert _bodies(directory) == 5 * len(model.calls)

    asyncio.run(main())


def _from_processes(forks: Forks, directory: Path, shape: str, processes: int) -> None:
    with battery.reported(f"--shape {shape} --same-key {processes}", directory):
        model = models.SHAPES[shape]()
        order = Order(str(directory), shape, model.argument, key="order-1")
        answers = [process.answer() for process in owners.at_once(forks, directory, [order] * processes)]
        assert len({answer.get("exec_id") for answer in answers}) == 1, answers
        assert len({answer.get("result") for answer in answers}) == 1, answers
        late = forks.run(Order(str(directory), shape, model.argument, key="order-1"))
        assert late.answer()["result"] == answers[0]["result"]
        oracle = Oracle(directory, model)
        oracle.conclude()
        expected = len(model.calls) + sum(model.failures.values())
        assert _bodies(directory) == expected, "a body ran more than once"


@pytest.mark.parametrize("processes", [2, 6])
@pytest.mark.parametrize("shape", ["line", "gather", "child", "retry"])
def test_processes(forks: Forks, tmp_path: Path, shape: str, processes: int) -> None:
    _from_processes(forks, battery.fresh(tmp_path, shape), shape, processes)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_300_rounds_of_processes(forks: Forks, tmp_path: Path) -> None:
    shapes_in_turn = list(models.SHAPES)
    for turn in range(300):
        _from_processes(forks, battery.fresh(tmp_path, f"{turn}"), shapes_in_turn[turn % len(shapes_in_turn)], 3)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_700_rounds_of_threads(directory: Path) -> None:
    for turn in range(700):
        answers = _from_threads("line", 2, f"order-{turn}", threads=4)
        assert len(set(answers)) == 1, answers
    assert _bodies(directory) == 700 * 2

"""The same idempotency_key submitted N times at once: one execution, each body once, the same result for everybody."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash import battery, kernels, models, owners, shapes
from tests.crash.processes import Forks


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The store that this process has open."""
    monkeypatch.setenv(shapes.EFFECTS_VARIABLE, str(tmp_path / "effects"))
    with kernels.store(tmp_path):
        yield tmp_path


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
        assert owners.bodies(directory) == len(model.calls) * (turn + 1)
        # Also after the end.
        again = kernels.start(getattr(shapes, shape), 4, key=f"order-{turn}")
        assert (again.exec_id, again.get()) == answers[0]
        assert owners.bodies(directory) == len(model.calls) * (turn + 1)


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
        assert owners.bodies(directory) == 5 * len(model.calls)

    asyncio.run(main())


@pytest.mark.parametrize("processes", [2, 6])
@pytest.mark.parametrize("shape", ["line", "gather", "child", "retry"])
def test_processes(forks: Forks, tmp_path: Path, shape: str, processes: int) -> None:
    owners.start_under_one_key(forks, battery.fresh(tmp_path, shape), shape, processes)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_300_rounds_of_processes(forks: Forks, tmp_path: Path) -> None:
    shapes_in_turn = list(models.SHAPES)
    for turn in range(300):
        owners.start_under_one_key(
            forks, battery.fresh(tmp_path, f"{turn}"), shapes_in_turn[turn % len(shapes_in_turn)], 3
        )


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_700_rounds_of_threads(directory: Path) -> None:
    for turn in range(700):
        answers = _from_threads("line", 2, f"order-{turn}", threads=4)
        assert len(set(answers)) == 1, answers
    assert owners.bodies(directory) == 700 * 2

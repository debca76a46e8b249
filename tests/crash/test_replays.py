"""SIGKILL before and after every write of a replay: it resumes, and what it reuses never runs again."""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.crash import battery, kernels
from tests.crash.processes import Forks
from tests.crash.worker import Order

from kitaru.client import KitaruClient

# shape, size, from_, and how many bodies are called from there on
SHAPES = [
    ("line", 6, "add#4", 3),
    pytest.param(("nested", 3, "outer#2", 8), marks=pytest.mark.battery),
    pytest.param(("gather", 3, "aadd#7", 1), marks=pytest.mark.battery),
]


def _runs(directory: Path) -> Counter[str]:
    lines = [json.loads(line) for line in (directory / "effects").read_text().splitlines()]
    return Counter(f"{line[1]} {line[2]}" for line in lines if line[0] == "run")


def _replay_of(directory: Path, source: str) -> str | None:
    with kernels.store(directory):
        found = [one.exec_id for one in KitaruClient().executions.list() if one.original_exec_id == source]
    assert len(found) <= 1
    return found[0] if found else None


def _round(forks: Forks, directory: Path, shape: tuple[str, int, str, int], crash: str, rng: random.Random) -> bool:
    """One replay, killed at ``crash`` and then sometimes again. False: it survived."""
    name, size, from_, bodies = shape
    source = forks.run(Order(str(directory), name, size)).answer()
    before = _runs(directory)
    point: str | None = crash
    died = False
    while True:
        replay = _replay_of(directory, source["exec_id"])
        order = Order(str(directory), name, size, crash=point, replay_of=source["exec_id"], from_=from_)
        if replay is not None:
            order.exec_id = replay
            with kernels.store(directory):
                if KitaruClient().executions.status(replay) == "completed":  # it died after its last write
                    break
        done = forks.run(order)
        if done.status != -signal.SIGKILL:
            break
        died = True
        point = f"{rng.choice(('before', 'after'))}:{rng.randint(1, 5)}" if rng.random() < 0.4 else None
    replay = replay or done.answer()["exec_id"]
    ran = _runs(directory) - before
    assert len(ran) == bodies, ran
    if not died:
        assert set(ran.values()) == {1}
    with kernels.store(directory):
        assert repr(KitaruClient().executions.result(replay)) == source["result"]
        calls = KitaruClient().executions.get(replay).checkpoints
        original = KitaruClient().executions.get(source["exec_id"]).checkpoints
    assert {call.status for call in calls} == {"completed"}
    assert sorted(call.name for call in calls) == sorted(call.name for call in original)
    assert sum(call.original_call_id is None for call in calls) == bodies
    return died


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape[0])
def test_killed_at_every_write(forks: Forks, tmp_path: Path, shape: tuple[str, int, str, int], side: str) -> None:
    points = 0
    for point in range(1, battery.DEATHS_MAX):
        directory = battery.fresh(tmp_path, f"{side}-{point}")
        if not _round(forks, directory, shape, f"{side}:{point}", random.Random(f"{shape[0]} {side} {point}")):
            break
        points += 1
    assert points >= 3  # creation, at least one result, the end

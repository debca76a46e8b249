"""The battery's stores on PostgreSQL: killed at every write, many owners at once, a stopped owner that wakes up.

All of the battery runs there with ``KITARU_TEST_CRASH_SERVER=postgresql://... pytest tests/crash``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash import battery, kernels, owners
from tests.crash.models import SHAPES
from tests.crash.processes import Forks
from tests.emulators.postgres import postgres

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("pg") / "data") as url:
        yield url


@pytest.fixture
def forks(server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forks]:
    """Workers that know the server."""
    monkeypatch.setenv(kernels.SERVER, server)
    made = Forks()
    yield made
    made.close()


@pytest.mark.timeout(180)
def test_killed_at_many_writes(forks: Forks, tmp_path: Path) -> None:
    assert _killed(forks, tmp_path, "child", step=3).points >= 4


@pytest.mark.battery
@pytest.mark.timeout(900)
@pytest.mark.parametrize("shape", SHAPES)
def test_killed_at_every_write(forks: Forks, tmp_path: Path, shape: str) -> None:
    assert _killed(forks, tmp_path, shape, step=1).points >= 16


def _killed(forks: Forks, tmp_path: Path, shape: str, step: int) -> battery.Tally:
    tally = battery.Tally()
    for side in ("before", "after"):
        point = 1
        while battery.kill_at(forks, battery.fresh(tmp_path, f"{side}-{point}"), shape, side, point, point, tally):
            point += step
    return tally


@pytest.mark.parametrize("processes", [3])
def test_of_many_that_resume_at_once_one_wins(forks: Forks, tmp_path: Path, processes: int) -> None:
    owners.race(forks, battery.fresh(tmp_path, "race"), processes, 1)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_races_and_stopped_owners(forks: Forks, tmp_path: Path) -> None:
    for seed in range(60):
        owners.race(forks, battery.fresh(tmp_path, f"race-{seed}"), 2 + seed % 5, seed)
    stopped = sum(owners.stop_at_random(forks, battery.fresh(tmp_path, f"{seed}"), seed) for seed in range(12))
    assert stopped >= 3, "some of them were stopped in the middle"

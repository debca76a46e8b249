"""One execution, several owners: exactly one winner, and a stopped owner that wakes up writes nothing."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest
from tests.crash import battery, models, owners
from tests.crash.oracle import Oracle
from tests.crash.processes import Forks


@pytest.mark.parametrize("processes", [2, 3, 5, 8, 16])
def test_of_many_that_resume_at_once_one_wins(forks: Forks, tmp_path: Path, processes: int) -> None:
    for seed in range(3 if processes < 16 else 1):
        owners.race(forks, battery.fresh(tmp_path, f"{seed}"), processes, seed)


@pytest.mark.battery
@pytest.mark.timeout(900)
def test_500_races_have_500_winners(forks: Forks, tmp_path: Path) -> None:
    for seed in range(500):
        processes = random.Random(seed).choice((8, 16)) if seed % 25 == 0 else 2 + seed % 3
        owners.race(forks, battery.fresh(tmp_path, f"{seed}"), processes, seed)


@pytest.mark.parametrize("successor_is", ["running", "done"])
def test_a_stopped_owner_that_wakes_up_writes_nothing(forks: Forks, tmp_path: Path, successor_is: str) -> None:
    model = models.held()
    both = owners.Owners(forks, tmp_path, "held", model.argument)
    zombie = both.first()
    owners.until(lambda: both.begun("hold"), "the first owner's body")
    zombie.stop()
    successor = both.take_over(both.record().exec_id)
    owners.until(lambda: both.begun("hold", successor.pid), "the successor's body")
    if successor_is == "done":
        (tmp_path / f"gate-{successor.pid}").touch()
        assert successor.wait() == 0
    before, lines = both.written(), both.count(zombie.pid)

    # The zombie's body returns now, and its commit must be refused.
    (tmp_path / f"gate-{zombie.pid}").touch()
    zombie.signal(signal.SIGCONT)
    owners.until((tmp_path / f"refused-{zombie.pid}").exists, "the zombie's write to be refused")
    if successor_is == "running":
        assert not successor.ended.is_set()
        (tmp_path / f"gate-{successor.pid}").touch()
        assert successor.wait() == 0
    assert zombie.wait() == 0
    answer = zombie.answer()  # it says what became of the execution, or that it lost it
    assert answer.get("error") in (None, "KitaruLeaseError", "KitaruStateError"), answer
    assert both.written() == before, "the zombie wrote"
    assert both.count(zombie.pid) == lines, "the zombie began another body"
    assert successor.answer()["result"] == repr(both.result())
    oracle = Oracle(tmp_path, model)
    oracle.allow("hold", "middle")  # both owners were inside it; nothing else ran twice
    oracle.conclude()


def test_owners_stopped_at_random_moments(forks: Forks, tmp_path: Path) -> None:
    stopped = [owners.stop_at_random(forks, battery.fresh(tmp_path, f"{seed}"), seed) for seed in range(5)]
    assert any(stopped)


@pytest.mark.battery
@pytest.mark.timeout(600)
def test_100_owners_stopped_at_random_moments(forks: Forks, tmp_path: Path) -> None:
    stopped = [owners.stop_at_random(forks, battery.fresh(tmp_path, f"{seed}"), seed) for seed in range(100, 220)]
    assert sum(stopped) >= 50

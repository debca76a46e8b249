"""SIGKILL before and after every journal write, and at random moments; then resume, and compare with the model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.crash import battery
from tests.crash.models import SHAPES
from tests.crash.oracle import Oracle
from tests.crash.processes import ROOT, Forks
from tests.crash.worker import Order, encode


def _kill_everywhere(forks: Forks, base: Path, shape: str, side: str, seed: int) -> battery.Tally:
    tally = battery.Tally()
    for point in range(1, battery.DEATHS_MAX):
        directory = battery.fresh(base, f"{side}-{point}")
        if not battery.kill_at(forks, directory, shape, side, point, seed, tally):
            return tally
    raise AssertionError(f"{shape} never survived")


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("shape", SHAPES)
def test_killed_at_every_write_it_continues(forks: Forks, tmp_path: Path, shape: str, side: str) -> None:
    tally = _kill_everywhere(forks, tmp_path, shape, side, seed=0 if side == "before" else 1)
    # At least the creation, one commit per call of the longest chain, and the end.
    assert tally.points >= 8


@pytest.mark.battery
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(2, 10))
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("shape", SHAPES)
def test_killed_at_every_write_again_and_again(forks: Forks, tmp_path: Path, shape: str, side: str, seed: int) -> None:
    assert _kill_everywhere(forks, tmp_path, shape, side, seed).points >= 8


def _kill_at_random(forks: Forks, base: Path, kills: int, first_seed: int) -> battery.Tally:
    tally = battery.Tally()
    shapes = list(SHAPES)
    seed = first_seed
    while tally.kills < kills:
        shape = shapes[seed % len(shapes)]
        battery.kill_at_random(forks, battery.fresh(base, f"{shape}-{seed}"), shape, seed, 8, tally)
        seed += 1
        assert seed < first_seed + 20 * kills, "too many processes end before they can be killed"
    return tally


def test_random_kills(forks: Forks, tmp_path: Path) -> None:
    assert _kill_at_random(forks, tmp_path, kills=25, first_seed=0).kills >= 25


@pytest.mark.battery
@pytest.mark.timeout(1200)
def test_500_random_kills(forks: Forks, tmp_path: Path) -> None:
    assert _kill_at_random(forks, tmp_path, kills=500, first_seed=1000).kills >= 500


@pytest.mark.parametrize("crash", ["before:5", "after:5"])
def test_a_fresh_interpreter_continues_what_another_one_left(tmp_path: Path, crash: str) -> None:
    """The rounds above fork one warm process; here nothing is shared but the files."""
    model = SHAPES["mix"]()
    oracle = Oracle(tmp_path, model)
    for order in (
        Order(str(tmp_path), "mix", model.argument, crash=crash),
        Order(str(tmp_path), "mix", model.argument, crash="before:4"),
    ):
        killed = subprocess.run([sys.executable, "-m", "tests.crash.worker", encode(order)], cwd=ROOT, timeout=60)
        assert killed.returncode == -9
        root = oracle.observe()
        assert root is not None and root.status == "running"
    last = Order(str(tmp_path), "mix", exec_id=root.exec_id)
    done = subprocess.run([sys.executable, "-m", "tests.crash.worker", encode(last)], cwd=ROOT, timeout=60)
    assert done.returncode == 0
    oracle.conclude()


@pytest.mark.parametrize(
    ("command", "points"), [("--shape gather --side after --point 7 --seed 3", 1), ("--shape line --same-key 2", 0)]
)
def test_a_failure_of_the_battery_can_be_repeated_by_its_command(command: str, points: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash.repeat", *command.split()],
        cwd=ROOT,
        timeout=60,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{points} points, ")

"""SIGKILL before and after every write of a flow with effects: without a decision no effect happens twice.

Assurance section 1, test 2: an outside counter file, the points before the intent, between intent and effect, between
effect and record, and after the record, for each of the four policies.
"""

from __future__ import annotations

import json
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from tests.crash import battery, kernels, shapes
from tests.crash.processes import Forks
from tests.crash.worker import EFFECTS, Order

from kitaru.client import KitaruClient
from kitaru.journal.records import EntryKind

POLICIES = ["ask", "retry", "fail", "reconcile"]


def _fired(directory: Path) -> Counter[str]:
    path = directory / "effects"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(line[2] for line in lines if line[0] == "fired")


def _round(forks: Forks, directory: Path, shape: str, policy: int, crash: str, rng: random.Random | None) -> bool:
    """One execution, killed at ``crash`` and (with ``rng``) while it is continued. False: it survived."""
    first = forks.run(Order(str(directory), shape, policy, crash=crash))
    died = first.status == -signal.SIGKILL
    again = first
    while again.status == -signal.SIGKILL:
        point = f"{rng.choice(('before', 'after'))}:{rng.randint(1, 6)}" if rng and rng.random() < 0.6 else None
        again = forks.run(Order(str(directory), shape, policy, crash=point))
    answer = again.answer()
    assert "error" not in answer, answer
    _check(directory, policy, answer["exec_id"])
    return died


def _check(directory: Path, policy: int, exec_id: str) -> None:
    fired = _fired(directory)
    with kernels.store(directory) as kernel:
        result = KitaruClient().executions.result(exec_id)
        intents = Counter(one.key for one in kernel.journal.entries(exec_id) if one.kind is EntryKind.INTENT)
    for number, value in enumerate(result):
        count = fired[f"c{number}"]
        if POLICIES[policy] == "fail":
            assert count <= 1, f"c{number} happened {count} times"
            assert value == "in doubt" or (count == 1 and value == number * 10)
            continue
        assert value == number * 10
        assert 1 <= count <= sum(intents.values()) if POLICIES[policy] == "retry" else count == 1, (number, fired)


@pytest.mark.parametrize(
    ("shape", "side"), [("once", "before"), ("once", "after"), ("aonce", "before"), ("sonce", "after")]
)
@pytest.mark.parametrize("policy", range(4), ids=POLICIES)
def test_killed_at_every_write_no_effect_happens_twice(
    forks: Forks, tmp_path: Path, policy: int, side: str, shape: str
) -> None:
    points = 0
    for point in range(1, battery.DEATHS_MAX):
        if not _round(forks, battery.fresh(tmp_path, f"{side}-{point}"), shape, policy, f"{side}:{point}", None):
            break
        points += 1
    # Creation; three calls, three intents, three results; the end. What is under way at once may share its writes.
    assert points >= (10 if shape == "once" else 5)


@pytest.mark.battery
@pytest.mark.timeout(600)
@pytest.mark.parametrize("shape", EFFECTS)
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("policy", range(4), ids=POLICIES)
def test_killed_again_and_again_no_effect_happens_twice(
    forks: Forks, tmp_path: Path, policy: int, seed: int, shape: str
) -> None:
    rng = random.Random(f"{policy} {seed}")
    for side in ("before", "after"):
        for point in range(1, 13):
            _round(forks, battery.fresh(tmp_path, f"{side}-{point}"), shape, policy, f"{side}:{point}", rng)


def test_the_shape_has_one_charge_for_each_policy() -> None:
    for charges in (shapes.CHARGES, shapes.ACHARGES):
        assert [one.spec.in_doubt for one in charges] == ["ask", "retry", "fail", shapes.look_up]

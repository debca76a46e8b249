"""Ctrl-C before and after every journal write: nothing is lost, nothing counts as cancelled, and it can be resumed.

Assurance section 1, test 16; cancelling an execution at every point is in ``tests/core/runtime/test_cancellation``.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.crash import battery, kernels
from tests.crash.models import SHAPES
from tests.crash.oracle import Oracle
from tests.crash.processes import Forks
from tests.crash.worker import Order

from kitaru.client import KitaruClient
from kitaru.journal.records import EntryKind
from kitaru.statuses import ExecutionStatus

#: Their innermost bodies are sync: one that runs is finished and recorded, so that not even it runs again.
NOTHING_TWICE = ("line", "nested")
_NEVER = {EntryKind.CANCELLED, EntryKind.FAILED}


def _interrupted(forks: Forks, directory: Path, shape: str, point: str) -> bool:
    """One execution, interrupted at ``point`` and continued. False: it ended before there was such a point."""
    model = SHAPES[shape]()
    oracle = Oracle(directory, model)
    first = forks.run(Order(str(directory), shape, model.argument, crash=point, ctrl_c=True))
    answer = first.answer()
    assert first.wait() == 0 and "error" not in answer, answer
    root = oracle.observe()
    if "interrupted" in answer and root is not None:
        with kernels.store(directory) as kernel:
            shown = KitaruClient().executions.status(root.exec_id)
            kinds = Counter(entry.kind for entry in kernel.journal.entries(root.exec_id))
        allowed = (ExecutionStatus.INTERRUPTED, ExecutionStatus.COMPLETED, ExecutionStatus.WAITING)
        assert shown in allowed, f"{point}: it reads {shown}"
        assert not _NEVER & set(kinds), f"{point}: an outcome was made of the interruption: {kinds}"
    again = forks.run(Order(str(directory), shape, model.argument))
    assert again.wait() == 0 and "error" not in again.answer(), again.answer()
    oracle.conclude()
    if shape in NOTHING_TWICE:
        lines = [json.loads(line) for line in (directory / "effects").read_text().splitlines()]
        ran = Counter(line[2] for line in lines if line[:2] == ["run", "add"])
        assert set(ran.values()) == {1}, f"{point}: {ran}"
    return "interrupted" in answer


def _everywhere(forks: Forks, base: Path, shape: str, side: str) -> int:
    for point in range(1, battery.DEATHS_MAX):
        directory = battery.fresh(base, f"{side}-{point}")
        with battery.reported(f"--shape {shape} --side {side} --point {point} (with ctrl_c)", directory):
            if not _interrupted(forks, directory, shape, f"{side}:{point}"):
                return point - 1
    raise AssertionError(f"{shape} never got past its last write")


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("shape", ["line", pytest.param("gather", marks=pytest.mark.battery)])
def test_ctrl_c_at_every_write(forks: Forks, tmp_path: Path, shape: str, side: str) -> None:
    assert _everywhere(forks, tmp_path, shape, side) >= 7


@pytest.mark.battery
@pytest.mark.timeout(600)
@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape not in ("line", "gather")])
def test_ctrl_c_at_every_write_of_every_shape(forks: Forks, tmp_path: Path, shape: str, side: str) -> None:
    assert _everywhere(forks, tmp_path, shape, side) >= 7

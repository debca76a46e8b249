"""Concurrent calls that end in any order, interrupted at any write and continued in any other order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.crash import kernels, schedules

from kitaru.errors import KitaruStateError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel
from kitaru.testing.crash import CrashingJournal, CrashPoint

LABELS = ["a", "b", "c", "d"]
FLOWS = {
    "gathered": schedules.gathered,
    "reordered": schedules.reordered,
    "nested": schedules.nested,
    "grouped": schedules.grouped,
    "as_they_come": schedules.as_they_come,
    "raced": schedules.raced,
}


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    with kernels.store(tmp_path) as opened:
        yield opened


class _Turns(dict[str, int]):
    """Turns of every label a flow may come up with: listed ones as listed, others one."""

    def __missing__(self, label: str) -> int:
        return 1


@st.composite
def schedule(draw: st.DrawFn) -> schedules.Schedule:
    names = [*LABELS, *(label + "2" for label in LABELS)]
    turns = draw(st.lists(st.integers(1, 9), min_size=len(names), max_size=len(names)))
    return schedules.Schedule(_Turns(zip(names, turns, strict=True)), draw(st.permutations(LABELS)))


def _run(kernel: Kernel, name: str, first: schedules.Schedule, second: schedules.Schedule, number: int) -> None:
    """Interrupt a run at its ``number``-th write, continue it by another schedule, and compare."""
    schedules.now = first
    plain = kernel.journal
    kernel.journal = CrashingJournal(plain, CrashPoint("after", number), crash=kernel.interrupt_all)  # type: ignore[assignment]
    try:
        handle = kernels.start(FLOWS[name], LABELS)
        try:
            result = handle.wait(timeout=30)
        except KitaruStateError:
            recorded = _completed(kernel, handle.exec_id)
            schedules.now = second
            result = kernels.resume(handle.exec_id).wait(timeout=30)
        else:  # it survived: nothing to continue
            recorded = Counter()
    finally:
        kernel.journal = plain
    _check(kernel, name, handle.exec_id, result, first, second, recorded)


def _completed(kernel: Kernel, exec_id: str) -> Counter[str]:
    """The labels whose outcome is in the journal."""
    return Counter(
        kernel.decode(entry.output).lower()
        for entry in kernel.journal.entries(exec_id)
        if entry.kind == EntryKind.COMPLETED and entry.output is not None
    )


def _check(
    kernel: Kernel,
    name: str,
    exec_id: str,
    result: Any,
    first: schedules.Schedule,
    second: schedules.Schedule,
    recorded: Counter[str],
) -> None:
    again = set(second.ran) & set(recorded)
    assert not again, f"recorded and run again: {again}"
    keys = [entry.key for entry in kernel.journal.entries(exec_id) if entry.kind == EntryKind.COMPLETED]
    assert len(keys) == len(set(keys)), "two calls share a key"
    if name in ("gathered", "grouped", "reordered"):
        assert result == {label: [label.upper(), label.upper() + "2"] for label in LABELS}
        assert Counter(_completed(kernel, exec_id)) == Counter([*LABELS, *(label + "2" for label in LABELS)])
    elif name in ("as_they_come", "nested"):
        assert sorted(result[:-1]) == [label.upper() for label in LABELS]
        assert result[-1] == "".join(result[:-1]) + "END"
        if recorded:
            assert second.seen[: len(first.seen)] == first.seen, "results arrived in another order than before"
    else:
        if recorded and first.seen:
            assert second.seen == first.seen, "another one won the race"
        winners = (second if recorded and second.seen else first).seen[0]
        assert result == f"{winners}WONLAST"


@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=schedule(), second=schedule(), number=st.integers(2, 12))
def test_any_schedule_continues_in_any_other(
    kernel: Kernel, name: str, first: schedules.Schedule, second: schedules.Schedule, number: int
) -> None:
    _run(kernel, name, _fresh(first), _fresh(second), number)


@pytest.mark.battery
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", FLOWS)
@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=schedule(), second=schedule(), number=st.integers(2, 12))
def test_2000_schedules(
    kernel: Kernel, name: str, first: schedules.Schedule, second: schedules.Schedule, number: int
) -> None:
    _run(kernel, name, _fresh(first), _fresh(second), number)


@pytest.mark.parametrize("winner", LABELS)
def test_a_race_that_was_won_is_won_again(kernel: Kernel, winner: str) -> None:
    """Interrupted right after the winner was recorded; in the second run everybody else would be faster."""
    first = schedules.Schedule(_Turns({label: 1 if label == winner else 40 for label in LABELS}), LABELS)
    second = schedules.Schedule(_Turns({label: 40 if label == winner else 1 for label in LABELS}), LABELS)
    _run(kernel, "raced", first, second, number=3)
    assert second.seen in ([winner.upper()], [])


def _fresh(given_schedule: schedules.Schedule) -> schedules.Schedule:
    """Hypothesis runs an example again to shrink it: what happened must not leak from one run to the next."""
    return schedules.Schedule(_Turns(given_schedule.turns), list(given_schedule.order))

"""Counts, durations and costs, in SQL and in memory alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import KitaruUsageError
from kitaru.journal.memory import MemoryJournal
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, Tally, TallyQuery
from kitaru.journal.sqlite import SqliteJournal
from kitaru.journal.tallies import DAY_MICROSECONDS
from kitaru.testing.conformance.journal_samples import a_record, an_owner, dead, living


@checkpoint(retries=1)
def paid(price: float) -> float:
    kitaru.log(cost=price / 2)
    kitaru.log(cost=price, model="m")
    if kitaru.current().attempt == 1 and price > 2:
        raise ValueError("try again")
    return price


@checkpoint
def asked() -> None:
    kitaru.log(llm_calls={"first": {"cost": 0.25}})
    kitaru.log(llm_calls={"second": {"cost_usd": 0.5}, "third": {"tokens": 3}, "fourth": "odd"})


@flow
def shop() -> None:
    paid(1.0)
    paid(4.0)
    asked()
    kitaru.log(cost=0.125)


@flow
def broken() -> None:
    raise RuntimeError("no")


def test_statistics_of_real_executions() -> None:
    shop.run().wait()
    shop.run().wait()
    with pytest.raises(kitaru.KitaruError):
        broken.run().wait()
    found = KitaruClient().executions.statistics()
    one = 1.0 + 4.0 + 4.0 + 0.25 + 0.5 + 0.125  # the failed attempt was paid too
    assert found.total.executions == 3 and found.total.ended == 3
    assert found.total.cost == pytest.approx(2 * one)
    assert {group.name: group.executions for group in found.by_flow} == {"shop": 2, "broken": 1}
    assert {group.name: group.cost for group in found.by_status} == {"completed": pytest.approx(2 * one), "failed": 0}
    assert sum(group.executions for group in found.by_day) == 3
    assert found.total.seconds_mean is not None and found.total.seconds_max is not None
    assert 0 < found.total.seconds_mean <= found.total.seconds_max < 60
    statistics = KitaruClient().executions.statistics
    assert statistics(flow="shop").total.executions == 2
    assert statistics(status="failed").total.executions == 1
    assert statistics(since="1h").total.executions == 3
    assert statistics(until="1h").total.executions == 0
    assert statistics(flow="nothing").total.seconds_mean is None
    for bad in ({"since": "x"}, {"status": "odd"}):
        with pytest.raises(KitaruUsageError):
            statistics(**bad)  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Journal:
    return MemoryJournal() if request.param == "memory" else SqliteJournal(str(tmp_path / "tallies.db"))


def _execution(journal: Journal, day: int, status: str, details: list[tuple[str, int, dict[str, Any]]]) -> None:
    created = journal.create(a_record(created_at=day * DAY_MICROSECONDS + 5, started_at=10), an_owner(), 60)
    assert created.lease is not None
    for key, attempt, detail in details:
        journal.append(created.lease, [Entry(EntryKind.METADATA, key, attempt=attempt, detail=detail)])
    if status != "running":
        journal.finish(created.lease, status, ended_at=1_000_010)


def test_every_journal_counts_alike(journal: Journal) -> None:
    _execution(journal, 3, "completed", [("a#1", 1, {"cost": 1}), ("a#1", 1, {"cost": 2}), ("a#1", 2, {"cost": 4})])
    _execution(journal, 3, "completed", [("a#1", 1, {"cost": True}), ("b#1", 1, {"cost": "8"}), ("", 1, {"cost": 0.5})])
    both = {"cost": 1, "llm_calls": {"x": {"cost": 100}}}
    calls = [
        ("c#1", 1, {"llm_calls": {"x": {"cost": 1}, "y": {"cost": 2}}}),
        ("c#1", 1, {"llm_calls": {"y": {"cost": 3}}}),
    ]
    _execution(journal, 4, "failed", [("a#1", 1, both), *calls])
    _execution(journal, 4, "running", [])
    one_second = 1_000_000
    expected = [
        Tally("flow", "completed", 3, 2, 2, 2 * one_second, one_second, 6.5),
        Tally("flow", "failed", 4, 1, 1, one_second, one_second, 5.0),
        Tally("flow", "running", 4, 1),
    ]
    assert journal.tallies(TallyQuery(), living) == expected
    expected[2].status = "interrupted"
    assert journal.tallies(TallyQuery(), dead) == [expected[0], expected[1], expected[2]]
    assert journal.tallies(TallyQuery(statuses=("failed",)), living) == [expected[1]]
    assert journal.tallies(TallyQuery(until=4 * DAY_MICROSECONDS), living) == [expected[0]]
    assert journal.tallies(TallyQuery(since=4 * DAY_MICROSECONDS, flow_name="flow"), dead) == expected[1:]
    assert journal.tallies(TallyQuery(flow_name="other"), dead) == []

"""Replay plans: a pure function of an execution's record and entries."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord
from kitaru.replay import ReplayPlan, build_replay_plan
from kitaru.runtime import identity

RECORD = ExecutionRecord("e-1", "pipeline", status="completed")


def call(key: str, began: int, ended: int, kind: EntryKind = EntryKind.COMPLETED, **more: Any) -> Entry:
    return Entry(kind, key, identity.key_parts(key)[1], 1, began, ended, b"digest", b"{}", **more)


def numbered(*entries: Entry) -> list[Entry]:
    for entry, seq in zip(entries, itertools.count(1), strict=False):
        entry.seq = seq
    return list(entries)


CHAIN = numbered(call("fetch#1", 10, 20), call("write#1", 30, 40), call("publish#1", 50, 60))


def plan(entries: list[Entry] = CHAIN, record: ExecutionRecord = RECORD, **asked: Any) -> ReplayPlan:
    return build_replay_plan(record, entries, **asked)


@pytest.mark.parametrize(
    ("from_", "reusable"),
    [
        (None, ("fetch#1", "write#1", "publish#1")),
        ("fetch", ()),
        ("write", ("fetch#1",)),
        ("publish", ("fetch#1", "write#1")),
    ],
)
def test_what_was_called_before_the_frontier_may_be_reused(from_: str | None, reusable: tuple[str, ...]) -> None:
    found = plan(from_=from_)
    assert found.reusable == reusable
    assert found.frontier == (f"{from_}#1" if from_ else None)
    assert (found.original_exec_id, found.through) == ("e-1", 3)


def test_an_overridden_call_is_not_reused_and_holds_its_value() -> None:
    found = plan(from_="publish", overrides={"checkpoint.fetch": "mine"}, flow_inputs={"topic": "rust"})
    assert found.reusable == ("write#1",)
    assert found.overrides == {"fetch#1": "mine"}
    assert found.flow_inputs == {"topic": "rust"}


def test_selectors_match_name_invocation_id_and_call_id() -> None:
    entries = numbered(call("fetch#1", 10, 20), call("fetch#2", 30, 40))
    assert plan(entries, from_="fetch#2").frontier == "fetch#2"
    assert plan(entries, from_=f" {identity.call_id('e-1', 'fetch#2')} ").frontier == "fetch#2"
    # The bare name is the first one's invocation id, and the name of both.
    with pytest.raises(KitaruStateError, match=r"ambiguous.*2 calls.*call id"):
        plan(entries, from_="fetch")


def test_concurrent_calls_count_by_when_they_were_called_not_by_when_they_ended() -> None:
    entries = numbered(call("b#1", 11, 20), call("c#1", 12, 30), call("a#1", 10, 40), call("merge#1", 50, 60))
    assert plan(entries, from_="merge").reusable == ("a#1", "b#1", "c#1")
    assert plan(entries, from_="b").reusable == ("a#1",)
    assert plan(entries, from_="a").reusable == ()


def test_a_clock_that_was_set_back_does_not_change_the_order() -> None:
    entries = numbered(call("a#1", 5_000, 5_010), call("b#1", 1_000, 1_010), call("c#1", 1_020, 1_030))
    assert plan(entries, from_="b").reusable == ("a#1",)
    assert plan(entries, from_="c").reusable == ("a#1", "b#1")


def test_copies_count_where_they_were_made_not_by_the_times_they_carry() -> None:
    copied = {"original_call_id": "x"}
    entries = numbered(call("a#1", 5_000, 5_010), call("b#1", 1_000, 4_000, detail=copied), call("c#1", 5_020, 5_030))
    assert plan(entries, from_="b").reusable == ("a#1",)
    assert plan(entries, from_="c").reusable == ("a#1", "b#1")


def test_the_calls_around_a_frontier_run_again_and_those_inside_them_before_it_are_reused() -> None:
    entries = numbered(
        call("outer#1/one#1", 11, 12), call("outer#1/two#1", 13, 14), call("outer#1/three#1", 15, 16),
        call("outer#1", 10, 20),
    )  # fmt: skip
    assert plan(entries, from_="outer/two").reusable == ("outer#1/one#1",)
    assert plan(entries, from_="outer").reusable == ()
    assert plan(entries, overrides={"checkpoint.outer/two": 1}).reusable == ("outer#1/one#1", "outer#1/three#1")


def test_calls_without_an_outcome_run_and_so_do_the_failures_that_ended_the_execution() -> None:
    entries = numbered(
        call("caught#1", 1, 2, EntryKind.FAILED), call("a#1", 3, 4),
        call("in_flight#1", 5, 0, EntryKind.STARTED), call("fatal#1", 6, 7, EntryKind.FAILED),
    )  # fmt: skip
    failed = ExecutionRecord("e-1", "pipeline", status="failed", failure={"calls": ["fatal#1"]})
    assert plan(entries, failed).reusable == ("caught#1", "a#1")
    assert plan(entries, failed, from_="in_flight").reusable == ("caught#1", "a#1")


def test_child_flows_are_no_calls() -> None:
    entries = numbered(call("a#1", 1, 2), call(">child#1", 3, 3, EntryKind.CHILD, detail={"exec_id": "c-1"}))
    assert plan(entries).reusable == ("a#1",)
    with pytest.raises(KitaruStateError, match="Unknown checkpoint selector"):
        plan(entries, from_="child")


@pytest.mark.parametrize(
    ("asked", "error", "text"),
    [
        ({"from_": ""}, KitaruUsageError, "from_"),
        ({"from_": "  "}, KitaruUsageError, "from_"),
        ({"from_": "nope"}, KitaruStateError, r"Unknown checkpoint selector.*fetch, publish, write"),
        ({"overrides": {"checkpoint.nope": 1}}, KitaruStateError, "Unknown checkpoint selector"),
        ({"overrides": {"checkpoint.": 1}}, KitaruUsageError, "names nothing"),
        ({"overrides": {"wait. ": 1}}, KitaruUsageError, "names nothing"),
        ({"overrides": {"flow.topic": 1}}, KitaruUsageError, "Override keys must start with `checkpoint.`"),
        ({"overrides": {"checkpoint": 1}}, KitaruUsageError, "Override keys must start"),
        ({"overrides": {3: 1}}, KitaruUsageError, "Override keys must start"),
        ({"overrides": {"wait.approve": 1}}, KitaruStateError, "no wait `approve`"),
        ({"overrides": {"checkpoint.fetch": 1, "checkpoint.fetch ": 2}}, KitaruUsageError, "another override"),
    ],
)
def test_what_cannot_be_planned(asked: dict[str, Any], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        plan(**asked)


def test_the_order_of_the_checks() -> None:
    """History, blank from_, keys of overrides, the call of from_, the calls of overrides."""
    with pytest.raises(KitaruStateError, match="no recorded calls"):
        plan([], from_=" ", overrides={"bad": 1})
    with pytest.raises(KitaruUsageError, match="from_"):
        plan(from_=" ", overrides={"bad": 1})
    with pytest.raises(KitaruUsageError, match="Override keys"):
        plan(from_="nope", overrides={"checkpoint.nope": 1, "bad": 1})
    with pytest.raises(KitaruStateError, match="'nope'"):
        plan(from_="nope", overrides={"checkpoint.other": 1})


def test_an_execution_without_calls_has_nothing_to_select_but_may_run_again() -> None:
    with pytest.raises(KitaruStateError, match=r"no recorded calls.*Unknown checkpoint selector.*none"):
        plan([], from_="fetch")
    assert plan([], flow_inputs={"topic": 1}).reusable == ()

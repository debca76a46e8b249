"""kitaru.log(): where it goes, how it merges, when it is committed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import KitaruContextError, KitaruStateError, KitaruUsageError
from kitaru.journal.records import EntryKind
from kitaru.runtime import scopes
from kitaru.runtime.kernel import Kernel


@checkpoint
def noted(number: int) -> int:
    kitaru.log(cost=number, tokens={"in": number})
    kitaru.log(tokens={"out": 2}, label="not a label", tries=1)
    kitaru.log()
    kitaru.log(tries=2)
    return number


@flow
def noting() -> int:
    kitaru.log(topic="whales", usage={"a": 1})
    noted(1)
    kitaru.log(usage={"b": 2}, cost=7)
    return noted(2)


def test_metadata_of_calls_and_of_the_execution_are_merged_and_never_mix() -> None:
    handle = noting.run()
    handle.wait()
    found = KitaruClient().executions.get(handle.exec_id)
    assert found.metadata == {"topic": "whales", "usage": {"a": 1, "b": 2}, "cost": 7}
    first, second = found.checkpoints
    assert first.metadata == {"cost": 1, "tokens": {"in": 1, "out": 2}, "label": "not a label", "tries": 2}
    assert second.metadata["cost"] == 2
    assert (first.invocation_id, second.invocation_id) == ("noted", "noted#2")
    assert first.attempts[0].metadata == first.metadata


def test_logging_costs_no_commit_of_its_own(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    commits: list[list[EntryKind]] = []
    append = kernel.journal.append

    def counted(lease: Any, entries: Any) -> None:
        commits.append([entry.kind for entry in entries])
        append(lease, entries)

    monkeypatch.setattr(kernel.journal, "append", counted)
    handle = noting.run()
    handle.wait()
    with_outcome = [kinds for kinds in commits if EntryKind.COMPLETED in kinds]
    assert len(with_outcome) == 2
    assert EntryKind.METADATA in with_outcome[0] and EntryKind.METADATA in with_outcome[1]
    # A ticker may have written early what a slow machine took its time for; bodies themselves commit nothing more.
    assert len([kinds for kinds in commits if EntryKind.STARTED not in kinds]) <= 3


tried: list[int] = []


@checkpoint(retries=2)
def shaky() -> str:
    attempt = kitaru.current().attempt
    kitaru.log(attempt=attempt, cost=1)
    if attempt < 3:
        raise ValueError(attempt)
    return "ok"


@flow
def shaking() -> str:
    return shaky()


def test_metadata_of_failed_attempts_is_kept_with_them() -> None:
    handle = shaking.run()
    handle.wait()
    (call,) = KitaruClient().executions.get(handle.exec_id).checkpoints
    assert [one.metadata["attempt"] for one in call.attempts] == [1, 2, 3]
    assert call.metadata["attempt"] == 3


def test_a_late_attempt_that_was_given_up_logs_nothing_more() -> None:
    import threading

    gone, tried_late, refused = threading.Event(), threading.Event(), []

    @checkpoint(timeout=0.2)
    def slow() -> None:
        kitaru.log(stage="early")
        gone.wait(30)
        try:
            kitaru.log(stage="late")
        except BaseException as error:
            refused.append(error)
        tried_late.set()

    @flow
    def slowly() -> str:
        try:
            slow()
        except TimeoutError:
            gone.set()
            tried_late.wait(30)
        return "over"

    handle = slowly.run()
    assert handle.wait() == "over"
    assert refused
    (call,) = KitaruClient().executions.get(handle.exec_id).checkpoints
    assert call.metadata == {"stage": "early"} == call.attempts[0].metadata


def test_in_async_branches_it_belongs_to_the_flow_or_to_the_call() -> None:
    @checkpoint
    async def branch(number: int) -> int:
        await asyncio.sleep(0)
        kitaru.log(number=number)
        return number

    @flow
    async def branching() -> list[int]:
        async def one(number: int) -> int:
            kitaru.log(seen={str(number): True})
            return await branch(number)

        return list(await asyncio.gather(*(one(n) for n in range(3))))

    handle = branching.run()
    handle.wait()
    found = KitaruClient().executions.get(handle.exec_id)
    assert found.metadata == {"seen": {"0": True, "1": True, "2": True}}
    assert sorted(call.metadata["number"] for call in found.checkpoints) == [0, 1, 2]
    assert {call.invocation_id for call in found.checkpoints} == {"branch", "branch#2", "branch#3"}


fails = [True]


@checkpoint
def step(number: int) -> int:
    if number == 2 and fails[0]:
        raise RuntimeError("not yet")
    return number


@flow
def logging_between() -> int:
    for number in range(4):
        kitaru.log(place=number)
        step(number)
    return 1


def test_a_resumed_flow_body_does_not_write_its_metadata_again(kernel: Kernel) -> None:
    handle = logging_between.run()
    with pytest.raises(Exception, match="not yet"):
        handle.wait()
    fails[0] = False
    kernel.retry(handle.exec_id).done.wait(30)
    places = [
        entry.detail["place"]
        for entry in kernel.journal.entries(handle.exec_id)
        if entry.kind == EntryKind.METADATA and entry.detail
    ]
    assert places == [0, 1, 2, 3]
    assert KitaruClient().executions.get(handle.exec_id).metadata == {"place": 3}


def test_outside_a_flow_it_is_refused() -> None:
    with pytest.raises(KitaruContextError, match=r"kitaru\.log\(\) works only inside a flow"):
        kitaru.log(a=1)


@pytest.mark.parametrize("value", [object(), {1, 2}, float("nan"), b"bytes"], ids=["object", "set", "nan", "bytes"])
def test_a_value_without_json_form_is_refused_by_its_key(value: Any) -> None:
    said: list[BaseException] = []

    @flow
    def bad() -> int:
        try:
            kitaru.log(fine=1, unfit=value)
        except KitaruUsageError as error:
            said.append(error)
        return 1

    handle = bad.run()
    handle.wait()
    assert "kitaru.log(unfit=...)" in str(said[0])
    assert KitaruClient().executions.get(handle.exec_id).metadata == {}


def test_too_much_at_once_is_refused_and_a_cyclic_value_too() -> None:
    @flow
    def bad() -> list[str]:
        said = []
        cyclic: list[Any] = []
        cyclic.append(cyclic)
        for value in ("x" * (1024 * 1024 + 1), cyclic):
            try:
                kitaru.log(big=value)
            except KitaruUsageError as error:
                said.append(str(error))
        return said

    said = bad.run().wait()
    assert "kitaru.save()" in said[0] and "big" in said[1]


def test_what_is_logged_is_a_copy() -> None:
    @flow
    def changing() -> int:
        values = {"a": 1}
        kitaru.log(values=values)
        values["a"] = 2
        return 1

    handle = changing.run()
    handle.wait()
    assert KitaruClient().executions.get(handle.exec_id).metadata == {"values": {"a": 1}}


@pytest.mark.parametrize(("scope_id", "told"), [(None, "needs an active execution id"), ("no-uuid", "'no-uuid'")])
def test_ids_of_a_scope_are_checked(scope_id: str | None, told: str) -> None:
    with pytest.raises(KitaruStateError, match=told) as caught:
        scopes._parse_scope_uuid(scope_id, scope_name="execution", api_name="log")
    assert "kitaru.log()" in str(caught.value)

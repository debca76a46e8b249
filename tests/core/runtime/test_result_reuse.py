"""Result reuse across executions: off unless asked for, and keyed on source, inputs and store."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import KitaruUserCodeError
from kitaru.models import CheckpointCall
from kitaru.stack import assembly

ran: list[Any] = []


@pytest.fixture(autouse=True)
def fresh() -> None:
    ran.clear()


def calls_of(handle: FlowHandle) -> list[CheckpointCall]:
    return KitaruClient().executions.get(handle.exec_id).checkpoints


def result(handle: FlowHandle) -> Any:
    return handle.wait(timeout=20)


@checkpoint(cache=True)
def kept(x: Any, y: Any = None) -> Any:
    ran.append(x)
    return [x, y]


@checkpoint
def plain(x: Any) -> Any:
    ran.append(x)
    return x


@checkpoint(cache=False)
def never(x: Any) -> Any:
    ran.append(x)
    return x


@flow
def one(x: Any, y: Any = None) -> Any:
    return kept(x, y)


@flow(cache=True)
def whole(x: Any) -> Any:
    return [plain(x), never(x), kept(x)]


@flow
def bare(x: Any) -> Any:
    return plain(x)


def test_it_is_off_unless_asked_for() -> None:
    assert [result(bare.run(1)), result(bare.run(1))] == [1, 1]
    assert ran == [1, 1]


def test_an_equal_call_of_another_execution_answers() -> None:
    first = one.run(1, "a")
    assert result(first) == [1, "a"]
    second = one.run(1, "a")
    assert result(second) == [1, "a"]
    assert ran == [1]
    assert [call.cached for call in (*calls_of(first), *calls_of(second))] == [False, True]
    assert calls_of(second)[0].status == "completed"
    assert result(one.run(1, "b")) == [1, "b"]
    assert ran == [1, 1]


def test_a_flow_asks_for_all_its_checkpoints_and_one_may_refuse() -> None:
    result(whole.run(1))
    ran.clear()
    assert result(whole.run(1)) == [1, 1, [1, None]]
    assert ran == [1]  # never


def test_what_run_says_wins_over_the_flow_and_a_checkpoint_over_both() -> None:
    result(whole.run(1))
    ran.clear()
    result(whole.run(1, cache=False))
    assert ran == [1, 1]  # plain and never; kept says cache=True itself
    ran.clear()
    result(bare.run(5, cache=True))
    result(bare.run(5, cache=True))
    assert ran == [5]


def test_calls_of_uncached_executions_answer_nothing() -> None:
    result(bare.run(5))
    result(bare.run(5, cache=True))
    assert ran == [5, 5]


def test_equal_inputs_are_equal_however_they_are_passed() -> None:
    result(one.run({"b": 1, "a": {3, 1, 2}}))
    result(one.run({"a": {2, 3, 1}, "b": 1}))
    assert len(ran) == 1
    result(one.run(1))
    result(one.run(1.0))
    result(one.run(True))
    assert len(ran) == 4


class Opaque:
    def __reduce__(self) -> Any:
        return Opaque, ()


@checkpoint(cache=True)
def opaque(x: Any) -> int:
    ran.append("opaque")
    return 1


@flow
def with_opaque() -> int:
    return opaque(Opaque())


def test_inputs_that_cannot_be_compared_are_never_answered() -> None:
    result(with_opaque.run())
    result(with_opaque.run())
    assert ran == ["opaque", "opaque"]


@checkpoint(cache=True)
def failing(x: int) -> int:
    ran.append(x)
    raise ValueError("no")


@flow
def fails() -> int:
    return failing(1)


def test_failures_are_not_kept() -> None:
    for _ in range(2):
        with pytest.raises(KitaruUserCodeError):
            result(fails.run())
    assert ran == [1, 1]


@checkpoint(cache=True)
async def akept(x: int) -> int:
    ran.append(x)
    await asyncio.sleep(0)
    return x


@flow
async def agathering() -> list[int]:
    return list(await asyncio.gather(akept(1), akept(2)))


@flow
def mapping() -> list[Any]:
    return [future.result() for future in kept.map([1, 2, 3])]


def test_async_and_submitted_calls() -> None:
    for _ in range(2):
        assert result(agathering.run()) == [1, 2]
    assert sorted(ran) == [1, 2]
    ran.clear()
    for _ in range(2):
        assert result(mapping.run()) == [[1, None], [2, None], [3, None]]
    assert sorted(ran) == [1, 2, 3]


SOURCE = """
from kitaru import checkpoint, flow

@checkpoint(cache=True)
def f(x):
    return {body}

@flow
def g(x):
    return f(x)
"""


def test_changed_source_is_another_call(tmp_path: Path) -> None:
    from kitaru.client.flow_targets import invoke_flow_target

    file = tmp_path / "changing.py"

    def run(body: str) -> tuple[Any, bool]:
        file.write_text(SOURCE.format(body=body))
        import linecache

        linecache.checkcache()
        handle = invoke_flow_target(target=f"{file}:g", args={"x": 2}, stack=None, module_name_prefix="t_").handle
        assert isinstance(handle, FlowHandle)
        return result(handle), calls_of(handle)[0].cached

    assert run("x * 2") == (4, False)
    assert run("x * 20") == (40, False)
    assert run("x * 2") == (4, True)


def test_another_store_knows_nothing(tmp_path: Path) -> None:
    result(one.run(1))
    kitaru.configure(journal=f"sqlite:///{tmp_path / 'other.db'}")
    try:
        result(one.run(1))
    finally:
        assembly.reset()
        kitaru.configure(journal=None)
    assert ran == [1, 1]


def test_the_newest_result_answers_and_large_ones_are_referred_to() -> None:
    text = "x" * 100_000
    assert result(one.run(text))[0] == text
    again = one.run(text)
    assert result(again)[0] == text
    assert ran == [text]
    assert calls_of(again)[0].cached


def test_a_replay_is_never_answered_by_other_executions() -> None:
    source = one.run(1)
    result(source)
    result(one.run(2))
    ran.clear()
    assert result(one.replay(source.exec_id, from_="kept")) == [1, None]
    assert ran == [1]
    assert result(one.replay(source.exec_id, x=2)) == [2, None]
    assert ran == [1, 2]
    assert result(one.replay(source.exec_id)) == [1, None]
    assert ran == [1, 2]


def test_what_a_replay_runs_may_answer_others_and_what_it_copies_is_no_new_result() -> None:
    source = one.run(1)
    result(source)
    replay = one.replay(source.exec_id, overrides={"checkpoint.kept": "mine"})
    assert result(replay) == "mine"
    assert result(one.run(1)) == [1, None]
    assert ran == [1]

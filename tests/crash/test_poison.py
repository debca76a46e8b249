"""Poison as results, arguments and exceptions: the flow ends cleanly, and what was recorded before stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.crash import kernels, poison

from kitaru import KitaruClient
from kitaru.errors import KitaruExecutionError
from kitaru.flows import FlowDefinition
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel

WAIT_SECONDS = 30
FLOWS = {"def": (poison.returns_poison, "victim"), "async": (poison.returns_poison_async, "victim_async")}


@pytest.fixture(autouse=True)
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    poison.runs.clear()
    with kernels.store(tmp_path) as opened:
        yield opened


def _kinds(kernel: Kernel, exec_id: str) -> list[tuple[str, EntryKind]]:
    return [(entry.name, entry.kind) for entry in kernel.journal.entries(exec_id) if entry.kind != EntryKind.STARTED]


def _fails(flow: FlowDefinition[Any, Any]) -> tuple[str, KitaruExecutionError]:
    handle = kernels.start(flow)
    with pytest.raises(KitaruExecutionError) as caught:
        handle.wait(timeout=WAIT_SECONDS)
    assert handle.status == "failed"
    assert handle.exec_id in str(caught.value)
    return handle.exec_id, caught.value


def _cured(kernel: Kernel, exec_id: str, runs_before: int = 1) -> None:
    """A failed execution goes on from where it was once the cause is gone."""
    poison.make[:] = [lambda: "fine"]
    KitaruClient().executions.retry(exec_id)
    run = kernel.runs.get(exec_id)
    assert run is None or run.done.wait(WAIT_SECONDS)
    assert KitaruClient().executions.result(exec_id)[0] == "paid for"
    assert poison.runs.count("before") == runs_before


@pytest.mark.parametrize("kind", FLOWS)
@pytest.mark.parametrize("name", poison.VALUES)
def test_as_a_result(kernel: Kernel, name: str, kind: str) -> None:
    value, storable, check = poison.VALUES[name]
    flow, checkpoint = FLOWS[kind]
    poison.make[:] = [value]
    if storable:
        handle = kernels.start(flow)
        assert check(handle.wait(timeout=WAIT_SECONDS)[1])
        assert check(KitaruClient().executions.result(handle.exec_id)[1])
        return
    exec_id, error = _fails(flow)
    assert checkpoint in str(error), "the error does not name the checkpoint"
    assert poison.runs.count("victim") == 1, "a result that cannot be stored is not a reason to pay again"
    assert _kinds(kernel, exec_id) == [("before", EntryKind.COMPLETED), (checkpoint, EntryKind.FAILED)]
    _cured(kernel, exec_id)


@pytest.mark.parametrize("name", poison.VALUES)
def test_as_an_argument(kernel: Kernel, name: str) -> None:
    value, storable, _ = poison.VALUES[name]
    poison.make[:] = [value]
    if storable:
        handle = kernels.start(poison.passes_poison)
        assert handle.wait(timeout=WAIT_SECONDS) == ["paid for", type(value()).__name__]
        return
    exec_id, error = _fails(poison.passes_poison)
    assert "takes" in str(error) and "value" in str(error), "the error does not name checkpoint and argument"
    assert "takes" not in poison.runs, "the body ran although its arguments cannot be recorded"
    assert _kinds(kernel, exec_id)[0] == ("before", EntryKind.COMPLETED)
    _cured(kernel, exec_id)


def _raiser(error: Callable[[], BaseException]) -> Callable[[], Any]:
    def throw() -> Any:
        raise error()

    return throw


#: asyncio itself has its own way with these: they end its loop, or are refused by a coroutine.
_SYNC_ONLY = ("system exit", "keyboard interrupt", "generator exit", "stop iteration")
_RAISED = [(kind, name) for kind in FLOWS for name in poison.EXCEPTIONS if kind == "def" or name not in _SYNC_ONLY]


@pytest.mark.parametrize(("kind", "name"), _RAISED)
def test_as_an_exception(kernel: Kernel, name: str, kind: str) -> None:
    flow, checkpoint = FLOWS[kind]
    poison.make[:] = [_raiser(poison.EXCEPTIONS[name])]
    exec_id, _ = _fails(flow)
    assert _kinds(kernel, exec_id) == [("before", EntryKind.COMPLETED), (checkpoint, EntryKind.FAILED)]
    failed = KitaruClient().executions.get(exec_id)
    assert failed.status == "failed" and failed.failure is not None
    _cured(kernel, exec_id)


def test_unstorable_flow_arguments_are_refused_before_anything_is_written(kernel: Kernel) -> None:
    from kitaru import flow
    from kitaru.errors import KitaruSerializationError
    from kitaru.journal.records import ExecutionQuery

    @flow
    def takes_anything(value: Any) -> None: ...

    for value, storable, _ in poison.VALUES.values():
        if not storable:
            with pytest.raises(KitaruSerializationError, match="value"):
                kernels.start(takes_anything, value())
    assert kernel.journal.list(ExecutionQuery(), lambda owner: None) == []

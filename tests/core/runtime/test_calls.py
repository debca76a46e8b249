"""One checkpoint call after another: values, failures, retries, deadlines, identity."""

from __future__ import annotations

import decimal
import threading
import time
import warnings
from dataclasses import dataclass
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import (
    FailureOrigin,
    KitaruContextError,
    KitaruSerializationError,
    KitaruTimeoutError,
    KitaruUsageError,
    KitaruUserCodeError,
)
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel

ran: list[Any] = []


@pytest.fixture(autouse=True)
def fresh_ran() -> None:
    ran.clear()


@dataclass
class Point:
    x: int
    y: decimal.Decimal


@checkpoint
def echo(value: Any) -> Any:
    ran.append(value)
    return value


@flow
def echo_flow(value: Any) -> Any:
    return echo(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        3,
        2.5,
        "text",
        b"bytes",
        [1, (2, 3)],
        {"a": {1, 2}},
        Point(1, decimal.Decimal("2.50")),
        {1: "int key"},
    ],
    ids=repr,
)
def test_plain_values_in_plain_values_out(value: Any) -> None:
    result = echo_flow.run(value).wait()
    assert result == value
    assert type(result) is type(value)


def test_a_finished_execution_gives_its_result_again_from_the_journal(kernel: Kernel) -> None:
    handle = echo_flow.run(Point(1, decimal.Decimal("2.50")))
    handle.wait()
    again = FlowHandle(kernel, handle.exec_id)
    assert again.get() == Point(1, decimal.Decimal("2.50"))
    assert again.status == "completed"


def test_a_flow_called_directly_is_refused_and_says_how_to_start_it() -> None:
    with pytest.raises(KitaruUsageError, match=r"echo_flow\.run\(\.\.\.\)\.wait\(\)"):
        echo_flow(1)


def test_a_checkpoint_outside_a_flow_is_refused() -> None:
    with pytest.raises(KitaruContextError, match="`echo` was called outside a flow"):
        echo(1)
    with pytest.raises(KitaruContextError, match="outside a flow"):
        echo.submit(1)
    with pytest.raises(KitaruContextError, match="outside a flow"):
        echo.map([1])


def test_user_exceptions_come_through_the_handle_with_origin_and_next_command() -> None:
    @checkpoint
    def broken() -> None:
        raise LookupError("no such paper")

    @flow
    def failing() -> None:
        broken()

    handle = failing.run()
    with pytest.raises(KitaruUserCodeError, match="no such paper") as caught:
        handle.wait()
    assert caught.value.exec_id == handle.exec_id
    assert caught.value.status == "failed"
    assert caught.value.failure_origin is FailureOrigin.USER_CODE
    assert isinstance(caught.value.__cause__, LookupError)
    assert f"kitaru executions retry {handle.exec_id}" in str(caught.value)


def test_a_failure_that_the_flow_catches_is_its_own_business() -> None:
    @checkpoint
    def broken() -> None:
        raise LookupError("caught")

    @flow
    def catching() -> str:
        try:
            broken()
        except LookupError as error:
            return f"caught {error}"
        return "not reached"

    assert catching.run().wait() == "caught caught"


def test_retries_are_journaled_attempt_by_attempt(kernel: Kernel) -> None:
    @checkpoint(retries=2)
    def flaky() -> int:
        ran.append(kitaru.current().attempt)
        if len(ran) < 3:
            raise OSError(f"try {len(ran)}")
        return len(ran)

    @flow
    def retrying() -> int:
        return flaky()

    handle = retrying.run()
    assert handle.wait() == 3
    assert ran == [1, 2, 3]
    kinds = [entry.kind for entry in kernel.journal.entries(handle.exec_id) if entry.kind != EntryKind.STARTED]
    assert kinds == [EntryKind.ATTEMPT_FAILED, EntryKind.ATTEMPT_FAILED, EntryKind.COMPLETED]


def test_the_flows_retries_are_the_default_and_an_explicit_zero_opts_out() -> None:
    @checkpoint
    def inherits() -> None:
        ran.append("inherits")
        raise OSError

    @checkpoint(retries=0)
    def opts_out() -> None:
        ran.append("opts out")
        raise OSError

    @flow(retries=1)
    def both() -> None:
        for one in (inherits, opts_out):
            try:
                one()
            except OSError:
                pass

    both.run().wait()
    assert ran == ["inherits", "inherits", "opts out"]
    ran.clear()
    both.run(retries=3).wait()
    assert ran == ["inherits"] * 4 + ["opts out"]


@pytest.mark.parametrize(
    "retry_on", [ConnectionError, (ConnectionError,), [ConnectionError], lambda e: "again" in str(e)]
)
def test_only_what_retry_on_names_is_tried_again(retry_on: Any) -> None:
    @checkpoint(retries=5, retry_on=retry_on)
    def picky(error: str) -> None:
        ran.append(error)
        raise ConnectionError("again") if error == "connection" and len(ran) < 3 else ValueError("for good")

    @flow
    def retrying(error: str) -> None:
        picky(error)

    with pytest.raises(KitaruUserCodeError, match="for good"):
        retrying.run("connection").wait()
    assert len(ran) == 3


def test_back_off_pauses_between_attempts() -> None:
    @checkpoint(retries=2, backoff=0.05, backoff_factor=2.0)
    def flaky() -> None:
        ran.append(time.monotonic())
        if len(ran) < 3:
            raise OSError

    @flow
    def retrying() -> None:
        flaky()

    retrying.run().wait()
    assert ran[1] - ran[0] >= 0.05
    assert ran[2] - ran[1] >= 0.1


def test_a_sync_body_that_passes_its_deadline_fails_and_its_late_result_is_not_recorded(kernel: Kernel) -> None:
    release = threading.Event()
    late: list[BaseException] = []

    @checkpoint(timeout=0.05)
    def slow() -> str:
        release.wait(10)
        try:
            echo("late")
        except BaseException as error:
            late.append(error)
            raise
        finally:
            ran.append("ended")
        return "late"

    @flow
    def hasty() -> str:
        try:
            return slow()
        except KitaruTimeoutError as error:
            release.set()
            return str(error)

    handle = hasty.run()
    assert "timed out after 0.05 s" in handle.wait()
    deadline = time.monotonic() + 10
    while "ended" not in ran and time.monotonic() < deadline:
        time.sleep(0.001)
    assert [type(error).__name__ for error in late] == ["AttemptFenced"]
    assert not any(entry.kind == EntryKind.COMPLETED for entry in kernel.journal.entries(handle.exec_id))


def test_an_unserialisable_result_names_the_value_and_the_checkpoint_and_is_not_retried() -> None:
    @checkpoint(retries=3)
    def locks() -> Any:
        ran.append(1)
        return {"a": threading.Lock()}

    @flow
    def storing() -> None:
        locks()

    with pytest.raises(
        kitaru.KitaruExecutionError, match=r"the result of checkpoint `locks` cannot be stored.*\['a'\]"
    ) as caught:
        storing.run().wait()
    assert caught.value.failure_origin is FailureOrigin.RUNTIME
    assert isinstance(caught.value.__cause__, KitaruSerializationError)
    assert ran == [1]


def test_an_unserialisable_argument_names_it() -> None:
    with pytest.raises(KitaruSerializationError, match="value"):
        echo_flow.run(threading.Lock())

    @flow
    def passing() -> None:
        echo(threading.Lock())

    with pytest.raises(
        kitaru.KitaruExecutionError, match=r"checkpoint `echo` cannot be called with these arguments: .*value"
    ):
        passing.run().wait()


def test_a_body_that_changes_its_argument_fails_and_names_it() -> None:
    @checkpoint
    def spoil(items: list[int]) -> int:
        items.append(1)
        return len(items)

    @flow
    def spoiling() -> int:
        return spoil([])

    with pytest.raises(KitaruUserCodeError, match="`spoil` changed its argument `items`"):
        spoiling.run().wait()


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"retries": 1.5}, {"timeout": 0}, {"backoff": -1}, {"runtime": "pod"}]
)
def test_bad_checkpoint_options_are_refused_at_decoration(options: dict[str, Any]) -> None:
    with pytest.raises(KitaruUsageError, match=next(iter(options))):
        checkpoint(**options)(lambda: None)


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"stack": " "}, {"on_divergence": "ignore"}, {"max_concurrency": 0}]
)
def test_bad_flow_options_are_refused_at_decoration(options: dict[str, Any]) -> None:
    with pytest.raises(KitaruUsageError, match=next(iter(options))):
        flow(**options)


def test_reserved_parameter_names_are_refused_at_decoration() -> None:
    with pytest.raises(KitaruUsageError, match="parameter `after`"):

        @checkpoint
        def one(after: int) -> None: ...

    with pytest.raises(KitaruUsageError, match="parameter `stack`"):

        @flow
        def two(stack: str) -> None: ...


def test_generators_are_refused_at_decoration() -> None:
    with pytest.raises(KitaruUsageError, match="generator"):

        @checkpoint
        def one() -> Any:
            yield 1


def test_an_explicit_id_names_one_call() -> None:
    @flow
    def twice() -> None:
        echo(1, id="first")
        echo(2, id="first")

    with pytest.raises(KitaruUserCodeError, match="id='first' is already used"):
        twice.run().wait()


def test_nested_checkpoints_are_recorded_under_their_parent(kernel: Kernel) -> None:
    seen: list[Any] = []

    @checkpoint
    def inner(n: int) -> int:
        seen.append(kitaru.current())
        return n + 1

    @checkpoint
    def outer() -> int:
        return inner(1) + inner(2)

    @flow
    def nesting() -> int:
        return outer()

    handle = nesting.run()
    assert handle.wait() == 5
    assert [one.invocation_id for one in seen] == ["outer/inner", "outer/inner#2"]
    ended = [entry for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.COMPLETED]
    assert [entry.key for entry in ended] == [
        "outer#1/inner#1",
        "outer#1/inner#2",
        "outer#1",
    ]


def test_current_tells_where_the_code_is() -> None:
    keys: list[Any] = []

    @checkpoint(retries=1)
    def look() -> None:
        keys.append(kitaru.current().idempotency_key)
        if len(keys) == 1:
            raise OSError

    @flow
    def looking() -> Any:
        here = kitaru.current()
        look()
        look()
        return here.flow_name, here.call_id, here.exec_id

    handle = looking.run()
    assert handle.wait() == ("looking", None, handle.exec_id)
    assert keys[0] == keys[1], "attempts of one call share their key"
    assert keys[1] != keys[2], "two equal calls have different keys"
    with pytest.raises(KitaruContextError, match=r"kitaru\.current\(\)"):
        kitaru.current()


def test_a_flow_that_cannot_be_loaded_again_warns_once_when_it_is_run() -> None:
    @flow
    def local() -> int:
        return 1

    with pytest.warns(
        UserWarning, match="flow `local` cannot be loaded by another process: it is defined inside a function"
    ):
        local.run().wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        local.run().wait()
        echo_flow.run(1).wait()

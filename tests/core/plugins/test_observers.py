"""Observers see committed events as public models, and can neither fail nor delay an execution."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import kitaru
from kitaru.errors import KitaruUserCodeError
from kitaru.plugins import hookimpl
from kitaru.plugins.manager import PluginManager
from kitaru.plugins.observers import ObserverSink
from kitaru.runtime.kernel import Kernel


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    @hookimpl
    def kitaru_execution_started(self, execution: Any) -> None:
        self.seen.append(("started", execution))

    @hookimpl
    def kitaru_execution_finished(self, execution: Any) -> None:
        self.seen.append(("finished", execution))

    @hookimpl
    def kitaru_checkpoint_finished(self, call: Any) -> None:
        self.seen.append(("call", call))

    @hookimpl
    def kitaru_wait_opened(self, wait: Any) -> None:
        self.seen.append(("opened", wait))

    @hookimpl
    def kitaru_wait_answered(self, wait: Any) -> None:
        self.seen.append(("answered", wait))

    def of(self, what: str) -> list[Any]:
        return [value for kind, value in self.seen if kind == what]


def manager_of(*plugins: Any) -> PluginManager:
    found: list[Any] = [
        SimpleNamespace(
            name=f"observer-{number}",
            distribution=f"observers-{number}",
            version="1",
            interface="any",
            refusal=None,
            entry_point=SimpleNamespace(load=lambda plugin=plugin: plugin),
        )
        for number, plugin in enumerate(plugins)
    ]
    manager = PluginManager(found=found)
    assert all(one.status == "available" for one in manager.plugins()), manager.plugins()
    return manager


@pytest.fixture
def observe(kernel: Kernel) -> Iterator[Callable[..., ObserverSink]]:
    """Lets plugins observe the kernel of this test."""

    def start(*plugins: Any) -> ObserverSink:
        sink = ObserverSink(manager_of(*plugins), kernel.journal)
        kernel.events = sink
        return sink

    yield start
    kernel.events = None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


@kitaru.checkpoint
def double(number: int) -> int:
    return 2 * number


def test_each_event_once_as_public_models(observe: Callable[..., ObserverSink]) -> None:
    recorder = Recorder()
    observe(recorder)

    @kitaru.flow
    def twice(number: int) -> int:
        return double(double(number))

    handle = twice.run(3)
    assert handle.wait() == 12
    until(lambda: len(recorder.seen) == 4)
    assert [kind for kind, _ in recorder.seen] == ["started", "call", "call", "finished"]
    (started,), (finished,) = recorder.of("started"), recorder.of("finished")
    assert (started.exec_id, started.status) == (handle.exec_id, kitaru.ExecutionStatus.RUNNING)
    assert (finished.exec_id, finished.status) == (handle.exec_id, kitaru.ExecutionStatus.COMPLETED)
    assert [call.invocation_id for call in finished.checkpoints] == ["double", "double#2"]
    assert [call.invocation_id for call in recorder.of("call")] == ["double", "double#2"]
    with pytest.raises(Exception, match="frozen"):
        finished.exec_id = "other"


def test_waits_are_told_when_they_are_opened_and_answered(observe: Callable[..., ObserverSink]) -> None:
    recorder = Recorder()
    observe(recorder)

    @kitaru.flow
    def asking() -> bool:
        answer: bool = kitaru.wait(schema=bool, name="approve", question="Go?")
        return answer

    handle = asking.run()
    client = kitaru.KitaruClient()
    until(lambda: bool(client.executions.pending_waits(handle.exec_id)))
    client.executions.input(handle.exec_id, value=True)
    assert handle.wait(timeout=30) is True
    until(lambda: len(recorder.of("answered")) == 1)
    (opened,), (answered,) = recorder.of("opened"), recorder.of("answered")
    assert opened == answered and (opened.name, opened.question, opened.exec_id) == ("approve", "Go?", handle.exec_id)


def test_a_call_holds_its_earlier_attempts(observe: Callable[..., ObserverSink]) -> None:
    recorder = Recorder()
    observe(recorder)
    tries: list[int] = []

    @kitaru.checkpoint(retries=2, backoff=0.0)
    def flaky() -> str:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError(f"try {len(tries)}")
        return "done"

    @kitaru.flow
    def flow() -> str:
        return flaky()

    assert flow.run().wait() == "done"
    until(lambda: bool(recorder.of("finished")))
    (call,) = recorder.of("call")
    assert [attempt.status for attempt in call.attempts] == ["failed", "failed", "completed"]


def test_attempts_of_an_earlier_owner_are_read_from_the_journal(
    kernel: Kernel, observe: Callable[..., ObserverSink]
) -> None:
    tries: list[int] = []

    @kitaru.checkpoint(retries=1, backoff=0.0)
    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")
        return "done"

    @kitaru.flow
    def flow() -> str:
        return flaky()

    handle = flow.run()
    handle.wait()
    recorder = Recorder()
    sink = observe(recorder)  # like a new process: it was not told of the first attempt
    last = [one for one in kernel.journal.entries(handle.exec_id) if one.attempt == 2 and one.output is not None][-1]
    sink.checkpoint_finished(handle.exec_id, last)
    sink.drain(30.0)
    (call,) = recorder.of("call")
    assert [attempt.status for attempt in call.attempts] == ["failed", "completed"]


def test_an_execution_that_is_let_go_has_not_finished(kernel: Kernel, observe: Callable[..., ObserverSink]) -> None:
    recorder = Recorder()
    sink = observe(recorder)
    inside = threading.Event()
    gate = threading.Event()

    @kitaru.checkpoint
    def held() -> None:
        inside.set()
        gate.wait()

    @kitaru.flow
    def flow() -> None:
        held()
        held()

    handle = flow.run()
    assert inside.wait(30)
    kernel.interrupt_all()
    gate.set()
    until(lambda: handle.status is kitaru.ExecutionStatus.INTERRUPTED)
    until(lambda: handle.exec_id not in kernel.runs)
    sink.drain(30.0)
    assert [kind for kind, _ in recorder.seen] == ["started", "call"]


def test_a_failed_execution_is_told_of(observe: Callable[..., ObserverSink]) -> None:
    recorder = Recorder()
    observe(recorder)

    @kitaru.checkpoint
    def broken() -> None:
        raise ValueError("no")

    @kitaru.flow
    def flow() -> None:
        broken()

    with pytest.raises(KitaruUserCodeError):
        flow.run().wait()
    until(lambda: bool(recorder.of("finished")))
    assert recorder.of("finished")[0].status is kitaru.ExecutionStatus.FAILED
    assert recorder.of("call")[0].status == "failed"


@pytest.mark.parametrize("error", [RuntimeError("observer broke"), SystemExit(3)], ids=["exception", "exit"])
def test_what_an_observer_raises_is_logged_and_the_next_one_still_called(
    observe: Callable[..., ObserverSink], caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    class Broken:
        @hookimpl
        def kitaru_checkpoint_finished(self, call: Any) -> None:
            raise error

    before, after = Recorder(), Recorder()
    observe(before, Broken(), after)

    @kitaru.flow
    def flow() -> int:
        return double(1)

    with caplog.at_level(logging.ERROR, logger="kitaru.plugins"):
        assert flow.run().wait() == 2
        until(lambda: bool(before.of("finished")) and bool(after.of("finished")))
    assert len(before.of("call")) == len(after.of("call")) == 1
    messages = [record.getMessage() for record in caplog.records if record.name == "kitaru.plugins"]
    assert messages == ["plugin `observer-1` failed in kitaru_checkpoint_finished"]


def test_an_observer_may_take_fewer_arguments(observe: Callable[..., ObserverSink]) -> None:
    seen: list[str] = []

    class Minimal:
        @hookimpl
        def kitaru_execution_finished(self) -> None:
            seen.append("finished")

    observe(Minimal())

    @kitaru.flow
    def flow() -> int:
        return 1

    flow.run().wait()
    until(lambda: seen == ["finished"])


def test_draining_waits_for_what_was_told_and_not_twice_for_one_that_hangs(
    observe: Callable[..., ObserverSink], caplog: pytest.LogCaptureFixture
) -> None:
    gate = threading.Event()
    seen: list[str] = []

    class Slow:
        @hookimpl
        def kitaru_execution_started(self, execution: Any) -> None:
            gate.wait()
            seen.append(execution.exec_id)

    sink = observe(Slow())

    @kitaru.flow
    def flow() -> int:
        return 1

    sink.drain(60.0)  # nothing was told yet: nothing to wait for
    handle = flow.run()
    before = time.monotonic()
    sink.drain(0.05)
    sink.drain(60.0)  # gave up already, and nothing has moved since
    assert time.monotonic() - before < 30
    assert "not waiting for them" in caplog.text
    gate.set()
    until(lambda: seen == [handle.exec_id])


def test_the_kernel_has_no_sink_where_no_plugin_observes(kernel: Kernel) -> None:
    from kitaru.plugins.manager import plugin_manager

    assert (kernel.events is not None) == bool(plugin_manager().observer_hooks())
    assert PluginManager(found=[]).observer_hooks() == set()

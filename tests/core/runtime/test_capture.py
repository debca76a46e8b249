"""Runtime logs: printed and logged lines, told apart by call and attempt."""

from __future__ import annotations

import io
import logging
import sys
import threading
from typing import Any

import pytest

from kitaru import checkpoint, flow
from kitaru.journal.log_records import LogRecord
from kitaru.journal.records import ExecutionRecord
from kitaru.runtime.capture import Capture
from kitaru.runtime.clock import Clock
from kitaru.runtime.kernel import Kernel

log = logging.getLogger("tests.capture")


@checkpoint
def talks(n: int) -> int:
    print(f"printed {n}")
    print("half ", end="")
    print("a line", file=sys.stderr)
    log.warning("logged %d", n)
    print("line")
    return n


@checkpoint(retries=1)
def tries(attempts: list[int]) -> None:
    from kitaru import current

    print(f"attempt {current().attempt}")
    if current().attempt == 1:
        raise OSError


@flow
def chatty() -> None:
    print("in the flow body")
    for one in talks.map([1, 2]):
        one.result()
    tries([])


class Sink:
    """Keeps lines in a list, or fails."""

    def __init__(self, error: Exception | None = None) -> None:
        self.found: list[tuple[str, LogRecord]] = []
        self.error = error

    def append(self, execution: ExecutionRecord, records: list[LogRecord]) -> None:
        if self.error is not None:
            raise self.error
        self.found.extend((execution.exec_id, one) for one in records)

    def drain(self) -> None: ...


@pytest.fixture
def records(kernel: Kernel) -> list[tuple[str, LogRecord]]:
    sink = Sink()
    kernel.capture = Capture(sink, Clock())
    return sink.found


def test_every_line_is_kept_with_its_call_and_attempt(records: list[tuple[str, LogRecord]], capsys: Any) -> None:
    handle = chatty.run()
    handle.wait()
    assert {exec_id for exec_id, _ in records} == {handle.exec_id}
    lines = {(one.source, one.message, one.invocation_id, one.attempt) for _, one in records}
    assert ("stdout", "in the flow body", None, None) in lines
    for number, call in ((1, "talks"), (2, "talks#2")):
        assert ("stdout", f"printed {number}", call, 1) in lines
        assert ("stdout", "half line", call, 1) in lines
        assert ("stderr", "a line", call, 1) in lines
        assert ("logging", f"logged {number}", call, 1) in lines
    assert ("stdout", "attempt 1", "tries", 1) in lines
    assert ("stdout", "attempt 2", "tries", 2) in lines
    (logged,) = [one for _, one in records if one.message == "logged 1"]
    assert (logged.level, logged.logger, logged.filename) == ("WARNING", "tests.capture", "test_capture.py")
    shown = capsys.readouterr()
    assert "printed 1" in shown.out, "what the user sees stays as it was"


def test_streams_and_handlers_are_put_back(records: list[tuple[str, LogRecord]]) -> None:
    before = sys.stdout, sys.stderr, list(logging.getLogger().handlers)
    chatty.run().wait()
    assert (sys.stdout, sys.stderr, list(logging.getLogger().handlers)) == before


def test_a_log_store_that_fails_never_fails_an_execution(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", shown)
    kernel.capture = Capture(Sink(OSError("no space left")), Clock())
    chatty.run().wait()
    assert "could not be stored: no space left" in shown.getvalue()


def test_output_from_outside_flows_is_not_taken(records: list[tuple[str, LogRecord]]) -> None:
    handle = chatty.run()
    print("from the main thread")
    handle.wait()
    assert all(one.message != "from the main thread" for _, one in records)


half_said, other_ended = threading.Event(), threading.Event()


@flow
def speaks_slowly() -> None:
    sys.stdout.write("one ")
    half_said.set()
    assert other_ended.wait(30)
    sys.stdout.write("line\n")


def test_the_end_of_one_execution_cuts_no_line_of_another(records: list[tuple[str, LogRecord]]) -> None:
    slow = speaks_slowly.run()
    assert half_said.wait(30)
    chatty.run().wait()
    other_ended.set()
    slow.wait()
    assert [one.message for exec_id, one in records if exec_id == slow.exec_id] == ["one line"]

"""Runtime logs through the client: selection, tail, follow."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.core.test_waits import until

from kitaru import KitaruClient, checkpoint, flow, wait
from kitaru.client.log_text import format_mcp_execution_logs
from kitaru.errors import KitaruLogRetrievalError, KitaruUsageError
from kitaru.models import LogEntry
from kitaru.stack import assembly
from kitaru.statuses import ExecutionStatus

GO_ON = threading.Event()
SAID = threading.Event()


@checkpoint
def speak(words: str) -> None:
    print(words)
    logging.getLogger("speaker").warning("logged %s", words)


@flow
def talk() -> None:
    print("begin")
    speak("one")
    speak("two")
    print("end")


@checkpoint
def stay() -> None:
    print("waiting")
    SAID.set()
    assert GO_ON.wait(30)
    print("waited")


@flow
def staying() -> None:
    stay()


@pytest.fixture
def talked() -> str:
    handle = talk.run()
    handle.wait()
    return handle.exec_id


def messages(entries: list[LogEntry]) -> list[str]:
    return [entry.message for entry in entries]


def test_all_lines_in_order_with_their_place(talked: str) -> None:
    entries = KitaruClient().executions.logs(talked)
    assert messages(entries) == ["begin", "one", "logged one", "two", "logged two", "end"]
    assert entries[0].checkpoint_name is None and entries[0].source == "stdout"
    second = entries[4]
    assert (second.checkpoint_name, second.invocation_id, second.level, second.source) == (
        "speak",
        "speak#2",
        "WARNING",
        "logging",
    )
    assert second.timestamp is not None and second.timestamp.endswith("+00:00")


def test_selection_by_source_checkpoint_and_the_newest_lines(talked: str) -> None:
    logs = KitaruClient().executions.logs
    assert messages(logs(talked, source="runner")) == ["begin", "end"]
    assert messages(logs(talked, source=" Step ")) == ["one", "logged one", "two", "logged two"]
    assert messages(logs(talked, checkpoint="speak#2")) == ["two", "logged two"]
    assert len(logs(talked, checkpoint="speak")) == 4
    assert logs(talked, checkpoint="nobody") == []
    assert messages(logs(talked, limit=2)) == ["begin", "one"]
    assert messages(logs(talked, tail=2)) == ["logged two", "end"]
    assert messages(logs(talked, level="warning")) == ["logged one", "logged two"]
    assert messages(logs(talked, level="error")) == []
    assert messages(logs(talked, call="speak#2", tail=1)) == ["logged two"]
    call = KitaruClient().executions.get(talked).checkpoints[0]
    assert messages(logs(talked, call=call.call_id)) == ["one", "logged one"]


def test_selection_by_time(talked: str) -> None:
    logs = KitaruClient().executions.logs
    entries = logs(talked)
    moment = entries[2].timestamp
    assert moment is not None
    later = [entry for entry in entries if (entry.timestamp or "") >= moment]
    assert logs(talked, since=moment) == later == logs(talked, since=datetime.fromisoformat(moment))
    assert logs(talked, since=datetime.fromisoformat(moment).replace(tzinfo=None)) == later
    assert logs(talked, since=timedelta(hours=1)) == logs(talked, since=" 1h ") == entries
    assert logs(talked, since=datetime.now(UTC) + timedelta(hours=1)) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": " ", "limit": 0}, "source="),
        ({"source": "elsewhere"}, "allowed are all, step, runner"),
        ({"limit": 0, "checkpoint": " "}, "limit=0"),
        ({"checkpoint": " "}, "checkpoint is blank"),
        ({"checkpoint": "a", "source": "runner", "tail": 0}, "exclude each other"),
        ({"tail": 0, "since": "x"}, "tail=0"),
        ({"tail": 1, "limit": 1}, "exclude each other"),
        ({"since": "yesterday", "level": "x"}, "since='yesterday'"),
        ({"since": "9" * 30 + "d"}, "since="),
        ({"level": "loud", "call": " "}, "allowed are DEBUG"),
        ({"call": " "}, "call is blank"),
    ],
)
def test_bad_arguments_in_a_fixed_order(talked: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(KitaruUsageError, match=said):
        KitaruClient().executions.logs(talked, **arguments)


def test_follow_gives_lines_while_the_execution_runs_and_ends_with_it() -> None:
    GO_ON.clear()
    SAID.clear()
    client = KitaruClient()
    handle = staying.run()
    assert SAID.wait(30)
    lines = client.executions.logs(handle.exec_id, follow=True, interval=0.01)
    assert next(lines).message == "waiting"
    GO_ON.set()
    assert messages(list(lines)) == ["waited"]


def test_equal_lines_are_all_followed() -> None:
    @checkpoint
    def repeat() -> None:
        for _ in range(3):
            print("same")

    @flow
    def repeating() -> None:
        repeat()

    handle = repeating.run()
    handle.wait()
    followed = KitaruClient().executions.logs(handle.exec_id, follow=True)
    assert messages(list(followed)) == ["same"] * 3
    logs = KitaruClient().executions.logs
    assert len(list(logs(handle.exec_id, follow=True, limit=1))) == 1
    assert len(list(logs(handle.exec_id, follow=True, tail=2))) == 2
    with pytest.raises(KitaruUsageError, match="interval=0"):
        logs(handle.exec_id, follow=True, interval=0)


def test_a_log_store_that_fails_is_a_log_retrieval_error(talked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def read(self, *_: Any, **__: Any) -> None:
            raise OSError("the disk is gone")

    monkeypatch.setattr(assembly, "open_log_store", lambda *_: Broken())
    with pytest.raises(KitaruLogRetrievalError, match="the disk is gone"):
        KitaruClient().executions.logs(talked)


def test_log_text_for_agents() -> None:
    entries = [
        LogEntry(message="hello", timestamp="2026-01-01T00:00:00+00:00", level="info", checkpoint_name="a"),
        LogEntry(message="bare"),
    ]
    assert format_mcp_execution_logs(entries) == "2026-01-01T00:00:00+00:00 INFO [a] hello\nbare"
    assert format_mcp_execution_logs([]) == "No log entries found."


@flow
def asks_between() -> Any:
    print("before")
    answer = wait(schema=int, name="go", timeout=0)
    print("after", answer)
    return answer


def test_follow_stays_through_a_wait_whose_owner_has_left() -> None:
    client = KitaruClient()
    handle = asks_between.run()
    lines: list[str] = []
    opened: list[str] = []

    def follow() -> None:
        for entry in client.executions.logs(
            handle.exec_id, follow=True, interval=0.01, on_waiting=lambda wait: opened.append(wait.name)
        ):
            lines.append(entry.message)

    thread = threading.Thread(target=follow)
    thread.start()
    # It shows as waiting as soon as the wait is open: its owner has left when this process drives nothing any more.
    until(lambda: opened == ["go"] and not assembly.open_kernel().runs)
    assert lines == ["before"] and thread.is_alive()
    client.executions.input(handle.exec_id, value=3, resume=False)
    client.executions.resume(handle.exec_id)
    thread.join(30)
    assert not thread.is_alive() and lines == ["before", "before", "after 3"] and opened == ["go"]


def test_follow_ends_where_nobody_goes_on() -> None:
    client = KitaruClient()
    handle = asks_between.run()
    until(lambda: handle.status is ExecutionStatus.WAITING)
    followed = client.executions.logs(handle.exec_id, follow=True, interval=0.01)
    assert next(followed).message == "before"
    client.executions.cancel(handle.exec_id)
    assert list(followed) == []

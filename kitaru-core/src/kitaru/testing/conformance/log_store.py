"""What every log store must do."""

from __future__ import annotations

import threading
import uuid

import pytest

from kitaru.journal.log_records import LogRecord
from kitaru.stack.components import LogStore
from kitaru.testing.conformance.log_store_trouble import LogStoreTrouble


def line(number: int, message: str = "", call_id: str | None = None) -> LogRecord:
    """A log line for tests."""
    return LogRecord(1_700_000_000_000_000 + number, "INFO", message or f"line {number}", "stdout", call_id)


class LogStoreConformance(LogStoreTrouble):
    """Needs the fixture ``log_store``. Executions get new ids, so the store need not be empty.

    Optional fixtures: ``flavor_settings`` and ``unreachable_log_store``, see ``LogStoreTrouble``.
    """

    @pytest.fixture
    def exec_id(self) -> str:
        """A new execution's id."""
        return str(uuid.uuid4())

    def test_fits_the_protocol(self, log_store: LogStore) -> None:
        assert isinstance(log_store, LogStore)

    def test_gives_every_field_back(self, log_store: LogStore, exec_id: str) -> None:
        full = LogRecord(
            timestamp=1_700_000_000_123_456,
            level="ERROR",
            message="it broke",
            source="logging",
            call_id="call",
            invocation_id="outer/inner#2",
            checkpoint_name="inner",
            attempt=3,
            logger="a.b",
            module="b",
            filename="b.py",
            lineno=17,
        )
        log_store.append(exec_id, [full, line(1)])
        assert log_store.read(exec_id) == [full, line(1)]

    @pytest.mark.parametrize(
        "message",
        [
            "two\nlines",
            "\r\n",
            " padded ",
            "é \u2028 \U0001f600",
            "\ud800",
            "\x1b[31mred\0",
            '{"json": 1}',
            "x" * 65_536,
        ],
        ids=["newline", "crlf", "spaces", "unicode", "surrogate", "control", "json", "long"],
    )
    def test_keeps_a_message_as_it_is(self, log_store: LogStore, exec_id: str, message: str) -> None:
        log_store.append(exec_id, [line(1, message), line(2)])
        assert [one.message for one in log_store.read(exec_id)] == [message, "line 2"]

    def test_keeps_the_order_of_appends(self, log_store: LogStore, exec_id: str) -> None:
        log_store.append(exec_id, [line(2), line(1)])
        log_store.append(exec_id, [])
        log_store.append(exec_id, [line(0)])
        assert log_store.read(exec_id) == [line(2), line(1), line(0)]

    def test_executions_are_apart(self, log_store: LogStore, exec_id: str) -> None:
        other = str(uuid.uuid4())
        log_store.append(exec_id, [line(1)])
        assert log_store.read(other) == []
        log_store.append(other, [line(2)])
        log_store.delete(exec_id)
        assert log_store.read(exec_id) == []
        assert log_store.read(other) == [line(2)]
        log_store.delete(exec_id)

    def test_reads_a_part(self, log_store: LogStore, exec_id: str) -> None:
        lines = [line(number, call_id="even" if number % 2 == 0 else "odd") for number in range(10)]
        log_store.append(exec_id, lines)
        assert log_store.read(exec_id, after=8) == lines[8:]
        assert log_store.read(exec_id, limit=3) == lines[:3]
        assert log_store.read(exec_id, after=2, limit=3) == lines[2:5]
        assert log_store.read(exec_id, after=10) == []
        assert log_store.read(exec_id, limit=0) == []
        assert log_store.read(exec_id, call_id="odd") == lines[1::2]
        assert log_store.read(exec_id, call_id="odd", after=1, limit=2) == lines[3:7:2]
        assert log_store.read(exec_id, call_id="none") == []

    def test_following_loses_nothing(self, log_store: LogStore, exec_id: str) -> None:
        seen: list[LogRecord] = []
        for number in range(5):
            log_store.append(exec_id, [line(number), line(number + 100)])
            seen += log_store.read(exec_id, after=len(seen))
        assert seen == log_store.read(exec_id)
        assert len(seen) == 10

    def test_many_may_append_at_once(self, log_store: LogStore, exec_id: str) -> None:
        def write(call_id: str) -> None:
            for number in range(20):
                log_store.append(exec_id, [line(number, call_id=call_id)])

        writers = [threading.Thread(target=write, args=(f"call-{number}",)) for number in range(8)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert len(log_store.read(exec_id)) == 160
        for number in range(8):
            found = log_store.read(exec_id, call_id=f"call-{number}")
            assert [one.timestamp for one in found] == [line(one).timestamp for one in range(20)]

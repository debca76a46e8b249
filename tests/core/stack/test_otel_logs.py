"""Log lines to an OpenTelemetry collector: a real server decodes what really goes over the wire."""

from __future__ import annotations

import io
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.core.stack.collector import Collector

from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import set_global_log_store
from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.otel_logs import OtelLogStoreConfig
from kitaru.testing.conformance import LogStoreConformance


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def otel(url: str, key: str | None = None) -> Any:
    settings = {"endpoint": url} if key is None else {"endpoint": url, "api_key": key}
    return plugin_manager().flavor("log_store", "otel").build(settings)


class _AtTheCollector:
    """Appends through the store, and reads what arrived: the store itself gives nothing back."""

    def __init__(self, collector: Collector) -> None:
        self._store = otel(collector.url)
        self._collector = collector

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        self._store.append(exec_id, records)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        found = [one for one in self._collector.lines(exec_id) if call_id in (None, one.call_id)]
        return found[after:] if limit is None else found[after : after + limit]

    def delete(self, exec_id: str) -> None:
        self._store.delete(exec_id)
        self._collector.forget(exec_id)


class TestOtelLogStore(LogStoreConformance):
    @pytest.fixture
    def log_store(self, collector: Collector) -> Any:
        return _AtTheCollector(collector)

    @pytest.fixture
    def unreachable_log_store(self) -> Any:
        return otel("http://127.0.0.1:9", "hunter2")

    @pytest.mark.parametrize("message", ["half \ud800 a character"])
    def test_keeps_a_message_as_it_is(self, log_store: Any, exec_id: str, message: str) -> None:
        """OTLP is UTF-8: what is no text there becomes its escape."""
        log_store.append(exec_id, [LogRecord(1, "INFO", message, "stdout")])
        assert [one.message for one in log_store.read(exec_id)] == ["half \\ud800 a character"]


@checkpoint
def speak(words: str) -> None:
    print(words)
    logging.getLogger("speaker").warning("logged %s", words)


@flow
def talking(words: str) -> None:
    speak(words)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_lines_of_a_flow_arrive_with_their_place(collector: Collector) -> None:
    set_global_log_store("otel", endpoint=collector.url, api_key="hunter2")
    handle = talking.run("aloud")
    handle.wait()
    until(lambda: len(collector.lines(handle.exec_id)) == 2)
    printed, logged = collector.lines(handle.exec_id)
    assert (printed.message, printed.source, printed.checkpoint_name, printed.attempt) == (
        "aloud",
        "stdout",
        "speak",
        1,
    )
    assert (logged.message, logged.level, logged.logger) == ("logged aloud", "WARNING", "speaker")
    severity = [one.severity_number for _, one in collector.records]
    assert severity == [9, 13]
    assert collector.paths[0] == "/v1/logs"
    assert collector.requests[0]["authorization"] == "Bearer hunter2"
    with pytest.raises(KitaruLogRetrievalError, match="gives none back") as raised:
        KitaruClient().executions.logs(handle.exec_id)
    assert collector.url in str(raised.value) and "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://h:4318", "http://h:4318/v1/logs"),
        ("https://h/otlp/", "https://h/otlp/v1/logs"),
        ("https://h/v1/logs", "https://h/v1/logs"),
    ],
)
def test_the_path_is_added_once(endpoint: str, url: str) -> None:
    config = OtelLogStoreConfig(endpoint, "hunter2")
    assert config.url == url
    assert "hunter2" not in repr(config)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, KitaruBackendError), (404, KitaruBackendError), (400, KitaruUsageError), (413, KitaruUsageError)],
)
def test_what_the_collector_answers_is_said(collector: Collector, status: int, error: type[Exception]) -> None:
    collector.status = status
    shown = io.StringIO()
    handler = logging.StreamHandler(shown)
    logging.getLogger().addHandler(handler)
    try:
        with pytest.raises(error, match=f"answered {status}") as raised:
            otel(collector.url, "hunter2").append("run-1", [LogRecord(1, "INFO", "x", "stdout")])
    finally:
        logging.getLogger().removeHandler(handler)
    assert "hunter2" not in str(raised.value)
    assert shown.getvalue() == "", "the exporter's own chatter is not the user's"


def test_a_collector_that_never_answers_costs_a_flow_nothing(collector: Collector) -> None:
    collector.hold = threading.Event()
    set_global_log_store("otel", endpoint=collector.url)
    talking.run("first").wait()
    begun = time.monotonic()
    for number in range(20):
        talking.run(str(number)).wait()
    assert time.monotonic() - begun < 5.0
    collector.hold.set()
    until(lambda: len(collector.records) >= 42)


def test_a_collector_that_comes_back_gets_what_was_said_meanwhile(collector: Collector) -> None:
    collector.status = 401
    set_global_log_store("otel", endpoint=collector.url)
    handle = talking.run("kept")
    handle.wait()
    until(lambda: collector.requests)
    collector.status = 200
    until(lambda: [one.message for one in collector.lines(handle.exec_id)] == ["kept", "logged kept"])


def test_nothing_of_it_is_loaded_before_the_first_line() -> None:
    code = (
        "import sys\nfrom kitaru.plugins.manager import plugin_manager\n"
        "plugin_manager().flavor('log_store', 'otel').build({'endpoint': 'http://127.0.0.1:9'})\n"
        "print([name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'requests', 'google')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_the_extra_it_says_what_to_install() -> None:
    code = (
        "import sys\nsys.modules['opentelemetry'] = None\n"
        "from kitaru.journal.log_records import LogRecord\nfrom kitaru.plugins.manager import plugin_manager\n"
        "store = plugin_manager().flavor('log_store', 'otel').build({'endpoint': 'http://127.0.0.1:9'})\n"
        "try:\n    store.append('run-1', [LogRecord(1, 'INFO', 'x', 'stdout')])\n"
        "except Exception as error:\n    print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("KitaruPluginError")
    assert "pip install 'kitaru[otel]'" in done.stdout


SHORT = """
import sys, time, kitaru
from kitaru.config import set_global_log_store

@kitaru.checkpoint
def speak(seconds):
    print("first words")
    time.sleep(seconds)
    print("last words")

@kitaru.flow
def talking(seconds):
    speak(seconds)

if __name__ == "__main__":
    set_global_log_store("otel", endpoint=sys.argv[1])
    handle = talking.run(float(sys.argv[2]))
    if sys.argv[3] == "wait":
        handle.wait()
"""


@pytest.mark.parametrize(("seconds", "waits"), [("0", "wait"), ("0", "leave"), ("1.0", "leave")])
def test_a_short_program_loses_no_line(collector: Collector, tmp_path: Path, seconds: str, waits: str) -> None:
    """The exporter is first imported when the program ends already, and a flow may outlast the main thread."""
    script = tmp_path / "script.py"
    script.write_text(SHORT)
    done = subprocess.run(
        [sys.executable, str(script), collector.url, seconds, waits], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [one.body.string_value for _, one in collector.records] == ["first words", "last words"]

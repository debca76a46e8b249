"""What every log store must stand: many writers, processes that die, odd ids and texts, services that are away."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import uuid
from typing import Any

import pytest

from kitaru.errors import KitaruError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack.components import LogStore
from kitaru.testing.conformance.flavors import FlavorSettings

_BOUND_SECONDS = 60.0
_MANY_LINES = 5_000
_LONG_CHARACTERS = 64 * 1024
_SIMPLE_ID = "conformance"
#: Ids that would lead out of a folder, or be taken for something else.
ODD_IDS = (
    "",
    ".",
    "..",
    f"../{_SIMPLE_ID}",
    f"a/../../{_SIMPLE_ID}",
    f"/{_SIMPLE_ID}",
    f"{_SIMPLE_ID}/../other",
    "with space",
    "nul\0nul",
    "new\nline",
    "*",
    "é" * 300,
    "x" * 2_000,
)
#: Texts that a terminal, a parser or a protocol of lines could take for something else.
ODD_TEXTS = (
    "",
    "\0",
    "\x1b]0;title\x07\x1b[2J",
    "a\u202eb\u2066c",
    "line\u2028separator\u0085next",
    "tab\tand\vand\f",
    '", "level": "ERROR", "message": "forged',
    "%s %d {0} ${HOME} `id` $(id)",
    "\U0001f600" * 100,
)
_WRITE = """
import json, sys
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager

kind, flavor, settings, exec_id, writer, batches, size, text = json.loads(sys.stdin.read())
store = plugin_manager().flavor(kind, flavor).build(settings)
for batch in range(batches):
    first = batch * size
    store.append(exec_id, [LogRecord(n, "INFO", f"{n} {text}", "stdout", writer) for n in range(first, first + size)])
    print("appended", batch, flush=True)
"""


class LogStoreTrouble:
    """Needs ``log_store``; ``flavor_settings`` and ``unreachable_log_store`` are optional."""

    @pytest.fixture
    def flavor_settings(self) -> FlavorSettings | None:
        """How another process makes the same store: with None, what needs one is skipped."""
        return None

    @pytest.fixture
    def unreachable_log_store(self) -> LogStore | None:
        """A store whose service cannot be reached or refuses the credentials; with None, that is skipped."""
        return None

    @pytest.mark.parametrize("odd", ODD_IDS, ids=range(len(ODD_IDS)))
    def test_odd_ids_are_refused_or_apart(self, log_store: LogStore, odd: str) -> None:
        mine = str(uuid.uuid4())
        log_store.append(mine, [_line(1)])
        with contextlib.suppress(KitaruUsageError):
            log_store.append(odd, [_line(2)])
            assert _line(2) in log_store.read(odd)
        with contextlib.suppress(KitaruUsageError):
            log_store.delete(odd)
        assert log_store.read(mine) == [_line(1)]

    @pytest.mark.parametrize("odd", ODD_TEXTS, ids=range(len(ODD_TEXTS)))
    def test_odd_texts_stay_one_line(self, log_store: LogStore, exec_id: str, odd: str) -> None:
        record = LogRecord(1, odd or "INFO", odd, "logging", None, odd, odd, 1, odd, odd, odd, 1)
        log_store.append(exec_id, [record, _line(2)])
        assert log_store.read(exec_id) == [record, _line(2)]

    def test_many_and_long_lines(self, log_store: LogStore, exec_id: str) -> None:
        lines = [_line(number) for number in range(_MANY_LINES)]
        for first in range(0, _MANY_LINES, 1_000):
            log_store.append(exec_id, lines[first : first + 1_000])
        long = [_line(number, "x" * _LONG_CHARACTERS) for number in range(16)]
        log_store.append(exec_id, long)
        assert log_store.read(exec_id, after=_MANY_LINES) == long
        assert log_store.read(exec_id, limit=_MANY_LINES) == lines
        assert log_store.read(exec_id, after=_MANY_LINES - 1, limit=1) == lines[-1:]
        log_store.delete(exec_id)
        assert log_store.read(exec_id) == []

    def test_several_processes_may_append_at_once(
        self, log_store: LogStore, exec_id: str, flavor_settings: FlavorSettings | None
    ) -> None:
        if flavor_settings is None:
            pytest.skip("no `flavor_settings`: another process cannot make this store")
        writers = [_writer(flavor_settings, exec_id, f"writer-{number}", batches=10, size=5) for number in range(3)]
        for writer in writers:
            said, complained = writer.communicate(timeout=_BOUND_SECONDS)
            assert writer.returncode == 0, complained
            assert said.count("appended") == 10
        found = log_store.read(exec_id)
        assert len(found) == 150
        for number in range(3):
            own = [one for one in found if one.call_id == f"writer-{number}"]
            assert [one.timestamp for one in own] == list(range(50)), "each writer's lines are in its order"
        for first in range(150):
            if found[first].timestamp % 5 == 0:
                batch = found[first : first + 5]
                assert len({one.call_id for one in batch}) == 1, "lines of one append stay together"

    def test_a_writer_that_is_killed_loses_what_it_was_appending_at_most(
        self, log_store: LogStore, exec_id: str, flavor_settings: FlavorSettings | None
    ) -> None:
        if flavor_settings is None:
            pytest.skip("no `flavor_settings`: another process cannot make this store")
        text = "y" * 20_000
        for round_ in range(3):
            writer = _writer(flavor_settings, exec_id, f"killed-{round_}", batches=10_000, size=20, text=text)
            assert writer.stdout is not None
            appended = 0
            while appended < 3:
                assert writer.stdout.readline().startswith("appended")
                appended += 1
            writer.kill()
            writer.communicate(timeout=_BOUND_SECONDS)
            log_store.append(exec_id, [_line(1, f"after {round_}")])
            found = log_store.read(exec_id)
            own = [one for one in found if one.call_id == f"killed-{round_}"]
            assert len(own) >= appended * 20
            assert [one.timestamp for one in own] == list(range(len(own)))
            assert all(one.message == f"{one.timestamp} {text}" for one in own), "no line is torn"
            assert found[-1].message == f"after {round_}"

    def test_a_service_that_is_away_is_said_in_time_and_without_secrets(
        self, unreachable_log_store: LogStore | None, exec_id: str, flavor_settings: FlavorSettings | None
    ) -> None:
        store = unreachable_log_store
        if store is None:
            pytest.skip("no `unreachable_log_store`")
        for use in (lambda: store.append(exec_id, [_line(1)]), lambda: store.read(exec_id)):
            begun = time.monotonic()
            with pytest.raises(KitaruError) as caught:
                use()
            assert time.monotonic() - begun < _BOUND_SECONDS
            for secret in flavor_settings.secrets if flavor_settings is not None else ():
                assert secret not in str(caught.value)


def _line(number: int, message: str = "") -> LogRecord:
    return LogRecord(1_700_000_000_000_000 + number, "INFO", message or f"line {number}", "stdout")


def _writer(
    flavor: FlavorSettings, exec_id: str, writer: str, *, batches: int, size: int, text: str = ""
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    told: list[Any] = [flavor.kind, flavor.flavor, dict(flavor.settings), exec_id, writer, batches, size, text]
    assert process.stdin is not None
    process.stdin.write(json.dumps(told))
    process.stdin.close()
    process.stdin = None
    return process

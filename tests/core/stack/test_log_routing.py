"""A flow beside a log store that blocks, raises, or is slow."""

from __future__ import annotations

import io
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import set_global_log_store
from kitaru.errors import KitaruBackendError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.declarations import Flavor
from kitaru.plugins.manager import PluginManager
from kitaru.stack import assembly, log_lines, shipping


class Store:
    """A log store of a test, as a plugin would supply it."""

    hold: threading.Event | None = None
    error: Exception | None = None
    pause = 0.0
    kept: dict[str, list[LogRecord]] = {}  # noqa: RUF012

    def append(self, exec_id: str, records: list[LogRecord]) -> None:
        if Store.hold is not None:
            Store.hold.wait(60)
        if Store.error is not None:
            raise Store.error
        time.sleep(Store.pause)
        self.kept.setdefault(exec_id, []).extend(records)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        return log_lines.selected(self.kept.get(exec_id, []), call_id, after, limit)

    def delete(self, exec_id: str) -> None:
        self.kept.pop(exec_id, None)


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Store]]:
    class Made(Flavor):
        def build(self, settings: object) -> Store:
            return Store()

    made = Made("log_store", "tried", "", None, None, None)  # type: ignore[arg-type]
    original = PluginManager.flavor

    def flavor(self: PluginManager, kind: str, name: str) -> object:
        return made if (kind, name) == ("log_store", "tried") else original(self, kind, name)

    monkeypatch.setattr(PluginManager, "flavor", flavor)
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    Store.hold, Store.error, Store.pause, Store.kept = None, None, 0.0, {}
    set_global_log_store("tried", endpoint="http://h")
    yield Store
    Store.error = None
    if Store.hold is not None:
        Store.hold.set()


@checkpoint
def speak(lines: int) -> int:
    for number in range(lines):
        print("line", number)
    return lines


@flow
def talking(lines: int) -> int:
    return speak(lines)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 30.0
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_store_that_blocks_holds_no_result_up(store: type[Store]) -> None:
    store.hold = threading.Event()
    begun = time.monotonic()
    handles = [talking.run(3) for _ in range(10)]
    assert [handle.wait() for handle in handles] == [3] * 10
    assert time.monotonic() - begun < 5.0
    store.hold.set()
    until(lambda: sum(map(len, store.kept.values())) == 30)


def test_a_store_that_raises_for_ever_fails_nothing(store: type[Store]) -> None:
    store.error = KitaruBackendError("nobody answers")
    begun = time.monotonic()
    for _ in range(10):
        assert talking.run(3).wait() == 3
    assert time.monotonic() - begun < 5.0
    assert sys.__stderr__ is not None
    assert sys.__stderr__.getvalue().count("nobody answers") == 1  # type: ignore[attr-defined]


def test_a_slow_store_slows_no_flow_and_loses_nothing_below_the_bound(store: type[Store]) -> None:
    store.pause = 0.2
    begun = time.monotonic()
    handle = talking.run(5_000)
    assert handle.wait() == 5_000
    assert time.monotonic() - begun < 10.0
    until(lambda: len(store.kept.get(handle.exec_id, [])) == 5_000)
    lines = KitaruClient().executions.logs(handle.exec_id)
    assert [line.message for line in lines] == [f"line {number}" for number in range(5_000)]


def test_what_a_flow_prints_beyond_the_bound_is_dropped_and_counted(
    store: type[Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipping, "LINES_MAX", 500)
    store.hold = threading.Event()
    handle = talking.run(3_000)
    assert handle.wait() == 3_000
    store.hold.set()
    until(lambda: [one.message for one in store.kept.get(handle.exec_id, ())][-1:] == ["line 2999"])
    told = [one.message for one in store.kept[handle.exec_id]]
    (gap,) = [one for one in told if one.startswith("...")]
    assert len(told) - 1 + int(gap.split()[1]) == 3_000


def test_the_reader_in_this_process_sees_everything(store: type[Store]) -> None:
    store.pause = 0.05
    handle = talking.run(3)
    handle.wait()
    assert len(KitaruClient().executions.logs(handle.exec_id)) == 3


def test_the_local_store_needs_no_thread(store: type[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru.config import reset_global_log_store

    reset_global_log_store()
    handle = talking.run(3)
    handle.wait()
    assert not [one.name for one in threading.enumerate() if one.name.startswith("kitaru-ship")]
    assert len(assembly.open_log_store(assembly.open_kernel()).read(handle.exec_id)) == 3

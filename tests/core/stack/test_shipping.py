"""Lines on their way to a store that is slow, away, broken, or hangs for ever."""

from __future__ import annotations

import io
import itertools
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import shipping
from kitaru.stack.shipping import Shipper

BOUND_SECONDS = 20.0


def line(number: int, message: str = "") -> LogRecord:
    return LogRecord(number, "INFO", message or f"line {number}", "stdout")


class Store:
    """A store that does what a test wants before it takes a batch."""

    def __init__(self, doing: Any = None) -> None:
        self.doing = doing
        self.batches: list[tuple[str, list[LogRecord]]] = []
        self.tries = 0
        self.tried = threading.Event()

    def append(self, exec_id: str, records: list[LogRecord]) -> None:
        self.tries += 1
        self.tried.set()
        if self.doing is not None:
            self.doing(self)
        self.batches.append((exec_id, list(records)))

    def messages(self, exec_id: str = "e") -> list[str]:
        return [one.message for at, batch in self.batches if at == exec_id for one in batch]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", shown)
    return shown


@pytest.fixture
def ship(said: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    made: list[Shipper] = []

    def make(store: Store, *, retry: float = 0.01) -> Shipper:
        monkeypatch.setattr(shipping, "RETRY_SECONDS", retry)
        made.append(Shipper(store, "the test's store"))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for one in made:
        one.close(0.0)


def until(condition: Any) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_lines_arrive_in_order_and_in_batches_of_one_execution(ship: Any) -> None:
    go_on = threading.Event()
    store = Store(lambda _: go_on.wait(BOUND_SECONDS))
    shipper = ship(store)
    shipper.append("a", [line(1)])
    assert store.tried.wait(BOUND_SECONDS)
    for number in range(2, 5):
        shipper.append("a", [line(number)])
    shipper.append("b", [line(5)])
    shipper.append("a", [line(6)])
    go_on.set()
    assert shipper.drain()
    assert [(at, [one.timestamp for one in batch]) for at, batch in store.batches] == [
        ("a", [1]),
        ("a", [2, 3, 4]),
        ("b", [5]),
        ("a", [6]),
    ]


def test_batches_are_bounded(ship: Any) -> None:
    go_on = threading.Event()
    store = Store(lambda _: go_on.wait(BOUND_SECONDS))
    shipper = ship(store)
    shipper.append("e", [line(0)])
    assert store.tried.wait(BOUND_SECONDS)
    shipper.append("e", [line(number) for number in range(1, 2500)])
    shipper.append("e", [line(number, "x" * 700_000) for number in range(3)])
    go_on.set()
    assert shipper.drain(BOUND_SECONDS)
    sizes = [len(batch) for _, batch in store.batches]
    assert sizes == [1, 1000, 1000, 499 + 1, 1, 1]


def test_appending_never_waits_for_a_store_that_hangs(ship: Any, said: io.StringIO) -> None:
    for_ever = threading.Event()
    store = Store(lambda _: for_ever.wait(60))
    shipper = ship(store)
    shipper.append("e", [line(0)])
    assert store.tried.wait(BOUND_SECONDS)
    begun = time.monotonic()
    for number in range(100):
        shipper.append("e", [line(number * 1000 + one) for one in range(1000)])
    assert time.monotonic() - begun < 5.0
    begun = time.monotonic()
    assert not shipper.drain(0.2)
    assert time.monotonic() - begun < 5.0
    shipper.close(0.2)
    assert "100001 runtime log lines did not reach the test's store" in said.getvalue()
    for_ever.set()


def test_what_does_not_fit_is_dropped_oldest_first_and_counted_in_one_line(ship: Any) -> None:
    go_on = threading.Event()
    store = Store(lambda _: go_on.wait(BOUND_SECONDS))
    shipper = ship(store)
    shipper.append("e", [line(-1)])
    assert store.tried.wait(BOUND_SECONDS)
    count = shipping.LINES_MAX + 123
    shipper.append("e", [line(number) for number in range(count)])
    go_on.set()
    assert shipper.drain(BOUND_SECONDS)
    told = store.messages()
    assert told[0] == "line -1"
    assert told[1].startswith("... 123 lines were dropped here")
    assert told[2:] == [f"line {number}" for number in range(123, count)]


def test_memory_is_bounded_by_size_too(ship: Any) -> None:
    go_on = threading.Event()
    store = Store(lambda _: go_on.wait(BOUND_SECONDS))
    shipper = ship(store)
    shipper.append("e", [line(-1)])
    assert store.tried.wait(BOUND_SECONDS)
    for number in range(100):
        shipper.append("e", [line(number, f"{number} " + "x" * 1_000_000)])
    go_on.set()
    assert shipper.drain(BOUND_SECONDS)
    kept = [one for one in store.messages() if "xxx" in one]
    assert sum(map(len, kept)) <= shipping.BYTES_MAX
    assert kept[-1].startswith("99 ")
    assert store.messages()[1].startswith(f"... {100 - len(kept)} lines were dropped")


def test_a_store_that_fails_is_tried_again_and_loses_nothing(ship: Any, said: io.StringIO) -> None:
    def away(store: Store) -> None:
        if store.tries <= 4:
            raise KitaruBackendError("nobody answers")

    store = Store(away)
    shipper = ship(store)
    shipper.append("e", [line(1), line(2)])
    until(lambda: store.tries >= 2)
    shipper.append("e", [line(3)])
    until(lambda: shipper.drain(1.0))
    assert store.messages() == ["line 1", "line 2", "line 3"]
    assert said.getvalue().count("nobody answers") == 1, "once per outage"
    assert "takes runtime logs again" in said.getvalue()


def test_the_pauses_between_tries_grow(ship: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    def away(store: Store) -> None:
        times.append(time.monotonic())
        raise OSError("no")

    shipper = ship(Store(away), retry=0.05)
    shipper.append("e", [line(1)])
    until(lambda: len(times) == 4)
    pauses = [after - before for before, after in itertools.pairwise(times)]
    assert pauses[0] >= 0.04 and pauses[1] >= 0.08 and pauses[2] >= 0.16


def test_a_store_that_fails_is_not_waited_for_at_the_end_of_executions(ship: Any) -> None:
    def away(store: Store) -> None:
        raise OSError("no")

    store = Store(away)
    shipper = ship(store, retry=30.0)
    shipper.append("e", [line(1)])
    assert store.tried.wait(BOUND_SECONDS)
    until(lambda: not shipper.drain(5.0))
    begun = time.monotonic()
    assert not shipper.drain(5.0)
    assert time.monotonic() - begun < 1.0


def test_closing_tries_once_more_in_spite_of_the_pause(ship: Any, said: io.StringIO) -> None:
    back = threading.Event()

    def away(store: Store) -> None:
        if not back.is_set():
            raise OSError("no")

    store = Store(away)
    shipper = ship(store, retry=600.0)
    shipper.append("e", [line(1)])
    until(lambda: not shipper.drain(0.1) and store.tries == 1)
    back.set()
    shipper.close(BOUND_SECONDS)
    assert store.messages() == ["line 1"]
    assert "did not reach" not in said.getvalue()


def test_lines_that_are_never_taken_do_not_hold_up_the_others(ship: Any, said: io.StringIO) -> None:
    def picky(store: Store) -> None:
        if store.tries == 1:
            raise KitaruUsageError("413 too large")

    store = Store(picky)
    shipper = ship(store)
    shipper.append("a", [line(1), line(2)])
    until(lambda: store.tries >= 1)
    shipper.append("b", [line(3)])
    assert shipper.drain(BOUND_SECONDS)
    assert store.messages("b") == ["line 3"]
    assert [one[:27] for one in store.messages("a")] == ["... 2 lines were dropped he"]
    assert "2 runtime log lines were refused" in said.getvalue()


def test_a_store_that_refuses_everything_is_not_asked_for_ever(ship: Any) -> None:
    def picky(store: Store) -> None:
        raise KitaruUsageError("never")

    store = Store(picky)
    shipper = ship(store)
    shipper.append("a", [line(1)])
    assert shipper.drain(BOUND_SECONDS)
    assert store.tries <= 2


def test_many_threads_may_append(ship: Any) -> None:
    store = Store(lambda _: time.sleep(0.001))
    shipper = ship(store)

    def write(name: str) -> None:
        for number in range(200):
            shipper.append(name, [line(number)])

    writers = [threading.Thread(target=write, args=(f"e{number}",)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert shipper.drain(BOUND_SECONDS)
    for number in range(8):
        assert store.messages(f"e{number}") == [f"line {one}" for one in range(200)]


ENDING = """
import sys, threading, time
from kitaru.journal.log_records import LogRecord
from kitaru.stack.shipping import Shipper

class Store:
    def append(self, exec_id, records):
        {doing}
        print("stored", len(records), flush=True)

Shipper(Store(), "the store").append("e", [LogRecord(n, "INFO", "x", "stdout") for n in range(10)])
"""


@pytest.mark.parametrize(
    ("doing", "printed", "said"),
    [
        ("time.sleep(0.3)", "stored 10\n", ""),
        ("threading.Event().wait()", "", "10 runtime log lines did not reach the store"),
        ("raise OSError('gone')", "", "10 runtime log lines did not reach the store"),
    ],
    ids=["slow", "hangs", "fails"],
)
def test_a_normal_end_of_the_interpreter_waits_but_not_for_ever(doing: str, printed: str, said: str) -> None:
    begun = time.monotonic()
    code = ENDING.format(doing=doing)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert time.monotonic() - begun < shipping.DRAIN_SECONDS + 15.0
    assert done.stdout == printed
    assert said in done.stderr

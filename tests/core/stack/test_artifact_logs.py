"""Log lines as objects of an artifact store, beyond the contract: names, order, what is fetched."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError, KitaruPluginError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.artifact_logs import ArtifactLogStore


def line(number: int) -> LogRecord:
    return LogRecord(number, "INFO", f"line {number}", "stdout")


@pytest.fixture
def make(tmp_path: Path) -> Any:
    told = {"flavor": "local", "settings": {"uri": f"file://{tmp_path}/artifacts", "sync": False}}
    return lambda: plugin_manager().flavor("log_store", "artifact-store").build({"artifact_store": told})


class Counting:
    """An artifact store that counts what is fetched."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.fetched: list[str] = []

    def get(self, key: str) -> bytes:
        self.fetched.append(key)
        data: bytes = self._inner.get(key)
        return data

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


def test_objects_lie_under_their_execution_in_the_order_of_their_names(make: Any, tmp_path: Path) -> None:
    store = make()
    for number in range(20):
        store.append("run-1", [line(number)])
    names = sorted(path.name for path in (tmp_path / "artifacts" / "logs" / "run-1").iterdir())
    assert len(names) == 20
    assert all(re.fullmatch(r"\d{17}-[0-9a-f]{12}\.jsonl", name) for name in names)
    assert make().read("run-1") == [line(number) for number in range(20)]


def test_a_clock_that_is_set_back_changes_no_order(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru.stack import artifact_logs

    moments = iter([5_000_000, 3_000_000, 3_000_000, 9_000_000])
    monkeypatch.setattr(artifact_logs.time, "time_ns", lambda: next(moments))
    store: ArtifactLogStore = make()
    for number in range(4):
        store.append("run-1", [line(number)])
    assert make().read("run-1") == [line(number) for number in range(4)]


def test_whoever_follows_misses_nothing_of_a_writer_whose_clock_is_behind(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kitaru.stack import artifact_logs

    monkeypatch.setattr(artifact_logs.time, "time_ns", lambda: 9_000_000)
    reader, ahead, behind = make(), make(), make()
    ahead.append("run-1", [line(1), line(2)])
    seen = reader.read("run-1")
    monkeypatch.setattr(artifact_logs.time, "time_ns", lambda: 1_000_000)
    behind.append("run-1", [line(3)])
    assert reader.read("run-1", after=len(seen)) == [line(3)]
    assert reader.read("run-1") == [line(1), line(2), line(3)]
    assert make().read("run-1") == [line(3), line(1), line(2)]


def test_following_fetches_only_what_is_new(make: Any) -> None:
    store = make()
    counting = store._store = Counting(store._store)
    for number in range(10):
        store.append("run-1", [line(2 * number), line(2 * number + 1)])
    assert len(store.read("run-1")) == 20
    counting.fetched.clear()
    assert store.read("run-1", after=20) == []
    store.append("run-1", [line(20)])
    assert store.read("run-1", after=20) == [line(20)]
    assert len(counting.fetched) == 1
    assert store.read("run-1", after=5, limit=2) == [line(5), line(6)]
    assert len(counting.fetched) == 3


def test_foreign_objects_and_lines_are_left_out(make: Any, tmp_path: Path) -> None:
    store = make()
    store.append("run-1", [line(1)])
    folder = tmp_path / "artifacts" / "logs" / "run-1"
    (folder / "zzz").write_bytes(b'\xff\xfe\n[1]\n{"other": 1}\n\n')
    assert store.read("run-1") == [line(1)]
    store.delete("run-1")
    assert store.read("run-1") == []


def test_a_store_that_does_not_answer_is_said(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = make()

    def away(*_: Any) -> Any:
        raise KitaruBackendError("the bucket does not answer")

    monkeypatch.setattr(type(store._store), "list", away)
    monkeypatch.setattr(type(store._store), "put", away)
    with pytest.raises(KitaruLogRetrievalError, match="run-1 cannot be read: the bucket does not answer"):
        store.read("run-1")
    with pytest.raises(KitaruBackendError, match="does not answer"):
        store.append("run-1", [line(1)])


@pytest.mark.parametrize("told", [None, {}, {"flavor": 3}, "s3"])
def test_it_needs_a_store(told: Any) -> None:
    with pytest.raises(KitaruUsageError, match="must name a flavor"):
        plugin_manager().flavor("log_store", "artifact-store").build({"artifact_store": told})


def test_a_store_that_nobody_supplies_is_said() -> None:
    told = {"flavor": "nowhere", "settings": {}}
    with pytest.raises((KitaruPluginError, KitaruUsageError), match="nowhere"):
        plugin_manager().flavor("log_store", "artifact-store").build({"artifact_store": told})

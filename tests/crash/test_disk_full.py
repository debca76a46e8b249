"""The disk fills up while a flow runs: nothing recorded is lost or run again, and it goes on once there is space."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.crash import kernels, owners
from tests.crash.processes import Forks
from tests.crash.worker import Order

from kitaru.journal.records import EntryKind, ExecutionQuery, ExecutionRecord

CALLS = 120
RESULT = repr(CALLS * 8_000)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 600 KB at ``store``."""
    point = tmp_path / "store"
    point.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", str(point)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small file system can only be mounted by root: {mounted.stderr.decode().strip()}")
    yield tmp_path
    subprocess.run(["umount", "--lazy", str(point)], check=True)


def _free(directory: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=64m", str(directory / "store")], check=True)


def _is_full(directory: Path) -> bool:
    about = os.statvfs(directory / "store")
    return about.f_bavail * about.f_frsize < 12_000


def _ran(directory: Path) -> Counter[str]:
    path = directory / "effects"
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return Counter(line[2] for line in lines if line[0] == "run")


def _look(directory: Path) -> tuple[ExecutionRecord, set[str]]:
    """The execution, and the labels of its recorded calls."""
    journal = kernels.open_journal(directory / "store")
    assert journal.info()["sound"]
    (record,) = journal.list(ExecutionQuery(), lambda owner: False)
    entries = journal.entries(record.exec_id)
    journal.close()
    assert not [entry for entry in entries if entry.kind in (EntryKind.FAILED, EntryKind.ATTEMPT_FAILED)]
    keys = [entry.key for entry in entries if entry.kind == EntryKind.COMPLETED]
    assert len(keys) == len(set(keys))
    return record, {str(int(key.rpartition("#")[2]) - 1) for key in keys}


def test_it_waits_for_space_and_goes_on(forks: Forks, small_disk: Path) -> None:
    process = forks.start(Order(str(small_disk), "filling", CALLS, store="store"))
    owners.until(lambda: _is_full(small_disk) or process.ended.is_set(), "the disk to be full")
    ran = 0

    def stands_still() -> bool:
        nonlocal ran
        before, ran = ran, sum(_ran(small_disk).values())
        time.sleep(0.2)
        return before == ran

    owners.until(stands_still, "the flow to stop at the full disk")
    assert not process.ended.is_set(), process.answer()
    _free(small_disk)
    assert process.wait() == 0
    assert process.answer().get("result") == RESULT, process.answer()
    assert set(_ran(small_disk).values()) == {1}, "a full disk is no reason to run a body again"


def test_it_is_interrupted_when_space_does_not_come_in_time(forks: Forks, small_disk: Path) -> None:
    first = forks.start(Order(str(small_disk), "filling", CALLS, store="store", lease_seconds=1.0))
    assert first.wait() == 0
    answer = first.answer()
    assert answer["error"] == "KitaruStateError" and "interrupted" in answer["text"], answer
    assert "full" in answer["text"], "the text does not say what was wrong"
    _free(small_disk)
    record, recorded = _look(small_disk)
    assert record.status == "running" and 10 < len(recorded) < CALLS
    ran = _ran(small_disk)
    assert set(ran) - recorded == set(list(ran)[len(recorded) :]) and len(set(ran) - recorded) <= 1
    _finish(forks, small_disk, record.exec_id, recorded)


def test_a_limit_on_file_sizes(forks: Forks, tmp_path: Path) -> None:
    """Like a quota: writes that would grow a file beyond 400 KB fail."""
    limited = Order(str(tmp_path), "filling", CALLS, store="store", lease_seconds=1.0, file_bytes_max=400_000)
    (tmp_path / "store").mkdir()
    first = forks.start(limited)
    assert first.wait() == 0
    answer = first.answer()
    assert answer["error"] == "KitaruStateError" and "interrupted" in answer["text"], answer
    record, recorded = _look(tmp_path)
    assert record.status == "running" and 10 < len(recorded) < CALLS
    _finish(forks, tmp_path, record.exec_id, recorded)


def _finish(forks: Forks, directory: Path, exec_id: str, recorded: set[str]) -> None:
    before = _ran(directory)
    last = forks.run(Order(str(directory), "filling", exec_id=exec_id, store="store"))
    assert last.answer().get("result") == RESULT, last.answer()
    after = _ran(directory)
    again = {label for label in after if after[label] > before[label] and label in recorded}
    assert not again, f"recorded and run again: {again}"
    assert max(after.values()) <= 2
    assert _look(directory)[0].status == "completed"

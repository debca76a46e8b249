"""The local log store beyond its contract: modes, torn lines, several processes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru_local.config import LocalLogStoreConfig
from kitaru_local.log_store import LocalLogStore


def line(number: int) -> LogRecord:
    return LogRecord(number, "INFO", f"line {number}", "stdout")


def store_at(folder: Path) -> LocalLogStore:
    return LocalLogStore(LocalLogStoreConfig(str(folder)))


def test_one_file_of_json_lines_per_execution(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store_at(tmp_path / "logs").append("run-1", [line(1), line(2)])
    finally:
        os.umask(before)
    file = tmp_path / "logs" / "run-1.jsonl"
    assert [json.loads(text)["message"] for text in file.read_text().splitlines()] == ["line 1", "line 2"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_reading_makes_nothing(tmp_path: Path) -> None:
    assert store_at(tmp_path / "logs").read("run-1") == []
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_torn_line_costs_only_itself(tmp_path: Path, cut: int) -> None:
    store = store_at(tmp_path)
    store.append("run-1", [line(1), line(2)])
    file = tmp_path / "run-1.jsonl"
    os.truncate(file, file.stat().st_size - cut)
    assert store.read("run-1") == [line(1)]
    store.append("run-1", [line(3)])
    found = store.read("run-1")
    assert found[0] == line(1) and found[-1] == line(3)
    assert len(found) == (3 if cut == 1 else 2)  # only the end of the line was lost: the line is whole


def test_foreign_lines_are_left_out(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.append("run-1", [line(1)])
    with (tmp_path / "run-1.jsonl").open("ab") as file:
        file.write(b'\n[1]\n{"other": 1}\nnull\n\xff\xfe\n')
    store.append("run-1", [line(2)])
    assert store.read("run-1") == [line(1), line(2)]


def test_fields_of_a_newer_version_are_ignored(tmp_path: Path) -> None:
    values: dict[str, Any] = {"timestamp": 1, "level": "INFO", "message": "x", "source": "stdout", "span": "new"}
    (tmp_path / "run-1.jsonl").write_text(json.dumps(values) + "\n")
    assert store_at(tmp_path).read("run-1") == [LogRecord(1, "INFO", "x", "stdout")]


def test_several_processes_append_whole_lines(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom kitaru.journal.log_records import LogRecord\n"
        "from kitaru_local.config import LocalLogStoreConfig\nfrom kitaru_local.log_store import LocalLogStore\n"
        "store = LocalLogStore(LocalLogStoreConfig(sys.argv[1]))\n"
        "for n in range(50): store.append('run-1', [LogRecord(n, 'INFO', sys.argv[2] * 5000, 'stdout')])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), letter]) for letter in "abc"]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0, 0]
    found = store_at(tmp_path).read("run-1")
    assert len(found) == 150
    assert {record.message for record in found} == {letter * 5000 for letter in "abc"}


@pytest.mark.parametrize("exec_id", ["", "../x", "a/b", ".hidden", "x" * 300, "nul\0", None])
def test_an_id_that_leads_elsewhere(tmp_path: Path, exec_id: Any) -> None:
    store = store_at(tmp_path)
    for use in (store.read, store.delete, lambda one: store.append(one, [line(1)])):
        with pytest.raises(KitaruUsageError, match="not the id of an execution"):
            use(exec_id)


def test_what_cannot_be_read_or_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "run-1.jsonl").mkdir()
    store = store_at(tmp_path)
    with pytest.raises(KitaruLogRetrievalError, match="Is a directory"):
        store.read("run-1")
    with pytest.raises(KitaruBackendError, match="Is a directory"):
        store.append("run-1", [line(1)])
    with pytest.raises(KitaruBackendError, match=r"cannot be removed"):
        store.delete("run-1")


@pytest.mark.parametrize("path", ["relative", "", 3])
def test_a_path_must_be_absolute(path: Any) -> None:
    with pytest.raises(ValueError, match="absolute"):
        LocalLogStoreConfig(path)


def test_following_reads_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru_local import log_store

    store = store_at(tmp_path)
    store.append("run-1", [line(number) for number in range(1000)])
    seen = len(store.read("run-1"))
    parsed: list[bytes] = []
    parse = log_store.log_lines.parse
    monkeypatch.setattr(log_store.log_lines, "parse", lambda text: parsed.append(text) or parse(text))
    store.append("run-1", [line(1000)])
    assert store.read("run-1", after=seen) == [line(1000)]
    assert store.read("run-1", after=seen + 1) == []
    assert len(parsed) == 1
    assert len(store.read("run-1", after=10)) == 991, "an earlier place is found again"
    store.delete("run-1")
    store.append("run-1", [line(1), line(2)])
    assert store.read("run-1", after=1) == [line(2)], "a new file is not read with the old one's cursor"

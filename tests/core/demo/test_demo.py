"""``kitaru demo``: the flow, the kill, the second process, and what the command says of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kitaru import KitaruClient
from kitaru.cli.main import cli as command
from kitaru.demo import flow, story
from kitaru.errors import KitaruUsageError
from kitaru.statuses import CallStatus, ExecutionStatus

TEXT = """The harbour keeps its lights burning through every winter storm. Ships find the harbour by these lights.

When a storm takes one lantern, the keeper lights another lantern before dawn. Nobody counts the lanterns."""


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A folder with six texts and four things that are none."""
    folder = tmp_path / "library"
    (folder / "deep").mkdir(parents=True)
    for number in range(5):
        (folder / f"text{number}.txt").write_text(f"{TEXT} Volume {number} ends here.")
    (folder / "deep/module.py").write_text(f'"""{TEXT}"""\nSECRET = "not documentation"\n')
    (folder / "image.bin").write_bytes(b"\x89PNG\0\0\0")
    (folder / "huge.txt").write_text("x" * (flow.BYTES_MAX + 1))
    (folder / ".hidden").write_text("hidden")
    (folder / "dangling.txt").symlink_to(tmp_path / "nowhere")
    return folder


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["demo", *arguments])


def test_the_flow_reads_extracts_and_reports(library: Path, tmp_path: Path) -> None:
    report = tmp_path / "out" / "report.md"
    handle = flow.research.run(folder=str(library), report=str(report), pace=0.0)
    assert handle.wait() == str(report)
    text = report.read_text()
    assert text.startswith("# Research report") and "6 files" in text and "harbour" in text
    assert "The harbour keeps its lights burning through every winter storm." in text
    assert "image.bin: not a text file" in text and "huge.txt: larger than 1000 kB" in text
    assert "hidden" not in text and "SECRET" not in text
    names = [call.name for call in KitaruClient().executions.get(handle.exec_id).checkpoints]
    assert sorted(names) == sorted(["list_files", *["read_file", "extract"] * 6, "summarise", "write_report"])


def test_files_are_limited_in_number_and_unreadable_ones_are_reported(
    library: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert flow.why_not(library / "dangling.txt") == "not a file, or a link to nowhere"
    assert flow.find_files(str(library)).skipped.keys() == {
        str(library / name) for name in ("image.bin", "huge.txt", "dangling.txt")
    }
    monkeypatch.setattr(flow, "FILES_MAX", 2)
    found = flow.find_files(str(library))
    assert len(found.files) == 2 and found.skipped[str(library)] == "only the first 2 texts were read"
    monkeypatch.setattr(flow, "LOOKED_AT_MAX", 1)
    assert found.files != flow.find_files(str(library)).files


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_reported(library: Path) -> None:
    (library / "text0.txt").chmod(0)
    assert flow.find_files(str(library)).skipped[str(library / "text0.txt")] == "unreadable (Permission denied)"


def test_text_that_is_not_utf_8_is_read_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(TEXT.encode() + b" caf\xe9")
    handle = flow.research.run(folder=str(tmp_path), report=str(tmp_path / "r.md"), pace=0.0)
    assert Path(handle.wait()).exists()


def test_the_default_text_exists_on_this_python() -> None:
    assert len(story.check_folder(None).files) == len(flow.STANDARD_LIBRARY)


@pytest.mark.parametrize("make", ["empty", "missing", "only binary"])
def test_a_folder_without_text_is_a_clear_error(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "folder"
    if make != "missing":
        folder.mkdir()
    if make == "only binary":
        (folder / "data.bin").write_bytes(b"\0")
    result = run(str(folder), "-o", "json")
    assert result.exit_code == 1 and result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert error["type"] == "KitaruUsageError" and str(folder) in error["message"]
    assert make != "only binary" or "data.bin: not a text file" in error["message"]
    assert KitaruClient().executions.list() == []


def test_a_worker_is_killed_and_another_process_continues(library: Path, own_store: Path) -> None:
    result = run(str(library), "--output", "json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)["item"]
    assert told["status_after_kill"] == "interrupted" and told["status"] == "completed"
    assert told["killed_pid"] != told["resumed_pid"] and os.getpid() not in (told["killed_pid"], told["resumed_pid"])
    with pytest.raises(ProcessLookupError):
        os.kill(told["killed_pid"], 0)
    fates = [row["fate"] for row in told["rows"]]
    assert fates.count("reused") == told["reused"] >= 4
    assert "ran again" in fates and "ran" in fates
    assert told["reused"] + told["ran"] == len(told["rows"]) == 15
    assert told["saved_seconds"] > 0
    report = Path(told["report"])
    assert report.is_relative_to(own_store) and "6 files" in report.read_text()
    found = KitaruClient().executions.get(told["exec_id"])
    assert found.status is ExecutionStatus.COMPLETED and found.owners_lost == 1
    attempts = {call.invocation_id: [one.status for one in call.attempts] for call in found.checkpoints}
    for row in told["rows"]:
        cut_off = [CallStatus.INTERRUPTED] if row["fate"] == "ran again" else []
        assert attempts[row["call"]] == [*cut_off, CallStatus.COMPLETED]


def test_a_single_file_is_enough(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(TEXT)
    result = run(str(tmp_path), "-o", "json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["item"]["status_after_kill"] == "interrupted"


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text(TEXT)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0")
    result = run(str(tmp_path))
    assert result.exit_code == 0, result.stderr
    assert "on 1 file." in result.stdout and "picture.png: not a text file" in result.stdout


def test_the_story_on_default_text_for_people() -> None:
    result = run()
    assert result.exit_code == 0, result.stderr
    shown = result.stdout
    (execution,) = KitaruClient().executions.list()
    for said in ("SIGKILL", "interrupted", f"kitaru executions resume {execution.exec_id}", "reused", "ran again"):
        assert said in shown
    assert "calls were reused" in shown and "Report:" in shown and "kitaru demo --show" in shown
    assert "\x1b" not in shown


def test_show_prints_the_flow() -> None:
    source = Path(flow.__file__).read_text()
    assert run("--show").stdout == source
    assert json.loads(run("--show", "-o", "json").stdout)["item"]["source"] == source


def test_a_copy_runs_by_itself_and_is_never_overwritten(tmp_path: Path, library: Path) -> None:
    copied = run("--copy")
    assert copied.exit_code == 0 and "research.py" in copied.stdout
    target = tmp_path / "research.py"
    assert target.read_text() == Path(flow.__file__).read_text()
    target.write_text(target.read_text() + "\n# mine\n")
    again = run("--copy")
    assert again.exit_code == 1 and "left as it is" in again.stderr and target.read_text().endswith("# mine\n")
    arguments = json.dumps({"folder": str(library), "pace": 0})
    done = subprocess.run(
        [sys.executable, "-m", "kitaru.cli.main", "run", "research.py:research", "--args", arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "research-report.md").exists() and "research-report.md" in done.stdout
    elsewhere = run("--copy", str(tmp_path / "library"))
    assert elsewhere.exit_code == 0 and (library / "research.py").exists()
    assert run("--copy", str(tmp_path / "no" / "such" / "research.py")).exit_code == 1


def test_a_journal_that_only_one_process_can_open_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITARU_JOURNAL_URL", "memory:")
    result = run()
    assert result.exit_code == 1 and "KITARU_JOURNAL_URL" in result.stderr


def test_check_folder_names_what_it_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(KitaruUsageError, match="is not a folder"):
        story.check_folder(str(tmp_path / "nothing"))

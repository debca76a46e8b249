"""``executions statistics``, ``export``, ``import``, ``logs`` with its filters, and ``clean``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.core.test_waits import until

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.cli.main import cli
from kitaru.statuses import ExecutionStatus


@checkpoint
def step(number: int) -> int:
    print("number", number)
    kitaru.log(cost=0.5)
    return number


@flow
def counting() -> int:
    return step(1) + step(2)


@pytest.fixture
def done() -> str:
    handle = counting.run()
    handle.wait()
    return handle.exec_id


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(arguments), input=given)


def test_statistics(done: str) -> None:
    shown = run("executions", "statistics")
    assert shown.exit_code == 0 and "counting" in shown.stdout and "By day" in shown.stdout
    item = json.loads(run("executions", "statistics", "--since", "1d", "-o", "json").stdout)["item"]
    assert item["total"]["executions"] == 1 and item["total"]["cost"] == 1.0
    assert run("executions", "statistics", "--since", "never").exit_code == 1


def test_log_filters(done: str) -> None:
    assert run("executions", "logs", done, "--tail", "1").stdout == "number 2\n"
    assert run("executions", "logs", done, "--limit", "1").stdout == "number 1\n"
    assert run("executions", "logs", done, "--call", "step#2", "--since", "1h").stdout == "number 2\n"
    assert "No log entries" in run("executions", "logs", done, "--level", "error").stdout
    assert "number 2\n" in run("executions", "logs", done, "--follow", "--tail", "1").stdout
    assert run("executions", "logs", done, "--tail", "0").exit_code == 1


def test_export_and_import(done: str, tmp_path: Path) -> None:
    file = tmp_path / "one.kitaru"
    assert done in run("executions", "export", done, str(file)).stdout and file.exists()
    assert "counting: completed" in run("executions", "import", str(file)).stdout
    item = json.loads(run("executions", "import", str(file), "-o", "json").stdout)["item"]
    assert item["exec_id"] == done and item["checkpoint_count"] == 2
    file.write_bytes(b"not one")
    refused = run("executions", "import", str(file))
    assert refused.exit_code == 1 and "not imported" in refused.stderr


def test_clean_asks_first(done: str) -> None:
    assert "Executions to remove: 0" in run("clean", "--dry-run").stdout, "the default leaves the last 30 days"
    looked = run("clean", "--older-than", "0s", "--dry-run")
    assert "Executions to remove: 1" in looked.stdout
    asked = run("clean", "--older-than", "0s", given="n\n")
    assert asked.exit_code == 0 and "Remove 1 execution for good?" in asked.stdout
    assert KitaruClient().executions.get(done)
    assert run("clean", "--older-than", "0s", "-o", "json").exit_code == 1
    removed = json.loads(run("clean", "--older-than", "0s", "--yes", "-o", "json").stdout)["item"]
    assert removed == {"removed": 1, "kept": 0, "artifacts": 0}
    assert KitaruClient().executions.list() == []
    assert run("clean", "--status", "running", "--yes").exit_code == 1


def test_clean_says_what_it_removed_and_what_others_need(done: str) -> None:
    replayed = KitaruClient().executions.replay(done)
    until(lambda: KitaruClient().executions.status(replayed.exec_id) is ExecutionStatus.COMPLETED)
    kept = run("clean", "--keep-last", "1", "--yes")
    assert kept.exit_code == 0, kept.output
    assert "Executions removed: 0\n  Kept because others need them: 1\n  Large values removed: 0\n" in kept.stdout
    removed = run("clean", "--older-than", "0s", "--yes")
    assert "Executions removed: 2\n  Large values removed: " in removed.stdout

"""``kitaru executions``: listing, details, logs, resume, retry, cancel."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kitaru import KitaruClient, checkpoint, flow
from kitaru.cli.main import cli as command
from kitaru.statuses import ExecutionStatus

from .conftest import Cli, Gated, until


@checkpoint
def shout(text: str) -> str:
    print(f"shouting \x1b]0;title\x07{text}")
    return text.upper()


@checkpoint
def refuse() -> None:
    raise ValueError("no\x1b[2J")


@flow
def shouting(text: str) -> str:
    result: str = shout(text)
    return result


@flow
def refusing() -> None:
    refuse()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def item(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["item"]


@pytest.fixture
def done() -> str:
    handle = shouting.run("hello")
    handle.wait()
    return handle.exec_id


def test_list_as_table_and_as_envelope(done: str) -> None:
    shown = run("executions", "list")
    assert shown.exit_code == 0
    assert done in shown.stdout and "shouting" in shown.stdout and "completed" in shown.stdout
    envelope = json.loads(run("executions", "list", "--output", "json").stdout)
    assert envelope["command"] == "executions.list" and envelope["count"] == 1
    assert envelope["items"][0]["exec_id"] == done
    assert "checkpoint_count" not in envelope["items"][0]


def test_an_empty_list_says_so() -> None:
    assert "none found" in run("executions", "list").stdout
    assert json.loads(run("executions", "list", "-o", "json").stdout) == {
        "command": "executions.list",
        "items": [],
        "count": 0,
    }


def test_list_filters_and_pages(done: str) -> None:
    second = shouting.run("two")
    second.wait()
    page = json.loads(run("executions", "list", "--limit", "1", "-o", "json").stdout)
    assert [one["exec_id"] for one in page["items"]] == [second.exec_id]
    assert f"--cursor {second.exec_id}" in run("executions", "list", "--limit", "1").stdout
    rest = json.loads(run("executions", "list", "--cursor", second.exec_id, "-o", "json").stdout)
    assert [one["exec_id"] for one in rest["items"]] == [done]
    assert json.loads(run("executions", "list", "--status", "failed", "-o", "json").stdout)["count"] == 0
    assert json.loads(run("executions", "list", "--flow", "shouting", "-o", "json").stdout)["count"] == 2


def test_get_shows_the_calls_and_the_way_on(done: str) -> None:
    shown = run("executions", "get", done).stdout
    assert "Status: completed" in shown and "completed   shout" in shown
    assert "Result (str):\n    HELLO" in shown
    found = item(run("executions", "get", done, "-o", "json"))
    assert found["exec_id"] == done and found["checkpoints"][0]["attempts"][0]["status"] == "completed"
    assert found["result"] == {"value": "HELLO", "value_type": "str"}


def test_stored_text_cannot_steer_the_terminal(done: str) -> None:
    failed = refusing.run()
    list(KitaruClient().executions.watch(failed.exec_id, interval=0.01))
    shown = run("executions", "get", failed.exec_id).stdout
    assert "ValueError: no" in shown and f"kitaru executions retry {failed.exec_id}" in shown
    logs = run("executions", "logs", done).stdout
    assert "shouting" in logs and "hello" in logs
    assert "\x1b" not in shown + logs and "\x07" not in logs


def test_text_that_the_terminal_cannot_show_is_escaped(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = shouting.run("caf\u00e9 \u2588 \ud800")
    handle.wait()
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for arguments in (["logs", handle.exec_id], ["get", handle.exec_id], ["logs", handle.exec_id, "-o", "json"]):
        answer = cli("executions", *arguments)
        assert answer.code == 0, answer.err


def test_logs_in_every_form(done: str) -> None:
    assert "[shout]" not in run("executions", "logs", done).stdout
    verbose = run("executions", "logs", done, "-vv").stdout
    assert "INFO" in verbose and "[shout]" in verbose
    assert "checkpoint: shout" in run("executions", "logs", done, "--grouped").stdout
    envelope = json.loads(run("executions", "logs", done, "-o", "json").stdout)
    assert envelope["count"] == 1 and envelope["items"][0]["checkpoint_name"] == "shout"
    nothing = run("executions", "logs", done, "--checkpoint", "other")
    assert nothing.exit_code == 0 and done in nothing.stdout


def test_followed_logs_end_with_the_execution(done: str) -> None:
    followed = run("executions", "logs", done, "--follow")
    assert followed.exit_code == 0 and "[Execution completed successfully]" in followed.stdout
    lines = [json.loads(line) for line in run("executions", "logs", done, "--follow", "-o", "json").stdout.splitlines()]
    assert [line["event"] for line in lines] == ["log", "terminal"]
    assert lines[-1]["item"]["status"] == "completed"
    failed = refusing.run()
    list(KitaruClient().executions.watch(failed.exec_id, interval=0.01))
    ended = run("executions", "logs", failed.exec_id, "--follow")
    assert ended.exit_code == 1 and "[Execution failed: no" in ended.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["get", "nope"], "'nope'"),
        (["logs", "nope"], "'nope'"),
        (["logs", "x", "--grouped"], "--grouped"),
        (["logs", "x", "--interval", "0"], "--interval"),
        (["resume", "nope"], "'nope'"),
        (["retry", "nope"], "'nope'"),
        (["cancel", "nope"], "'nope'"),
        (["list", "--limit", "0"], "limit=0"),
        (["list", "--status", "odd"], "allowed are"),
        (["list", "--cursor", "odd"], "cursor='odd'"),
    ],
)
def test_wrong_use_is_one_json_error(arguments: list[str], said: str) -> None:
    result = run("executions", *arguments, "--output", "json")
    assert result.exit_code == 1 and result.stdout == ""
    envelope = json.loads(result.stderr)
    assert envelope["command"] == f"executions.{arguments[0]}" and said in envelope["error"]["message"]


def test_resume_and_retry_of_a_completed_execution_are_refused(done: str) -> None:
    for verb in ("resume", "retry"):
        result = run("executions", verb, done)
        assert result.exit_code == 1 and result.stderr.startswith("Error:")
        assert f"{done} is completed" in result.stderr


def test_a_bad_output_format_is_a_text_error() -> None:
    result = run("executions", "list", "--output", "yaml")
    assert result.exit_code == 1 and "--output must be text or json" in result.stderr


def test_retry_runs_only_what_failed(cli: Cli, flows: Path, tmp_path: Path) -> None:
    path = tmp_path / "wanted"
    failed = cli("run", f"{flows}:fragile", "--args", json.dumps({"path": str(path)}), "-o", "json")
    exec_id = failed.error["exec_id"]
    assert "retry" in cli("executions", "resume", exec_id).err
    path.touch()
    answer = cli("executions", "retry", exec_id, "-o", "json", cwd="/")
    assert answer.code == 0, answer.err
    assert answer.json["item"]["result"]["value"] == "there"
    attempts = {call["name"]: len(call["attempts"]) for call in answer.json["item"]["execution"]["checkpoints"]}
    assert attempts == {"say": 1, "fail_unless": 2}
    assert "saying before" not in answer.err


def test_cancel_reaches_a_flow_in_another_process(cli: Cli, flows: Path, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger"
    arguments = json.dumps({"ledger": str(ledger)})
    process = cli.start("run", f"{flows}:endless", "--args", arguments, "--idempotency-key", "k")
    until(lambda: ledger.exists() or process.poll() is not None)
    exec_id = KitaruClient().executions.find("endless", "k")
    assert exec_id is not None
    result = run("executions", "cancel", exec_id)
    assert result.exit_code == 0 and exec_id in result.stdout
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "was cancelled" in err
    found = KitaruClient().executions.get(exec_id)
    assert found.status is ExecutionStatus.CANCELLED
    assert len(found.checkpoints) == len(ledger.read_text().split())


def test_two_resumes_have_one_winner_and_the_other_a_clear_error(cli: Cli, start_gated: Callable[..., Gated]) -> None:
    gated = start_gated()
    gated.process.send_signal(signal.SIGKILL)
    gated.process.wait()
    resumes = [cli.start("executions", "resume", gated.exec_id, "-o", "json") for _ in range(2)]
    first = None
    while first is None:
        first = next((one for one in resumes if one.poll() is not None), None)
    _, err = first.communicate()
    assert first.returncode == 1 and "KitaruLeaseError" in err and gated.exec_id in err
    gated.gate.touch()
    winner = next(one for one in resumes if one is not first)
    out, _ = winner.communicate(timeout=60)
    assert winner.returncode == 0 and json.loads(out)["item"]["status"] == "completed"
    assert gated.calls() == ["1", "2", "3"]

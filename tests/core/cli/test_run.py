"""``kitaru run``: results, failures, wrong use, Ctrl-C, and being found again."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from kitaru import KitaruClient
from kitaru.statuses import ExecutionStatus

from .conftest import Cli, Gated, until

GREET = json.dumps({"text": "hi", "times": 2})


def test_text_has_the_result_on_stdout_and_progress_on_stderr(cli: Cli, flows: Path) -> None:
    answer = cli("run", f"{flows}:greet", "--args", GREET)
    assert answer.code == 0
    *printed, result = answer.out.partition("[")[0].splitlines(), answer.out[answer.out.index("[") :]
    assert printed == [["greeting", "saying hi", "from a shell", "saying hi", "from a shell"]]
    assert json.loads(result) == [{"text": "HI"}, {"text": "HI"}]
    exec_id = re.match(r"Execution (\S+)", answer.err)
    assert exec_id is not None
    assert re.search(r"completed +say +", answer.err) and re.search(r"completed +say#2 +", answer.err)
    assert KitaruClient().executions.get(exec_id[1]).status is ExecutionStatus.COMPLETED


def test_json_keeps_stdout_for_the_envelope_and_sends_user_output_to_stderr(cli: Cli, flows: Path) -> None:
    answer = cli("run", f"{flows}:greet", "--args", GREET, "--output", "json")
    assert answer.code == 0
    item = answer.json["item"]
    assert answer.json["command"] == "run" and item["status"] == "completed"
    assert item["result"] == {
        "value": [{"text": "HI"}, {"text": "HI"}],
        "value_format": "json",
        "value_type": "builtins.list",
    }
    assert [call["invocation_id"] for call in item["execution"]["checkpoints"]] == ["say", "say#2"]
    assert answer.err.count("saying hi") == 2 and answer.err.count("from a shell") == 2
    logged = KitaruClient().executions.logs(item["exec_id"])
    assert [entry.message for entry in logged] == ["greeting", "saying hi", "saying hi"]


def test_a_failing_flow_exits_with_1_and_names_the_way_on_without_terminal_escapes(cli: Cli, flows: Path) -> None:
    arguments = json.dumps({"path": "/no/such/file"})
    answer = cli("run", f"{flows}:fragile", "--args", arguments)
    assert answer.code == 1
    assert "LookupError" in answer.err and "not there" in answer.err and "kitaru executions retry" in answer.err
    assert "\x1b" not in answer.err + answer.out
    as_json = cli("run", f"{flows}:fragile", "--args", arguments, "-o", "json")
    assert as_json.code == 1 and as_json.out == ""
    assert as_json.error["type"] == "KitaruUserCodeError"
    assert KitaruClient().executions.get(as_json.error["exec_id"]).status is ExecutionStatus.FAILED


def test_the_same_idempotency_key_gives_the_same_execution(cli: Cli, flows: Path) -> None:
    first = cli("run", f"{flows}:greet", "--args", GREET, "--idempotency-key", "k", "-o", "json").json["item"]
    second = cli("run", f"{flows}:greet", "--args", GREET, "--idempotency-key", "k", "-o", "json").json["item"]
    assert first["exec_id"] == second["exec_id"] and first["result"] == second["result"]
    other = cli("run", f"{flows}:greet", "--args", '{"text": "bye"}', "--idempotency-key", "k", "-o", "json")
    assert other.code == 1 and "`text`" in other.error["message"]


def test_a_module_is_found_from_the_working_directory(cli: Cli, flows: Path) -> None:
    answer = cli("run", "words_flow:greet", "--args", '{"text": "hi"}', "-o", "json", cwd=flows.parent)
    assert answer.code == 0 and answer.json["item"]["target"] == "words_flow:greet"


@pytest.mark.parametrize(
    ("arguments", "said", "kind"),
    [
        (["{file}:greet", "--args", '{"text": }'], "line 1, column 10", "KitaruUsageError"),
        (["{file}:greet", "--args", '{\n  "text" "a"\n}'], "line 2, column 10", "KitaruUsageError"),
        (["{file}:greet", "--args", "[1]"], "takes a JSON object", "KitaruUsageError"),
        (["{file}:greet", "--args", "{}"], "missing a required argument: 'text'", "KitaruUsageError"),
        (["{file}:nothing"], "Its flows: crashing, endless, fragile, gated, greet", "KitaruUsageError"),
        (["{file}:say"], "not a flow object", "KitaruUsageError"),
        (["missing.py:greet"], "does not exist", "KitaruUsageError"),
        (["no_colon"], "<module_or_file>:<flow_name>", "KitaruUsageError"),
        (["{file}:greet", "--args", '{"text": "a"}', "--stack", "nowhere"], "nowhere", None),
    ],
)
def test_wrong_use_is_one_json_error_and_starts_nothing(
    cli: Cli, flows: Path, arguments: list[str], said: str, kind: str | None
) -> None:
    answer = cli("run", *[one.replace("{file}", str(flows)) for one in arguments], "--output", "json")
    assert answer.code == 1 and answer.out == ""
    assert said in answer.error["message"]
    assert kind is None or answer.error["type"] == kind
    assert KitaruClient().executions.list() == []


def test_parse_errors_use_the_json_envelope_too(cli: Cli) -> None:
    for arguments in (["run", "-o", "json"], ["run", "--nonsense", "--output=json"], ["nonsense", "-o", "json"]):
        answer = cli(*arguments)
        assert answer.code == 2 and answer.out == ""
        assert answer.error["message"] and answer.error["type"]
    assert "Usage:" in cli("run").err


def test_a_killed_run_is_resumed_from_another_directory(
    cli: Cli, start_gated: Callable[..., Gated], tmp_path: Path
) -> None:
    gated = start_gated()
    gated.process.kill()
    gated.process.wait()
    assert KitaruClient().executions.get(gated.exec_id).status is ExecutionStatus.INTERRUPTED
    gated.gate.touch()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    answer = cli("executions", "resume", gated.exec_id, "--output", "json", cwd=elsewhere)
    assert answer.code == 0, answer.err
    assert answer.json["item"]["result"]["value"] == 6
    assert gated.calls() == ["1", "2", "3"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_first_signal_lets_go_and_says_how_to_resume(
    cli: Cli, start_gated: Callable[..., Gated], number: signal.Signals
) -> None:
    gated = start_gated("one", "-o", "json")
    gated.process.send_signal(number)
    assert gated.process.stderr is not None
    until(lambda: "again to exit at once" in gated.process.stderr.readline())  # type: ignore[union-attr]
    gated.gate.touch()  # the running checkpoint ends and is recorded; no other one starts
    _, err = gated.process.communicate(timeout=60)
    assert gated.process.returncode == 130
    assert f"kitaru executions resume {gated.exec_id}" in err
    found = KitaruClient().executions.get(gated.exec_id)
    assert found.status is ExecutionStatus.INTERRUPTED
    assert [call.status.value for call in found.checkpoints] == ["completed"] * 3
    assert cli("executions", "resume", gated.exec_id).code == 0
    assert gated.calls() == ["1", "2", "3"]


def test_a_second_signal_exits_at_once(start_gated: Callable[..., Gated]) -> None:
    gated = start_gated("one", "-o", "json")
    gated.process.send_signal(signal.SIGINT)
    assert gated.process.stderr is not None
    until(lambda: "again to exit at once" in gated.process.stderr.readline())  # type: ignore[union-attr]
    gated.process.send_signal(signal.SIGINT)
    gated.process.communicate(timeout=60)
    assert gated.process.returncode == 130 and not gated.gate.exists()
    assert KitaruClient().executions.get(gated.exec_id).status is ExecutionStatus.INTERRUPTED


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run ``kitaru`` with a terminal as its streams; gives exit code and everything it wrote."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ["TERM"] = "xterm-256color"
        os.execv(sys.executable, [sys.executable, "-m", "kitaru.cli.main", *arguments])
    chunks: list[bytes] = []
    while select.select([terminal], [], [], 60)[0]:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), b"".join(chunks).decode()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_terminal_shows_live_progress_and_what_the_flow_prints_is_still_captured(flows: Path) -> None:
    code, shown = on_a_terminal("run", f"{flows}:greet", "--args", GREET)
    assert code == 0
    assert re.search(r"greet  (running|completed)", shown) and "saying hi" in shown and "HI" in shown
    (execution,) = KitaruClient().executions.list()
    logged = KitaruClient().executions.logs(execution.exec_id)
    assert [entry.message for entry in logged] == ["greeting", "saying hi", "saying hi"]

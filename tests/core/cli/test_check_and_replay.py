"""``kitaru check`` and ``kitaru executions replay``, in real processes, on code that changes between them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kitaru import KitaruClient

from .conftest import Cli

CODE = """
import os, sys
from kitaru import checkpoint, flow

@checkpoint
def fetch(topic):
    print("fetching", topic)
    return topic.upper()

@checkpoint
def write(notes):
    print("writing", notes)
    if os.path.exists("broken"):
        raise ValueError("no pen")
    return f"about {notes}"

@flow
def report(topic="rust"):
    print("in the body")
    return write(fetch(topic))
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    file = tmp_path / "reporting.py"
    file.write_text(CODE)
    return file


@pytest.fixture
def failed(code: Path, cli: Cli) -> str:
    """The id of an execution that failed at its second call."""
    (code.parent / "broken").touch()
    assert cli("run", "reporting.py:report").code == 1
    (code.parent / "broken").unlink()
    return KitaruClient().executions.latest().exec_id


def test_check_says_where_it_would_continue_and_writes_nothing(failed: str, cli: Cli) -> None:
    before = KitaruClient().executions.get(failed)
    answer = cli("check")
    assert (answer.code, answer.err) == (0, "")
    assert "continues" in answer.out
    assert "would continue here: write" in answer.out
    assert KitaruClient().executions.get(failed) == before
    one = cli("check", failed, "--output", "json").json
    assert one["count"] == 1
    assert one["items"][0] == {
        "exec_id": failed, "flow_name": "report", "status": "failed", "verdict": "continues", "fits": True,
        "message": "would continue here: write", "place": "write", "differences": [],
    }  # fmt: skip


def test_check_names_a_divergence(failed: str, code: Path, cli: Cli) -> None:
    code.write_text(CODE.replace("fetch(topic))", "fetch(topic + '!'))"))
    answer = cli("check", "--flow", "report")
    assert answer.code == 1
    assert "diverges" in answer.out
    assert "checkpoint `fetch`" in answer.out
    assert 'argument `topic`: recorded "rust", now "rust!"' in answer.out
    report = KitaruClient().executions.check(failed)
    assert (report.verdict, report.fits, report.place) == ("diverges", False, "fetch")
    assert [(one.argument, one.recorded, one.now) for one in report.differences] == [("topic", '"rust"', '"rust!"')]
    assert cli("check", "--flow", "other").out == "No open executions to check.\n"


def test_check_reports_code_that_cannot_be_imported(failed: str, code: Path, cli: Cli) -> None:
    code.write_text("import no_such_module\n")
    answer = cli("check", "--output", "json")
    assert answer.code == 1
    (item,) = answer.json["items"]
    assert item["verdict"] == "unloadable"
    assert "no_such_module" in item["message"]
    assert KitaruClient().executions.status(failed) == "failed"


def test_a_check_that_takes_too_long_or_dies(failed: str, code: Path, cli: Cli) -> None:
    code.write_text(CODE.replace('print("in the body")', "__import__('threading').Event().wait()"))
    answer = cli("check", failed, "--timeout", "2")
    assert answer.code == 1
    assert "not done within 2" in answer.err
    code.write_text(CODE.replace('print("in the body")', "print('oops', file=sys.stderr); os._exit(3)"))
    answer = cli("check", failed)
    assert answer.code == 1
    assert "exit code 3" in answer.err
    assert "oops" in answer.err


def test_nothing_to_check(code: Path, cli: Cli) -> None:
    assert cli("run", "reporting.py:report").code == 0
    assert cli("check").out == "No open executions to check.\n"
    done = cli("check", KitaruClient().executions.latest().exec_id)
    assert done.code == 1
    assert "is completed" in done.err


def test_replay_reuses_and_follows_to_the_end(failed: str, cli: Cli) -> None:
    answer = cli("executions", "replay", failed)
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "about RUST"
    assert "fetching" not in answer.out + answer.err
    new = KitaruClient().executions.latest()
    assert f"Replayed execution: {new.exec_id}" in answer.err
    assert new.original_exec_id == failed
    shown = cli("executions", "get", new.exec_id).out
    assert f"Replay of: {failed}" in shown
    assert "(reused)" in shown


def test_replay_with_inputs_overrides_and_a_frontier(failed: str, cli: Cli) -> None:
    answer = cli("executions", "replay", failed, "--args", '{"topic": "go"}', "--output", "json")
    assert answer.json["item"]["result"]["value"] == "about GO"
    overrides = json.dumps({"checkpoint.fetch": "nothing"})
    answer = cli("executions", "replay", failed, "--overrides", overrides, "-o", "json")
    assert answer.json["item"]["result"]["value"] == "about nothing"
    assert answer.json["item"]["execution"]["original_exec_id"] == failed
    answer = cli("executions", "replay", failed, "--from", "fetch")
    assert "fetching rust" in answer.out + answer.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--from", "nope"), "Unknown checkpoint selector"),
        (("--overrides", '{"x": 1}'), "Override keys must start with `checkpoint.`"),
        (("--overrides", "[1]"), "JSON object"),
        (("--args", "{"), "Invalid JSON for `--args`"),
        (("--args", '{"nope": 1}'), "do not fit flow `report`"),
    ],
)
def test_bad_replays(failed: str, cli: Cli, arguments: tuple[str, ...], text: str) -> None:
    answer = cli("executions", "replay", failed, *arguments)
    assert answer.code == 1
    assert text in answer.err
    assert KitaruClient().executions.latest().exec_id == failed

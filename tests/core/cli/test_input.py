"""``kitaru executions input``: answering from the command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.core.test_waits import asked, asks, until

from kitaru import FlowHandle, KitaruClient, flow, wait
from kitaru.cli.main import cli as command
from kitaru.errors import KitaruWaitingError


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, ["executions", *arguments])


@pytest.fixture
def waiting() -> FlowHandle:
    handle = asks.run("bool", name="approve", question="Go \x1b[2Jon?")
    asked(handle)
    return handle


@flow
async def two() -> Any:
    import asyncio

    return await asyncio.gather(wait(schema=int, name="a"), wait(schema=int, name="b"))


def test_it_answers_the_only_wait(waiting: FlowHandle) -> None:
    done = run("input", waiting.exec_id, "--value", "true")
    assert done.exit_code == 0 and f"Resolved wait input for execution: {waiting.exec_id}" in done.stdout
    assert waiting.wait(timeout=30) is True


def test_json_output_is_the_whole_execution(waiting: FlowHandle) -> None:
    done = run("input", waiting.exec_id, "--wait", "approve", "--value", "false", "-o", "json")
    answer = json.loads(done.stdout)
    assert answer["command"] == "executions.input" and answer["item"]["exec_id"] == waiting.exec_id
    assert waiting.wait(timeout=30) is False


def test_it_aborts(waiting: FlowHandle) -> None:
    done = run("input", waiting.exec_id, "--abort")
    assert done.exit_code == 0 and "Aborted wait for execution" in done.stdout
    until(lambda: waiting.status == "cancelled")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "EXEC_ID is missing"),
        (["ID"], "--value is missing"),
        (["ID", "--abort", "--value", "1"], "exclude each other"),
        (["ID", "--value", "{"], r"Invalid JSON for `--value`: .*\(line 1, column 2\)"),
        (["ID", "--value", "yes"], "A text needs quotes"),
        (["ID", "--value", '"yes"'], r"at \$: 'yes' is not of type 'boolean'"),
        (["ID", "--value", "true", "--wait", "deny"], "no pending wait 'deny'. Pending are: `approve`"),
        (["nobody", "--value", "true"], "no execution 'nobody'"),
        (["ID", "-i", "--value", "1"], "leave --value out"),
        (["ID", "-i", "--abort"], "leave --abort out"),
        (["ID", "-i", "-o", "json"], "leave --output json out"),
        (["ID", "-i"], "needs a terminal"),
    ],
)
def test_what_does_not_fit_is_an_error_and_the_wait_stays_open(
    waiting: FlowHandle, arguments: list[str], told: str
) -> None:
    import re

    done = run("input", *(waiting.exec_id if one == "ID" else one for one in arguments))
    assert done.exit_code == 1 and re.search(told, done.stderr), done.stderr
    assert asked(waiting) == ["approve"]


def test_several_waits_must_be_named() -> None:
    handle = two.run()
    asked(handle, 2)
    assert "2 pending waits" in run("input", handle.exec_id, "--value", "1").stderr
    for name, value in (("b", "2"), ("a", "1")):
        assert run("input", handle.exec_id, "--wait", name, "--value", value).exit_code == 0
    assert handle.wait(timeout=30) == [1, 2]
    assert "has no pending waits" in run("input", handle.exec_id, "--value", "1").stderr


def test_no_resume_leaves_it_answered() -> None:
    handle = asks.run("bool", timeout=0)
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    assert run("input", handle.exec_id, "--value", "true", "--no-resume").exit_code == 0
    execution = KitaruClient().executions.get(handle.exec_id)
    assert execution.status == "waiting" and execution.pending_wait is None


def test_get_shows_the_question_and_the_command(waiting: FlowHandle) -> None:
    shown = run("get", waiting.exec_id).stdout
    assert "Pending wait: approve" in shown and "Wait question: Go [2Jon?" in shown
    assert f"kitaru executions input {waiting.exec_id} --wait approve --value JSON" in shown
    assert waiting.exec_id in run("list", "--status", "waiting").stdout


def test_interactively_on_a_terminal(waiting: FlowHandle) -> None:
    other = two.run()
    asked(other, 2)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "kitaru.cli.main", "executions", "input", "-i"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""

    def read_until(text: bytes, count: int) -> None:
        nonlocal shown
        while shown.count(text) < count:
            shown += os.read(ours, 4096)

    read_until(b"[q]uit? ", 1)
    os.write(ours, b"what\n")  # unknown: asked again
    read_until(b"[q]uit? ", 2)
    os.write(ours, b"c\n")
    read_until(b"null): ", 1)
    os.write(ours, b"{\n")  # no JSON: asked again
    read_until(b"null): ", 2)
    os.write(ours, b"4\n")
    read_until(b"[q]uit? ", 3)
    os.write(ours, b"s\n")
    read_until(b"[q]uit? ", 4)
    os.write(ours, b"a\n")
    read_until(b"Aborted wait for", 1)
    assert process.wait(60) == 0
    os.close(ours)
    until(lambda: waiting.status == "cancelled")
    (left,) = KitaruClient().executions.pending_waits(other.exec_id)
    KitaruClient().executions.cancel(other.exec_id)
    assert left.name in ("a", "b")

"""Every example runs, in a process of its own, and does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kitaru import KitaruClient
from kitaru.statuses import CallStatus, ExecutionStatus

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str) -> str:
    done = subprocess.run([sys.executable, str(EXAMPLES / name)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_it_runs_and_every_execution_completes(path: Path) -> None:
    assert run(path.name).strip()
    executions = KitaruClient().executions.list()
    assert executions and {one.status for one in executions} == {ExecutionStatus.COMPLETED}
    assert f"python examples/{path.name}" in path.read_text(), "an example says how it is run"


def test_hello_runs_once_under_its_key() -> None:
    assert run("hello.py").count("this line appears once") == 1
    again = run("hello.py")
    assert "this line appears once" not in again and "Hello, world!" in again
    assert len(KitaruClient().executions.list()) == 1


def test_fan_out_makes_one_call_per_page_and_step() -> None:
    assert "in 12 pages" in run("fan_out.py")
    names = [call.name for call in KitaruClient().executions.latest().checkpoints]
    assert names.count("fetch") == 12 and names.count("count") == 12


def test_retrying_shows_three_attempts_and_a_caught_failure() -> None:
    shown = run("retrying.py")
    assert "ask ['failed', 'failed', 'completed']" in shown and "fragile ['failed']" in shown
    assert "going on without it: nothing there" in shown


def test_the_async_agent_has_children_and_a_cancelled_call() -> None:
    assert "(no slow results today)" in run("async_agent.py")
    found = KitaruClient().executions.latest(flow="report")
    assert [child.flow_name for child in found.children] == ["research", "research"]
    statuses = {call.name: call.status for call in found.checkpoints}
    assert statuses == {"search": CallStatus.CANCELLED, "write": CallStatus.COMPLETED}


def test_an_approval_is_waited_for_in_no_process_and_answered_from_another() -> None:
    shown = run("approval.py")
    assert "--wait approve --value JSON" in shown and "published: Ten things about waiting." in shown
    assert [call.name for call in KitaruClient().executions.latest().checkpoints] == ["draft", "publish"]


def test_a_payment_in_doubt_is_made_once() -> None:
    shown = run("payment.py")
    assert "the call is in_doubt" in shown and "found at the bank" in shown and "payments made: 1" in shown


def test_a_replay_pays_for_what_depends_on_a_change() -> None:
    shown = [line for line in run("replay.py").splitlines() if line.startswith("paid for:")]
    assert shown[1:] == ["paid for: ['combine']", "paid for: ['summarise the code', 'combine']"]

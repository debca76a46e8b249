"""``kitaru recover``: real orphans, continued by processes of their own."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

from kitaru import KitaruClient
from kitaru.errors import FailureOrigin
from kitaru.runtime.kernel import OWNERS_LOST_MAX, Kernel
from kitaru.statuses import ExecutionStatus

from .conftest import Cli, Gated, until


def kill(gated: Gated) -> None:
    gated.process.send_signal(signal.SIGKILL)
    gated.process.wait()


def test_nothing_to_recover(cli: Cli) -> None:
    assert "Nothing to recover" in cli("recover").out
    assert cli("recover", "-o", "json").json == {"command": "recover", "items": [], "count": 0}


def test_every_orphan_is_continued_and_reported(cli: Cli, start_gated: Callable[..., Gated]) -> None:
    orphans = [start_gated("one"), start_gated("two")]
    for gated in orphans:
        kill(gated)
        gated.gate.touch()
    answer = cli("recover", "--output", "json", cwd="/")
    assert answer.code == 0, answer.err
    rows = {row["exec_id"]: row for row in answer.json["items"]}
    assert set(rows) == {gated.exec_id for gated in orphans}
    assert {(row["result"], row["status"]) for row in rows.values()} == {("resumed", "completed")}
    assert all(gated.calls() == ["1", "2", "3"] for gated in orphans)


def test_watch_picks_up_what_is_orphaned_later_and_lets_go_on_a_signal(
    cli: Cli, start_gated: Callable[..., Gated]
) -> None:
    client = KitaruClient()
    watching = cli.start("recover", "--watch", "--interval", "0.1", "-o", "json")
    first, second = start_gated("one"), start_gated("two")
    kill(first)
    first.gate.touch()
    until(lambda: client.executions.status(first.exec_id) is ExecutionStatus.COMPLETED)
    kill(second)
    until(lambda: client.executions.status(second.exec_id) is ExecutionStatus.RUNNING)
    watching.send_signal(signal.SIGTERM)
    second.gate.touch()
    out, err = watching.communicate(timeout=60)
    assert watching.returncode == 130, err
    assert first.exec_id in out
    # Whether the worker had its flow under way when the signal came, or not: nothing is lost, nothing runs twice.
    if client.executions.status(second.exec_id) is not ExecutionStatus.COMPLETED:
        assert cli("recover").code == 0
    assert client.executions.status(second.exec_id) is ExecutionStatus.COMPLETED
    assert second.calls() == ["1", "2", "3"]


def test_a_flow_whose_file_is_gone_is_refused_with_the_reason(
    cli: Cli, start_gated: Callable[..., Gated], flows: Path
) -> None:
    gated = start_gated()
    kill(gated)
    flows.unlink()
    answer = cli("recover", "-o", "json")
    assert answer.code == 1
    (row,) = answer.json["items"]
    assert row["result"] == "refused" and "words_flow" in row["reason"]
    assert KitaruClient().executions.status(gated.exec_id) is ExecutionStatus.INTERRUPTED


def test_a_flow_that_crashes_its_worker_harms_no_other_and_is_parked_in_the_end(
    cli: Cli, start_gated: Callable[..., Gated], flows: Path, kernel: Kernel
) -> None:
    client = KitaruClient()
    cli("run", f"{flows}:crashing", "--idempotency-key", "k")
    crashing = client.executions.find("crashing", "k")
    assert crashing is not None and client.executions.status(crashing) is ExecutionStatus.INTERRUPTED
    gated = start_gated()
    kill(gated)
    gated.gate.touch()
    answer = cli("recover", "-o", "json")
    assert answer.code == 1
    rows = {row["exec_id"]: row["result"] for row in answer.json["items"]}
    assert rows == {crashing: "lost", gated.exec_id: "resumed"}
    dead = kernel.journal.get(crashing).owner
    assert dead is not None
    while kernel.journal.get(crashing).owners_lost < OWNERS_LOST_MAX:  # as if it had crashed many more workers
        kernel.journal.claim(crashing, dead, 30.0, ("interrupted",), kernel.alive)
    answer = cli("recover", "-o", "json")
    assert answer.code == 1 and [row["result"] for row in answer.json["items"]] == ["parked"]
    parked = client.executions.get(crashing)
    assert parked.status is ExecutionStatus.FAILED and parked.failure is not None
    assert parked.failure.origin is FailureOrigin.RUNTIME


def test_a_flow_that_prints_a_lot_is_not_held_up(cli: Cli, flows: Path, tmp_path: Path, kernel: Kernel) -> None:
    """More than a pipe holds, on both streams: a worker whose output nobody reads must not block."""
    marker = tmp_path / "second"
    (flows.parent / "noisy_flow.py").write_text(
        "import os, sys\nfrom pathlib import Path\nfrom kitaru import checkpoint, flow\n"
        "@checkpoint\ndef shout(marker: str) -> int:\n"
        "    if not Path(marker).exists():\n        Path(marker).touch()\n        os.abort()\n"
        "    for stream in (sys.stdout, sys.stderr):\n        print('x' * 300_000, file=stream)\n    return 1\n"
        "@flow\ndef noisy(marker: str) -> int:\n    return shout(marker)\n"
    )
    cli("run", f"{flows.parent}/noisy_flow.py:noisy", "--args", json.dumps({"marker": str(marker)}))
    answer = cli("recover", "-o", "json")
    assert answer.code == 0
    assert [(row["result"], row["status"]) for row in answer.json["items"]] == [("resumed", "completed")]
    assert answer.err.count("x" * 300_000) == 2


def test_wrong_options(cli: Cli) -> None:
    assert "--interval" in json.loads(cli("recover", "--interval", "0", "-o", "json").err)["error"]["message"]
    assert "--max-parallel" in cli("recover", "--max-parallel", "0").err

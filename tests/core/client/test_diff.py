"""executions.diff: two executions side by side."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from kitaru import KitaruClient, checkpoint, flow, log
from kitaru.cli.main import cli
from kitaru.errors import KitaruNotFoundError


@checkpoint
def research(topic: str) -> str:
    log(cost=0.5)
    return f"notes on {topic}"


@checkpoint
def write(notes: str, tone: str) -> str:
    return f"{tone}: {notes}"


@checkpoint
def check(text: str) -> int:
    return 1


@flow
def report(topic: str, tone: str = "dry", checked: bool = False) -> str:
    text: str = write(research(topic), tone)
    if checked:
        check(text)
    return text


def test_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    first = report.run("rust")
    first.wait()
    second = report.replay(first.exec_id, tone="warm", checked=True)
    second.wait()
    found = KitaruClient().executions.diff(first.exec_id, second.exec_id)
    assert [(call.invocation_id, call.verdict, call.reused) for call in found.calls] == [
        ("research", "same", True),
        ("write", "value differs", False),
        ("check", "only in the second", False),
    ]
    wrote = found.calls[1]
    assert [(one.argument, one.recorded, one.now) for one in wrote.inputs] == [("tone", '"dry"', '"warm"')]
    assert (wrote.first_value, wrote.second_value) == ("dry: notes on rust", "warm: notes on rust")
    assert {one.argument for one in found.inputs} == {"tone", "checked"}
    assert found.results_differ and found.second_result == "warm: notes on rust"
    assert (found.first.cost, found.second.cost, found.second.cost_reused) == (0.5, 0.0, 0.5)
    shown = CliRunner().invoke(cli, ["executions", "diff", first.exec_id, second.exec_id])
    assert shown.exit_code == 0, shown.output
    for text in ("value differs", "only in the second", '- "dry"', '+ "warm"', "0 (and 0.5 reused)"):
        assert text in shown.output
    assert "research" not in shown.output and "1 calls; `--all` shows them" in shown.output
    told = CliRunner().invoke(cli, ["executions", "diff", first.exec_id, second.exec_id, "-o", "json"])
    assert json.loads(told.output)["item"]["same_flow"]


def test_the_same_twice() -> None:
    ids = []
    for _ in range(2):
        handle = report.run("rust")
        handle.wait()
        ids.append(handle.exec_id)
    found = KitaruClient().executions.diff(*ids)
    assert not found.results_differ and not found.inputs
    assert {call.verdict for call in found.calls} == {"same"}
    with pytest.raises(KitaruNotFoundError):
        KitaruClient().executions.diff(ids[0], "0" * 8 + "-0000-4000-8000-" + "0" * 12)


def test_listings_by_time() -> None:
    handle = report.run("rust")
    handle.wait()
    client = KitaruClient().executions
    assert [one.exec_id for one in client.list(since="1m")] == [handle.exec_id]
    assert client.list(until="1m") == [] and client.list(since="2099-01-01") == []

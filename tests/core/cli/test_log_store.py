"""``kitaru log-store``: where runtime logs go."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from kitaru import flow
from kitaru.cli.main import cli
from kitaru.config import resolve_log_store
from kitaru.errors import KitaruPluginError


def run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["log-store", *arguments], input=stdin)


@flow
def quiet() -> int:
    return 1


def test_set_show_reset(own_store: Path) -> None:
    done = run("set", " OTEL ", "--endpoint", "http://127.0.0.1:4318/", "--api-key", "hunter2-hunter2")
    assert done.exit_code == 0, done.output
    assert done.output == (
        "Saved global log-store override.\n  Effective backend: otel (from global user config settings)\n"
    )
    assert stat.S_IMODE((own_store / "kitaru.yaml").stat().st_mode) == 0o600
    shown = run("show").output
    assert "Backend: otel" in shown and "Endpoint: http://127.0.0.1:4318\n" in shown
    assert "API key: configured" in shown and "Source: global user config" in shown
    assert "The stack's own: local (stack default)" in shown
    assert "hunter2" not in shown and "Warning" not in shown
    assert run("reset").output == "Cleared global log-store override.\n  Effective backend: artifact-store\n"
    shown = run("show").output
    assert "Endpoint: not set" in shown and "API key: not set" in shown and "Source: default" in shown


def test_json_has_every_field_but_the_key() -> None:
    done = run("set", "otel", "--endpoint", "http://h", "--api-key", "hunter2", "-o", "json")
    assert json.loads(done.output) == {
        "command": "log-store.set",
        "item": {
            "backend": "otel",
            "endpoint": "http://h",
            "api_key_configured": True,
            "source": "global user config",
            "active_stack_backend": "local",
            "active_stack_name": "default",
        },
    }
    assert json.loads(run("show", "-o", "json").output)["command"] == "log-store.show"
    item = json.loads(run("reset", "-o", "json").output)["item"]
    assert (item["backend"], item["api_key_configured"], item["source"]) == ("artifact-store", False, "default")


def test_the_key_can_be_kept_out_of_the_command_line() -> None:
    assert run("set", "otel", "--endpoint", "http://h", "--api-key", "-", stdin="hunter2\n").exit_code == 0
    assert resolve_log_store().api_key == "hunter2"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("artifact-store", "--endpoint", "http://h"), "reset"),
        (("no such", "--endpoint", "http://h"), "not the name of a log store"),
        (("otel", "--endpoint", "collector:4318"), "not a server's address"),
        (("otel", "--endpoint", "http://u:hunter2@h"), "user name or password"),
        (("otel", "--endpoint", "http://h", "--api-key", " "), "blank"),
    ],
)
def test_bad_values_change_nothing(own_store: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("set", *arguments)
    assert done.exit_code == 1
    assert said in done.output and "hunter2" not in done.output
    assert not (own_store / "kitaru.yaml").exists()


def test_the_environment_wins_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITARU_LOG_STORE_BACKEND", "artifact-store")
    done = run("set", "otel", "--endpoint", "http://h")
    assert "Effective backend: artifact-store (from environment settings)" in done.output


def test_a_store_that_nobody_supplies_is_said_at_once_and_starts_no_flow() -> None:
    done = run("set", "nowhere", "--endpoint", "http://h")
    assert done.exit_code == 0
    assert "Flows will not start with this log store: no available plugin supplies" in done.output
    assert "nowhere" in run("show").output
    with pytest.raises(KitaruPluginError, match="set by the global user config"):
        quiet.run()

"""``kitaru doctor``, ``kitaru plugins list``, the overview, and stores that cannot be used."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from kitaru.cli.main import cli as command
from kitaru.errors import KitaruPluginError
from kitaru.plugins import manager
from kitaru.stack import assembly

from .conftest import Cli


def run(*arguments: str) -> Result:
    return CliRunner().invoke(command, list(arguments))


def test_the_overview_without_arguments_and_with_help() -> None:
    for arguments in (["--help"], ["-h"]):
        result = run(*arguments)
        assert result.exit_code == 0
        for name in ("run", "executions", "recover", "plugins", "doctor", "demo"):
            assert f"\n  {name} " in result.stdout


@pytest.mark.parametrize("option", ["--version", "-V"])
def test_the_version(option: str) -> None:
    from importlib.metadata import version

    assert run(option).stdout.strip() == f"kitaru {version('kitaru-core')}"


@pytest.mark.parametrize(
    "path",
    [
        *("run", "executions", "executions list", "executions get", "executions logs", "executions resume"),
        *("executions statistics", "executions export", "executions import", "clean"),
        *("executions retry", "executions cancel", "recover", "plugins", "plugins list", "doctor", "demo"),
    ],
)
def test_every_command_explains_itself(path: str) -> None:
    result = run(*path.split(), "--help")
    assert result.exit_code == 0 and "Usage:" in result.stdout
    if path not in ("executions", "plugins"):
        assert "--output" in result.stdout


def test_a_sound_journal(own_store: Path) -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert str(own_store) in result.stdout and "The journal is sound." in result.stdout
    found = json.loads(run("doctor", "-o", "json").stdout)["item"]
    assert found["sound"] is True and found["store"]["kind"] == "sqlite" and found["problems"] == []


def test_plugins_are_listed_with_what_they_supply() -> None:
    result = run("plugins", "list")
    assert result.exit_code == 0 and "kitaru-local" in result.stdout and "artifact_store local" in result.stdout
    rows = json.loads(run("plugins", "list", "--output", "json").stdout)["items"]
    keys = {"name", "distribution", "version", "interface", "status", "reason", "supplies"}
    assert all(set(row) == keys for row in rows)
    local = next(row for row in rows if row["name"] == "local")
    assert local["status"] == "available" and {"kind": "orchestrator", "name": "local"} in local["supplies"]


def spoil(path: Path, how: str) -> None:
    path.parent.mkdir(exist_ok=True)
    if how == "damaged":
        path.write_bytes(b"not a database " * 1000)
    elif how == "a directory":
        path.mkdir()
    else:
        assert run("doctor").exit_code == 0
        assembly.reset()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA user_version = 999")
            connection.commit()


@pytest.mark.parametrize("how", ["damaged", "a directory", "newer"])
@pytest.mark.parametrize(
    "arguments", [["executions", "list"], ["executions", "resume", "x"], ["recover"], ["run", "{file}:greet"], ["demo"]]
)
def test_a_store_that_cannot_be_used_gives_one_clear_error(
    own_store: Path, flows: Path, how: str, arguments: list[str]
) -> None:
    path = own_store / "kitaru.db"
    spoil(path, how)
    result = run(*[one.replace("{file}", str(flows)) for one in arguments], "-o", "json")
    assert result.exit_code == 1 and result.stdout == ""
    error = json.loads(result.stderr)["error"]
    assert str(path) in error["message"]
    assert error["type"] in ("KitaruJournalError", "KitaruCorruptionError")
    checked = run("doctor")
    assert checked.exit_code == 1 and "Problem:" in checked.stdout and str(path) in checked.stdout


def test_a_store_below_a_file_cannot_be_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "occupied").write_text("")
    monkeypatch.setenv("KITARU_CONFIG_PATH", str(tmp_path / "occupied" / "below"))
    result = run("executions", "list")
    assert result.exit_code == 1 and "KITARU_CONFIG_PATH" in result.stderr


def test_salvage_copies_what_can_be_read_into_a_new_journal(
    cli: Cli, flows: Path, own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exec_id = cli("run", f"{flows}:greet", "--args", '{"text": "hi"}', "-o", "json").json["item"]["exec_id"]
    target = tmp_path / "saved.db"
    result = run("doctor", "--salvage", str(target), "-o", "json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)["item"]
    assert report["executions"] == 1 and report["complete"] is True and report["target"] == str(target)
    assert "exists already" in run("doctor", "--salvage", str(target)).stderr
    (own_store / "kitaru.db").write_bytes(b"damaged " * 512)
    (own_store / "kitaru.db-wal").unlink(missing_ok=True)  # from the log alone everything could be read
    assert run("doctor", "--salvage", str(tmp_path / "other.db")).exit_code == 1
    monkeypatch.setenv("KITARU_JOURNAL_URL", f"sqlite:///{target}")
    assert json.loads(run("executions", "get", exec_id, "-o", "json").stdout)["item"]["status"] == "completed"


class Declared:
    """A command as a plugin declares it."""

    name, help, path = "acme", "Does what acme does.", "acme.cli:command"

    def __init__(self, loaded: Any) -> None:
        self._loaded = loaded

    def load(self) -> Any:
        if isinstance(self._loaded, Exception):
            raise self._loaded
        return self._loaded


def with_plugin_command(monkeypatch: pytest.MonkeyPatch, loaded: Any) -> None:
    class Manager:
        def commands(self) -> list[Declared]:
            return [Declared(loaded)]

        def plugins(self) -> list[Any]:
            return []

    monkeypatch.setattr(manager, "plugin_manager", Manager)


def test_commands_of_plugins_are_shown_unloaded_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with_plugin_command(monkeypatch, KitaruPluginError("must not be loaded for the overview"))
    assert "acme" in run("--help").stdout and "Does what acme does." in run("--help").stdout
    broken = run("acme")
    assert broken.exit_code == 1 and "must not be loaded" in broken.stderr and "plugins list" in broken.stderr
    with_plugin_command(monkeypatch, click.Command("acme", callback=lambda: click.echo("acme ran")))
    assert run("acme").stdout == "acme ran\n"
    with_plugin_command(monkeypatch, "no command")
    assert "no click command" in run("acme").stderr
    assert run("other").exit_code == 2


def test_json_output_stays_json_for_numbers_that_json_lacks(capsys: pytest.CaptureFixture[str]) -> None:
    from kitaru.cli.output import print_item

    print_item("x", {"value": [float("nan"), float("-inf"), 1.5], "none": None})
    assert json.loads(capsys.readouterr().out) == {"command": "x", "item": {"value": ["nan", "-inf", 1.5]}}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "<1 ms"), (0.0854, "85 ms"), (1.254, "1.25 s"), (59.94, "59.9 s"), (125, "2 m 05 s"), (3723, "1 h 02 m")],
)
def test_durations_for_people(seconds: float, text: str) -> None:
    from kitaru.cli.output import duration

    assert duration(seconds) == text


def test_help_and_version_load_nothing_that_only_commands_need(cli: Cli) -> None:
    """The budget is 200 ms: without these modules it is kept with room to spare."""
    import subprocess
    import sys

    code = (
        "import sys\nfrom kitaru.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "heavy = {'rich', 'pydantic', 'apsw', 'cloudpickle', 'fsspec', 'asyncio', 'kitaru.runtime.kernel'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    for arguments in (["--help"], ["--version"], ["executions", "--help"], ["run", "--help"]):
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]", arguments

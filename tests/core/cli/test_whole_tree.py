"""Every command of the tree, run as users run it, as text and as JSON that fits the schema that is shipped for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator

from kitaru.cli.main import cli
from kitaru.client import schemas

PROGRAM = """
import kitaru
from pathlib import Path

@kitaru.checkpoint
def step(n: int) -> int:
    print("stepping", n)
    return n * 2

@kitaru.flow
def fine(n: int = 1) -> int:
    return step(n) + step(n + 1)

@kitaru.flow
def broken() -> None:
    step(1)
    if not Path("mended").exists():
        raise ValueError("broken")

@kitaru.flow
def asks() -> str:
    return kitaru.wait(name="approve", schema=str, question="Go on?", timeout=0)
"""

#: What writes no JSON by its nature, or is tested at length elsewhere.
NOT_HERE = {"completion", "mcp"}


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted names of all commands of the core."""
    ctx = click.Context(group)
    for name in group._table if hasattr(group, "_table") else group.list_commands(ctx):  # type: ignore[attr-defined]
        command = group.get_command(ctx, name)
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield ".".join((*path, name))


class Shell:
    """Runs the installed `kitaru` in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = str(Path(sys.executable).with_name("kitaru"))

    def __call__(self, *words: str, code: int | None = 0, stdin: str = "") -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [self.program, *words],
            cwd=self.folder,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "COLUMNS": "200"},
        )
        if code is not None:
            assert done.returncode == code, (words, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr or "ValueError: broken" in done.stderr, (words, done.stderr)
        return done

    def item(self, *words: str, stdin: str = "") -> Any:
        return checked(words, self(*words, "--output", "json", stdin=stdin).stdout)


def checked(words: tuple[str, ...], line: str) -> Any:
    """The item, or the items, of an envelope that fits its command's schema."""
    envelope = json.loads(line)
    name = envelope["command"]
    Draft202012Validator(schemas.schema(name)).validate(envelope)
    assert name.split(".") == list(words[: len(name.split("."))])
    return envelope.get("item", envelope.get("items"))


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    (tmp_path / "flows.py").write_text(PROGRAM)
    return Shell(tmp_path)


def cases(shell: Shell) -> dict[str, Callable[[str], list[str]]]:
    """For each command its words; called with ``text`` and ``json``, so that what changes something can do it twice."""

    def started(flow: str) -> str:
        done = shell("run", f"flows.py:{flow}", "--output", "json", code=None)
        found = json.loads((done.stdout or done.stderr).splitlines()[-1])
        return str(found["item"]["exec_id"] if "item" in found else found["error"]["exec_id"])

    fine = started("fine")
    other = str(shell.item("executions", "replay", fine, "--from", "step#2", "--args", '{"n": 3}')["exec_id"])
    waiting = [started("asks") for _ in range(4)]
    failed = [started("broken") for _ in range(3)]
    cancelled = [waiting[2], waiting[3]]
    (shell.folder / "mended").touch()
    exported = shell.folder / "exported.kitaru"
    texts = {"text": 0, "json": 1}

    def one(*words: str) -> Callable[[str], list[str]]:
        return lambda _how: list(words)

    def per(choose: Callable[[int], list[str]]) -> Callable[[str], list[str]]:
        return lambda how: choose(texts[how])

    answer = ("--value", '"yes"', "--no-resume")
    return {
        "run": one("run", "flows.py:fine", "--args", '{"n": 2}'),
        "executions.list": one("executions", "list", "--flow", "fine", "--since", "1h", "--until", "2099-01-01"),
        "executions.get": one("executions", "get", fine),
        "executions.latest": one("executions", "latest", "--flow", "fine"),
        "executions.logs": one("executions", "logs", fine, "-v"),
        "executions.diff": one("executions", "diff", fine, other, "--all"),
        "executions.statistics": one("executions", "statistics", "--since", "1h"),
        "executions.export": one("executions", "export", fine, str(exported)),
        "executions.import": one("executions", "import", str(exported)),
        "executions.input": per(lambda n: ["executions", "input", waiting[n], *answer]),
        "executions.resume": per(lambda n: ["executions", "resume", waiting[n]]),
        "executions.abort": per(lambda n: ["executions", "abort", cancelled[n], "--wait", "approve"]),
        "executions.cancel": per(lambda _n: ["executions", "cancel", started("asks")]),
        "executions.retry": per(lambda n: ["executions", "retry", failed[n]]),
        "executions.replay": one("executions", "replay", fine),
        "check": one("check", failed[2]),
        "recover": one("recover"),
        "clean": one("clean", "--older-than", "400d", "--yes"),
        "doctor": one("doctor"),
        "status": one("status"),
        "info": one("info"),
        "init": per(lambda n: ["init", str(_folder(shell, f"project{n}"))]),
        "schema": one("schema", "executions.get"),
        "demo": one("demo", "--show"),
        "plugins.list": one("plugins", "list"),
        "plugins.new": per(lambda n: ["plugins", "new", f"tree{n}"]),
        "stack.create": per(lambda n: ["stack", "create", f"made{n}", "--no-activate"]),
        "stack.list": one("stack", "list"),
        "stack.current": one("stack", "current"),
        "stack.show": one("stack", "show", "made0"),
        "stack.use": per(lambda n: ["stack", "use", "made0" if n else "default"]),
        "stack.delete": per(lambda n: ["stack", "delete", f"made{n}", "--recursive", "--force", "--yes"]),
        "secrets.set": per(lambda n: ["secrets", "set", f"key{n}", "TOKEN", "--stdin"]),
        "secrets.list": one("secrets", "list"),
        "secrets.show": one("secrets", "show", "key0", "--show-values"),
        "model.register": per(lambda n: ["model", "register", f"fast{n}", "--model", "openai/x", "--secret", "key0"]),
        "model.list": one("model", "list"),
        "model.default": one("model", "default", "fast1"),
        "model.delete": per(lambda n: ["model", "delete", f"fast{n}", "--yes"]),
        "secrets.delete": per(lambda n: ["secrets", "delete", f"key{n}", "--yes"]),
        "log-store.set": one("log-store", "set", "otel", "--endpoint", "http://127.0.0.1:9/v1/logs"),
        "log-store.show": one("log-store", "show"),
        "log-store.reset": one("log-store", "reset"),
    }


def _folder(shell: Shell, name: str) -> Path:
    (shell.folder / name).mkdir()
    return shell.folder / name


@pytest.mark.timeout(300)
def test_every_command_as_text_and_as_json(shell: Shell) -> None:
    table = cases(shell)
    assert set(table) | NOT_HERE >= set(leaves(cli)), "a command that is not run here"
    for name, words in table.items():
        stdin = "the value\n" if name == "secrets.set" else ""
        text = shell(*words("text"), stdin=stdin)
        assert text.stdout.strip() or text.stderr.strip(), name
        assert not text.stdout.lstrip().startswith('{"command"')
        shell.item(*words("json"), stdin=stdin)


def test_every_schema_is_one() -> None:
    for name in schemas.names():
        Draft202012Validator.check_schema(schemas.schema(name))


@pytest.mark.parametrize(
    "words",
    [
        ("executions", "get", "nonsense"),
        ("executions", "lst"),
        ("executions", "list", "--limit", "many"),
        ("run",),
        ("run", "flows.py:none"),
        ("secrets", "show", "nobody"),
        ("model", "default", "nobody"),
        ("init", "/nowhere/at/all"),
        ("schema", "nothing"),
        ("executions", "diff", "x", "y"),
        ("log-store", "set", "artifact-store", "--endpoint", "http://x"),
        ("stack", "show", "nobody"),
        ("nothing",),
    ],
)
def test_errors_are_envelopes(shell: Shell, words: tuple[str, ...]) -> None:
    done = shell(*words, "--output", "json", code=None)
    assert done.returncode in (1, 2) and done.stdout == ""
    Draft202012Validator(schemas.schema("error")).validate(json.loads(done.stderr))
    text = shell(*words, code=None)
    assert text.returncode == done.returncode and "Error" in text.stderr


def test_a_followed_log_is_lines_of_events(shell: Shell) -> None:
    exec_id = shell.item("run", "flows.py:fine")["exec_id"]
    lines = shell("executions", "logs", exec_id, "--follow", "--output", "json").stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [one["event"] for one in events] == ["log", "log", "terminal"]
    for event in events:
        Draft202012Validator(schemas.schema("executions.logs.events")).validate(event)


def test_the_first_help_is_short(shell: Shell) -> None:
    text = shell().stdout
    for command in ("demo", "run", "executions list", "executions resume", "executions input"):
        assert f"kitaru {command}" in text
    assert "log-store" not in text and "log-store" in shell("--help").stdout
    assert shell("executions", code=None).stdout.startswith("Usage:")


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion(shell: Shell, name: str) -> None:
    assert "_KITARU_COMPLETE" in shell("completion", name).stdout
    env = {"_KITARU_COMPLETE": "bash_complete", "COMP_WORDS": "kitaru executions re", "COMP_CWORD": "2"}
    done = subprocess.run([shell.program], env={**os.environ, **env}, capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["plain,resume", "plain,retry", "plain,replay"]


def test_colours_only_where_they_are_wanted(shell: Shell) -> None:
    import pty

    def painted(**more: str) -> bool:
        leader, follower = pty.openpty()
        env = {**{name: value for name, value in os.environ.items() if name != "NO_COLOR"}, **more}
        subprocess.run([shell.program, "status"], stdout=follower, env=env, cwd=shell.folder, check=True, timeout=60)
        os.close(follower)
        text = b""
        try:
            while chunk := os.read(leader, 65536):
                text += chunk
        except OSError:
            pass  # the other end is closed
        os.close(leader)
        return b"\x1b[" in text

    assert painted() and not painted(NO_COLOR="1")
    assert "\x1b[" not in shell("status").stdout

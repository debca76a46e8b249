"""`kitaru secrets` and `kitaru model`: where values may come from, and that they go nowhere else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kitaru.cli.main import cli, main
from kitaru.client.secrets import Secrets
from kitaru.config import model_registry

CANARY = "hunter2-canary-value"


def run(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, list(words), input=stdin)


def values(name: str = "openai") -> dict[str, str]:
    return dict(Secrets().get(name).values)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there."""
    monkeypatch.setattr("kitaru.cli.secrets.is_terminal", lambda _stream: True)
    monkeypatch.setattr("kitaru.cli.confirming.is_terminal", lambda _stream: True)


def test_values_are_asked_for_and_not_shown(terminal: None) -> None:
    done = run("secrets", "set", "openai", "OPENAI_API_KEY", "OTHER", stdin=f"{CANARY}\nsecond\n")
    assert done.exit_code == 0, done.output
    assert values() == {"OPENAI_API_KEY": CANARY, "OTHER": "second"}
    assert CANARY not in done.output and "Created secret: openai" in done.output


def test_where_values_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_ENV", CANARY)
    assert run("secrets", "set", "openai", "FROM_ENV", "--from-env").exit_code == 0
    assert run("secrets", "set", "openai", "PIPED", "--stdin", stdin=f"{CANARY}\n").exit_code == 0
    file = tmp_path / "keys.env"
    file.write_text(f"# keys\nexport A={CANARY}\n\nB = 'two words'\n")
    assert run("secrets", "set", "openai", "--from-file", str(file)).exit_code == 0
    (tmp_path / "keys.json").write_text(json.dumps({"C": "x=1"}))
    assert run("secrets", "set", "openai", "--from-file", str(tmp_path / "keys.json")).exit_code == 0
    (tmp_path / "key.pem").write_text("-----BEGIN-----\nx\n")
    done = run("secrets", "set", "openai", "PEM", "--from-file", str(tmp_path / "key.pem"))
    assert "Updated secret: openai" in done.output and CANARY not in done.output
    assert values() == {
        "FROM_ENV": CANARY,
        "PIPED": CANARY,
        "A": CANARY,
        "B": "two words",
        "C": "x=1",
        "PEM": "-----BEGIN-----\nx\n",
    }
    assert run("secrets", "set", "openai", "D", "--stdin", "--replace", stdin="d").exit_code == 0
    assert values() == {"D": "d"}


@pytest.mark.parametrize("words", [("--KEY=a=b", "--OTHER", "c"), ("--output", "json", "--KEY=a=b", "--OTHER", "c")])
def test_the_old_form_works_with_a_warning(words: tuple[str, ...]) -> None:
    done = run("secrets", "set", "openai", *words)
    assert done.exit_code == 0 and values() == {"KEY": "a=b", "OTHER": "c"}
    assert "can be seen by others" in done.stderr and "can be seen" not in done.stdout


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "no values"),
        (("--KEY",), "`--KEY` has no value"),
        (("--KEY", "--OTHER=x"), "`--KEY` has no value"),
        (("--=x",), "a key is empty"),
        (("--9K=x",), "a key is not made of letters"),
        (("--KEY=",), "the value of `KEY` is empty"),
        (("--KEY=x", "--KEY=y"), "`KEY` is given twice"),
        (("--KEY=x", "KEY", "--stdin"), "`KEY` is given twice"),
        ((CANARY,), "a key is not made of letters"),
        (("KEY",), "there is no terminal to ask"),
        (("KEY", "--from-env"), "the environment variable KEY is not set"),
        (("KEY", "--from-env", "--stdin"), "--from-env and --stdin exclude each other"),
        (("KEY", "--stdin"), "the value of `KEY` is empty"),
        (("A", "B", "--stdin"), "--stdin is for one KEY"),
        (("--from-file", "/nowhere"), "/nowhere cannot be read"),
        (("A", "B", "--from-file", "/nowhere"), "takes one KEY"),
    ],
)
def test_what_cannot_be_set(words: tuple[str, ...], told: str) -> None:
    done = run("secrets", "set", "openai", *words, stdin="")
    assert done.exit_code == 1 and told in done.stderr and CANARY not in done.output
    assert Secrets().list() == []


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"A\n", "line 1 of"), (b"{1", "begins like JSON"), (b'{"A": 1}', "no texts"), (b"\xff\xfe", "is no text")],
)
def test_files_that_cannot_be_used(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "keys").write_bytes(content)
    done = run("secrets", "set", "openai", "--from-file", str(tmp_path / "keys"))
    assert done.exit_code == 1 and told in done.stderr


def test_showing_and_deleting(terminal: None) -> None:
    Secrets().set("Beta", {"B": CANARY})
    Secrets().set("alpha", {"A": "1", "B": "2"})
    assert run("secrets", "list").output.splitlines() == [
        "Kitaru secrets",
        "  alpha: alpha (private)",
        "  Beta: Beta (private)",
    ]
    hidden = run("secrets", "show", "Beta").output
    assert "Keys: B" in hidden and CANARY not in hidden
    assert f"Value (B): {CANARY}" in run("secrets", "show", "Beta", "--show-values").output
    shown = json.loads(run("secrets", "show", "Beta", "-o", "json").output)["item"]
    assert shown == {"id": "Beta", "name": "Beta", "visibility": "private", "keys": ["B"], "has_missing_values": False}
    assert "Secret `gamma` was not found." in run("secrets", "show", "gamma").stderr
    refused = run("secrets", "delete", "Beta", stdin="n\n")
    assert refused.exit_code == 1 and "nothing was deleted" in refused.stderr
    assert run("secrets", "delete", "Beta", stdin="y\n").exit_code == 0
    assert run("secrets", "delete", "alpha", "--yes").exit_code == 0
    assert Secrets().list() == []


def test_models(terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Models: none found" in run("model", "list").output
    refused = run("model", "register", "fast", "--model", "openai/x", "--secret", "nobody")
    assert refused.exit_code == 1 and "Secret `nobody` was not found" in refused.stderr
    Secrets().set("openai", {"OPENAI_API_KEY": CANARY})
    done = run("model", "register", "Fast", "--model", "openai/x", "--secret", "openai")
    assert done.output.splitlines() == [
        "Saved model alias: fast",
        "  Model: openai/x | Secret: openai | Default alias",
    ]
    run("model", "register", "slow", "--model", "anthropic/y")
    assert run("model", "list").output.splitlines()[1:] == [
        "  fast: openai/x (secret=openai) [default]",
        "  slow: anthropic/y",
    ]
    assert run("model", "default", "slow").exit_code == 0
    assert model_registry.resolve_model_selection().resolved_model == "anthropic/y"
    assert run("model", "delete", "slow", stdin="n\n").exit_code == 1
    assert run("model", "delete", "slow", stdin="y\n").exit_code == 0
    rows = json.loads(run("model", "list", "-o", "json").output)["items"]
    assert rows == [{"alias": "fast", "model": "openai/x", "secret": "openai", "is_default": False}]
    monkeypatch.setenv("KITARU_MODEL_REGISTRY", '{"aliases": {"fast": {"model": "of/env"}}}')
    assert "fast: of/env" in run("model", "list").output
    assert "is not a model alias" in run("model", "register", "a/b", "--model", "x").stderr


def test_init(tmp_path: Path) -> None:
    done = run("init", str(tmp_path))
    assert done.output.splitlines() == [f"Initialized Kitaru project at {tmp_path}", "  Created .kitaru/"]
    assert "Already initialized" in run("init", str(tmp_path)).stderr
    assert "is not a directory" in run("init", str(tmp_path / "none")).stderr
    (tmp_path / "old" / ".zen").mkdir(parents=True)
    assert "Already initialized" in run("init", str(tmp_path / "old")).stderr


def test_status_and_info(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KITARU_AUTH_TOKEN", CANARY)
    monkeypatch.setenv("KITARU_SERVER_URL", "https://kitaru.example.com")
    run("init", str(tmp_path))
    status = run("status")
    assert status.exit_code == 0
    assert "Connection: remote Kitaru server" in status.output
    assert "cannot ask servers yet" in status.stderr and CANARY not in status.output
    info = json.loads(run("info", "-o", "json").stdout)["item"]
    assert info["repository_root"] == str(tmp_path) and info["server_version"] is None
    assert [one["name"] for one in info["environment"]][:2] == ["KITARU_SERVER_URL", "KITARU_AUTH_TOKEN"]
    monkeypatch.setenv("KITARU_CACHE", "perhaps")
    monkeypatch.setenv("KITARU_RUNNER", "x")
    broken = run("status")
    assert broken.exit_code == 0 and "KITARU_RUNNER was renamed" in broken.stderr


def test_a_value_in_the_wrong_place_is_not_repeated(capsys: Any) -> None:
    with pytest.raises(SystemExit):
        main(["secrets", "set", "openai", CANARY, "--output", "json"])
    assert CANARY not in "".join(capsys.readouterr())

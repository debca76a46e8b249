"""Command lines that nobody meant: no traceback, the right exit code, an envelope where JSON was asked for."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Iterator

import click
import pytest

from kitaru.cli.main import COMMANDS, cli, main

#: These run something, or stay: they have hostile tests of their own.
_NOT_THESE = {"demo", "mcp", "recover"}
_WORDS = (
    "",
    " ",
    "-",
    "--",
    "-1",
    "0",
    "99999999999999999999",
    "null",
    "{}",
    "[",
    '{"a": 1',
    "../../etc/passwd",
    "/dev/null",
    "'; DROP TABLE executions; --",
    "\udcff",
    "💥\u202e",
    "x" * 5000,
    "\n\x1b[2J",
    "--no-such-option",
    "--output=yaml",
    "-o",
    "%s%n{0}",
    "00000000-0000-4000-8000-000000000000",
)


def leaves(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    ctx = click.Context(group)
    for name in list(COMMANDS) if group is cli else group.list_commands(ctx):
        command = group.get_command(ctx, name)
        if name in _NOT_THESE or command is None:
            continue
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield (*path, name), command


def generated(seed: int, count: int) -> list[list[str]]:
    chance = random.Random(seed)
    commands = list(leaves(cli, ()))
    lines = []
    for number in range(count):
        path, command = commands[number % len(commands)]
        words = list(path)
        options = [one for one in command.params if isinstance(one, click.Option)]
        for _ in range(chance.randint(0, 4)):
            if options and chance.random() < 0.5:
                option = chance.choice(options)
                words.append(chance.choice(option.opts))
                if not option.is_flag:
                    words.append(chance.choice(_WORDS))
            else:
                words.append(chance.choice(_WORDS))
        if "--follow" in words:
            words.remove("--follow")
        lines.append(words)
    return lines


@pytest.mark.parametrize("seed", range(4))
def test_generated_lines(
    seed: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for words in generated(seed, 100):
        as_json = seed % 2 == 0
        line = [*words, "--output", "json"] if as_json else words
        with pytest.raises(SystemExit) as ended:
            main(line)
        captured = capsys.readouterr()
        code = ended.value.code or 0
        assert code in (0, 1, 2), (line, captured)
        assert "Traceback" not in captured.err and "Traceback" not in captured.out, (line, captured.err)
        assert "\x1b[2J" not in captured.out + captured.err, line
        if code and as_json and "--" not in words and "-o" not in words and "--output=yaml" not in words:
            last = captured.err.strip().splitlines()[-1]
            assert set(json.loads(last)) == {"command", "error"}, (line, captured.err)
        if code:
            assert captured.err.strip(), line

"""Writes ``docs/cli.md`` from the commands themselves: ``python -m tests.docs.cli_reference > docs/cli.md``."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import click

from kitaru.cli.main import COMMANDS, cli
from kitaru.client import schemas

_HEAD = """# The command line

Written from the commands themselves (`python -m tests.docs.cli_reference`). Every command has `-h`; those marked with
a schema print JSON with `--output json`, which `kitaru schema NAME` describes. The result goes to stdout; progress,
warnings and errors go to stderr. With `--output json` an error is one line:
`{"command": ..., "error": {"message": ..., "type": ...}}`.

Exit codes: 0 success, 1 an error or an execution that failed, 2 a command line that cannot be understood, 130 Ctrl-C.
`NO_COLOR` turns colours off. `eval "$(kitaru completion)"` completes commands in your shell.
"""


def commands(group: click.Group, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands below a group of the core, groups before what is in them."""
    ctx = click.Context(group, info_name=path[-1])
    names = list(COMMANDS) if group is cli else group.list_commands(ctx)
    for name in names:
        command = group.get_command(ctx, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def page() -> str:
    """The page."""
    parts = [_HEAD]
    for path, command in commands(cli, ("kitaru",)):
        parts.append(_command(path, command))
    return "\n".join(parts)


def _command(path: tuple[str, ...], command: click.Command) -> str:
    ctx = _context(path, command)
    usage = " ".join(command.collect_usage_pieces(ctx))
    lines = [f"{'##' if len(path) == 2 else '###'} `{' '.join(path)}`", ""]
    if not isinstance(command, click.Group):
        lines += ["```text", f"{' '.join(path)} {usage}", "```", ""]
    lines += [_text(command.help or ""), ""]
    rows = [
        _option(one, ctx)
        for one in command.get_params(ctx)
        if isinstance(one, click.Option) and "--help" not in one.opts
    ]
    if rows:
        lines += ["| option | meaning |", "|---|---|", *rows, ""]
    if command.epilog:
        lines += [_text(command.epilog), ""]
    if ".".join(path[1:]) in schemas.names():
        lines += [f"Schema: `kitaru schema {'.'.join(path[1:])}`.", ""]
    return "\n".join(lines)


def _context(path: tuple[str, ...], command: click.Command) -> click.Context:
    ctx: Any = None
    for name in path[:-1]:
        ctx = click.Context(click.Group(name), info_name=name, parent=ctx)
    return click.Context(command, info_name=path[-1], parent=ctx)


def _option(option: click.Option, ctx: click.Context) -> str:
    names = ", ".join(f"`{one}`" for one in [*option.opts, *option.secondary_opts])
    if not option.is_flag and not option.count:
        names += f" `{option.make_metavar(ctx)}`"
    default = f" Default: {option.default}." if option.show_default and option.default is not None else ""
    return f"| {names} | {_text(option.help or '').replace('|', chr(92) + '|')}{default} |".replace("  ", " ")


def _text(text: str) -> str:
    return re.sub(r"[ \t]*\n(?!\n)[ \t]*(?=\S)", "\n", inspect.cleandoc(text.replace("\b", "")))


if __name__ == "__main__":
    print(page(), end="")

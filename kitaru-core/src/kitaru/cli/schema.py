"""``kitaru schema``: what the JSON of other commands looks like."""

from __future__ import annotations

import json
from typing import Any

import click

from kitaru.cli.output import guarded, output_option, print_item
from kitaru.errors import KitaruUsageError


@click.command()
@click.argument("command", required=False)
@output_option
def schema(command: str | None, output: str) -> None:
    """Print the JSON Schema of what COMMAND prints with `--output json`; without COMMAND, the commands that have one.

    Commands are written with dots: `executions.get`. `error` is the schema of errors, of all commands.
    """
    found = guarded("schema", output, lambda: _found(command))
    if output == "json":
        print_item("schema", found if isinstance(found, dict) else {"commands": found})
    elif isinstance(found, dict):
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(found))


def _found(command: str | None) -> dict[str, Any] | list[str]:
    from kitaru.client import schemas

    if command is None:
        return schemas.names()
    name = ".".join(command.split())
    if name not in schemas.names():
        raise KitaruUsageError(f"`{command}` has no schema: `kitaru schema` lists the commands that have one.")
    return schemas.schema(name)

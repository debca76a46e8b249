"""``kitaru plugins``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import guarded, output_option, print_item, print_items, snapshot, success, table


@click.group(
    cls=LazyGroup,
    table={
        "list": ("kitaru.cli.plugins:list_command", "Show what each plugin supplies and whether it works."),
        "new": ("kitaru.cli.plugins:new_command", "Write the project of a new plugin, ready to be tested."),
    },
)
def plugins() -> None:
    """Show the installed plugins, or begin a new one."""


@click.command(name="list")
@click.option("--strict", is_flag=True, help="End with exit code 1 if a plugin is unavailable.")
@output_option
def list_command(strict: bool, output: str) -> None:
    """Show every installed plugin: its distribution, what it supplies, and why it is not available."""

    def listed() -> list[dict[str, Any]]:
        from kitaru.client.plugins import list_plugins

        return list_plugins()

    rows = guarded("plugins.list", output, listed)
    if output == "json":
        print_items("plugins.list", rows, nulls=True)
    else:
        _show(rows)
    if strict and any(row["status"] == "unavailable" for row in rows):
        sys.exit(1)


def _show(rows: list[dict[str, Any]]) -> None:
    table(
        "Kitaru plugins",
        ("Name", "Distribution", "Version", "Interface", "Status", "Supplies"),
        [
            (
                row["name"],
                row["distribution"],
                row["version"],
                row["interface"],
                row["status"],
                row["reason"] or ", ".join(f"{one['kind']} {one['name']}" for one in row["supplies"]),
            )
            for row in rows
        ],
    )


@click.command(name="new")
@click.argument("name")
@click.option(
    "--directory",
    type=click.Path(path_type=Path),
    help="The directory to make; default: NAME-kitaru in this one.",
)
@output_option
def new_command(name: str, directory: Path | None, output: str) -> None:
    """Write the project of a new plugin called NAME, such as `acme`.

    It supplies an artifact store, an orchestrator and a stack type that work, and passes its own tests as it is.
    """

    def made() -> dict[str, Any]:
        from kitaru.client.plugins import new_plugin

        return new_plugin(name, directory)

    item = guarded("plugins.new", output, made)
    if output == "json":
        print_item("plugins.new", item)
        return
    success(f"Wrote the plugin `{item['name']}` ({item['distribution']}) to {item['directory']}.")
    snapshot("Next", [(str(number), step) for number, step in enumerate(_next_steps(item["directory"]), 1)])


def _next_steps(directory: str) -> tuple[str, ...]:
    return (
        f"cd {shlex.quote(directory)}",
        "pip install -e '.[test]'",
        "kitaru plugins list",
        "pytest",
    )

"""``kitaru plugins``."""

from __future__ import annotations

import click

from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import guarded, output_option, print_items, table


@click.group(
    cls=LazyGroup,
    table={"list": ("kitaru.cli.plugins:list_command", "Show what each plugin supplies and whether it works.")},
)
def plugins() -> None:
    """Show the installed plugins."""


@click.command(name="list")
@output_option
def list_command(output: str) -> None:
    """Show every installed plugin: its distribution, what it supplies, and why it is not available."""

    def listed() -> list[dict[str, object]]:
        from kitaru.client.plugins import list_plugins

        return list_plugins()

    rows = guarded("plugins.list", output, listed)
    if output == "json":
        print_items("plugins.list", rows, nulls=True)
        return
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
                row["reason"] or ", ".join(f"{one['kind']} {one['name']}" for one in row["supplies"]),  # type: ignore[attr-defined]
            )
            for row in rows
        ],
    )

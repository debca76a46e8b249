"""``kitaru executions export`` and ``import``."""

from __future__ import annotations

import click

from kitaru.cli.output import guarded, output_option, print_item, success
from kitaru.cli.working import working


@click.command()
@click.argument("exec_id")
@click.argument("file", type=click.Path(dir_okay=False))
@output_option
def export(exec_id: str, file: str, output: str) -> None:
    """Write an ended execution, with its values and logs, to FILE: to look at it elsewhere, or to keep it."""
    from kitaru.client import KitaruClient

    with working(f"Writing {file}"):
        guarded("executions.export", output, lambda: KitaruClient().executions.export(exec_id, file))
    if output == "json":
        print_item("executions.export", {"exec_id": exec_id, "file": file})
    else:
        success(f"Exported execution: {exec_id}", f"File: {file}")


@click.command(name="import")
@click.argument("file", type=click.Path(dir_okay=False))
@output_option
def import_command(file: str, output: str) -> None:
    """Store the execution in FILE. Nothing in it is run; one that is here already stays as it is."""
    from kitaru.client import KitaruClient

    with working(f"Reading {file}"):
        found = guarded("executions.import", output, lambda: KitaruClient().executions.import_(file))
    if output == "json":
        from kitaru.inspection import serialize_execution

        print_item("executions.import", serialize_execution(found))
    else:
        success(f"Imported execution: {found.exec_id}", f"{found.flow_name}: {found.status.value}")

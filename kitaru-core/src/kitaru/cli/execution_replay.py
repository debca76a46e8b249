"""``kitaru executions replay``: a new execution from the records of an old one."""

from __future__ import annotations

from typing import Any

import click

from kitaru.cli import driving
from kitaru.cli.output import guarded, output_option, parse_json_object
from kitaru.cli.streams import user_output

_COMMAND = "executions.replay"


@click.command()
@click.argument("exec_id")
@click.option(
    "--from", "from_", metavar="SELECTOR", help="Run this call and all later ones again: name, #n or call id."
)
@click.option("--args", "arguments", metavar="JSON", help="New flow inputs, as a JSON object; the rest stays.")
@click.option(
    "--overrides", metavar="JSON", help='Values that stand in: {"checkpoint.SELECTOR": result, "wait.NAME": answer}.'
)
@output_option
def replay(exec_id: str, from_: str | None, arguments: str | None, overrides: str | None, output: str) -> None:
    """Start a new execution from the records of EXEC_ID, which stays as it is, and follow it to its end.

    Recorded calls whose inputs are unchanged are reused. Without --from only what changed runs again.

    Example: kitaru executions replay ID --from write --overrides '{"checkpoint.research": "better notes"}'
    """
    inputs = guarded(_COMMAND, output, lambda: parse_json_object(arguments, "--args"))
    values = guarded(_COMMAND, output, lambda: parse_json_object(overrides, "--overrides"))

    def start() -> tuple[Any, str]:
        from kitaru.client import KitaruClient

        client = KitaruClient()
        return client, client.executions.replay(exec_id, from_=from_, overrides=values or None, **inputs).exec_id

    with user_output(to_stderr=output == "json") as streams:
        client, new_id = guarded(_COMMAND, output, start)
        if output == "text":
            click.echo(f"Replayed execution: {new_id}", err=True)
        last = guarded(
            _COMMAND,
            output,
            lambda: driving.to_the_end(client, new_id, command=_COMMAND, output=output, streams=streams),
        )
    guarded(_COMMAND, output, lambda: driving.finish(client, last, command=_COMMAND, output=output))

"""``kitaru run``: start a flow and follow it."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from kitaru.cli import driving
from kitaru.cli.output import guarded, output_option, parse_json_object
from kitaru.cli.streams import user_output

_PREFIX = "kitaru_flow_"


@click.command()
@click.argument("target", metavar="FILE_OR_MODULE:FLOW")
@click.option("--args", "arguments", metavar="JSON", help="The flow's arguments, as a JSON object.")
@click.option("--idempotency-key", metavar="KEY", help="The same key gives the same execution: see the docs.")
@click.option("--stack", metavar="NAME", help="The stack to run on; default: the configured one.")
@output_option
def run(target: str, arguments: str | None, idempotency_key: str | None, stack: str | None, output: str) -> None:
    """Start a flow and follow it to its end.

    The flow's result goes to stdout, progress to stderr. The exit code is 1 when the flow fails, and 130 after Ctrl-C,
    which leaves the execution `interrupted`: `kitaru executions resume ID` continues it, from any directory.

    Example: kitaru run research.py:research --args '{"folder": "docs"}'
    """
    given = guarded("run", output, lambda: parse_json_object(arguments, "--args"))

    def start() -> tuple[Any, str]:
        from kitaru.client import KitaruClient
        from kitaru.client.flow_targets import invoke_flow_target

        _look_here(target)
        client = KitaruClient()
        started = invoke_flow_target(
            target=target, args=given, stack=stack, module_name_prefix=_PREFIX, idempotency_key=idempotency_key
        )
        return client, started.handle.exec_id

    with user_output(to_stderr=output == "json") as streams:
        client, exec_id = guarded("run", output, start)
        if output == "text":
            click.echo(f"Execution {exec_id}", err=True)
        last = guarded(
            "run",
            output,
            lambda: driving.to_the_end(client, exec_id, command="run", output=output, streams=streams),
        )
    guarded("run", output, lambda: driving.finish(client, last, command="run", output=output, target=target))


def _look_here(target: str) -> None:
    """Make a module that lies in the working directory importable, ahead of installed ones, as `python -m` does."""
    here = os.getcwd()
    name = target.partition(":")[0].partition(".")[0].strip()
    found = os.path.isdir(os.path.join(here, name)) or os.path.isfile(os.path.join(here, f"{name}.py"))
    if name.isidentifier() and found and here not in sys.path:
        sys.path.insert(0, here)

"""``kitaru mcp``: tools for agents."""

from __future__ import annotations

from typing import Any

import click

from kitaru.cli.output import exit_with_error, guarded
from kitaru.errors import KitaruUsageError


@click.command(
    epilog="Tell your agent to start the command `kitaru` with the argument `mcp`, over stdio; for Claude Code: "
    "claude mcp add kitaru -- kitaru mcp"
)
@click.option(
    "--allow",
    type=click.Choice(("read", "write", "destructive")),
    default="read",
    show_default=True,
    help="read: look. write: also start, answer and continue executions, and make stacks. destructive: also cancel, "
    "abort and delete.",
)
@click.option("--transport", type=click.Choice(("stdio", "http")), default="stdio", show_default=True)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8384, show_default=True, help="Of http; on the loopback."
)
@click.option("--max-output", type=int, metavar="BYTES", help="Cut longer results; default 60000.")
def mcp(allow: str, transport: str, port: int, max_output: int | None) -> None:
    """Serve Kitaru's tools to an agent, over the Model Context Protocol (needs the extra `kitaru[mcp]`).

    Over stdio the agent starts this itself. Over http it needs the token that is printed, or KITARU_MCP_TOKEN.
    """
    options: dict[str, Any] = {"allow": allow, "transport": transport, "port": port}
    if max_output is not None:
        options["max_output_bytes"] = guarded("mcp", "text", lambda: _checked(max_output))
    try:
        from kitaru.mcp.server import Settings, serve
    except ImportError as error:
        exit_with_error("mcp", str(error), output="text", error_type="ImportError")
    guarded("mcp", "text", lambda: serve(Settings(**options)))


def _checked(most: int) -> int:
    if most < 1000:
        raise KitaruUsageError("--max-output must be 1000 or more.")
    return most

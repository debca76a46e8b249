"""``kitaru log-store``: where runtime logs go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import guarded, output_option, print_item, snapshot, success, warn

if TYPE_CHECKING:
    from kitaru.config.log_store import ResolvedLogStore


@click.group(
    cls=LazyGroup,
    table={
        "set": ("kitaru.cli.log_store:set_command", "Send runtime logs of new executions somewhere else."),
        "show": ("kitaru.cli.log_store:show", "Show where runtime logs of new executions go."),
        "reset": ("kitaru.cli.log_store:reset", "Let every stack keep its own logs again."),
    },
)
def log_store() -> None:
    """Choose where runtime logs go: what flows and checkpoints print and log.

    Without a choice the stack of an execution keeps its logs. A choice holds for executions that start afterwards.
    """


@click.command(name="set")
@click.argument("backend")
@click.option("--endpoint", required=True, metavar="URL", help="Address of the log store.")
@click.option("--api-key", metavar="KEY", help="Its key; `-` reads it from stdin, or asks for it.")
@output_option
def set_command(backend: str, endpoint: str, api_key: str | None, output: str) -> None:
    """Send runtime logs of new executions to BACKEND, such as `otel`."""
    from kitaru.config.log_store import set_global_log_store

    if api_key == "-":
        api_key = _asked()
    _changed(
        "log-store.set",
        "Saved global log-store override.",
        output,
        lambda: set_global_log_store(backend, endpoint=endpoint, api_key=api_key),
    )


@click.command()
@output_option
def show(output: str) -> None:
    """Show where runtime logs of new executions go, and who says so."""
    from kitaru.config.log_store import resolve_log_store

    item = guarded("log-store.show", output, lambda: _item(resolve_log_store()))
    if output == "json":
        print_item("log-store.show", item)
        return
    own = f"{item['active_stack_backend']} (stack {item['active_stack_name']})"
    snapshot(
        "Kitaru log store",
        [
            ("Backend", item["backend"]),
            ("Endpoint", item["endpoint"] or "not set"),
            ("API key", "configured" if item["api_key_configured"] else "not set"),
            ("Source", item["source"]),
            ("The stack's own", own if item["active_stack_backend"] else None),
        ],
        warning=item["warning"],
    )


@click.command()
@output_option
def reset(output: str) -> None:
    """Let every stack keep its own logs again."""
    from kitaru.config.log_store import reset_global_log_store

    _changed("log-store.reset", "Cleared global log-store override.", output, reset_global_log_store)


def _changed(command: str, text: str, output: str, change: Callable[[], ResolvedLogStore]) -> None:
    item = guarded(command, output, lambda: _item(change()))
    if output == "json":
        print_item(command, item)
        return
    by = "" if item["source"] == "default" else f" (from {item['source']} settings)"
    success(text, f"Effective backend: {item['backend']}{by}")
    if item["warning"]:
        warn(item["warning"])


def _item(preferred: ResolvedLogStore) -> dict[str, Any]:
    from kitaru.client.log_store import serialize_resolved_log_store

    return serialize_resolved_log_store(preferred)


def _asked() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("API key", hide_input=True))
    return sys.stdin.readline().strip()

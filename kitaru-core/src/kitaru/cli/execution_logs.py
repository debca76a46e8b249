"""``kitaru executions logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, guarded, output_option, print_event, print_items
from kitaru.client.watching import DRIVEN
from kitaru.errors import KitaruUsageError
from kitaru.runtime.outcome import answer_command
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.models import LogEntry, PendingWait

_COMMAND = "executions.logs"
_RULE = "─" * 30


@click.command()
@click.argument("exec_id")
@click.option("--checkpoint", metavar="NAME", help="Only calls of this name (or this invocation id).")
@click.option("--source", default="all", show_default=True, help="step (checkpoints), runner (the flow body) or all.")
@click.option("--call", metavar="ID", help="Only this call, by its call id or invocation id.")
@click.option("--level", metavar="LEVEL", help="Only lines of this level and above: debug, info, warning, error, ...")
@click.option("--since", metavar="WHEN", help="Only lines from then on: a time (UTC), or how long ago, such as 10m.")
@click.option("--limit", type=int, help="Only the oldest so many lines.")
@click.option("--tail", type=int, help="Only the newest so many lines; with --follow: where to begin.")
@click.option("--follow", is_flag=True, help="Go on until the execution has ended.")
@click.option("--interval", type=float, default=0.5, show_default=True, help="Seconds between two looks of --follow.")
@click.option("--grouped", is_flag=True, help="One block per checkpoint.")
@click.option("-v", "--verbosity", count=True, help="-v: time and level; -vv: where from, too.")
@output_option
def logs(
    exec_id: str,
    follow: bool,
    interval: float,
    grouped: bool,
    verbosity: int,
    output: str,
    **selection: Any,
) -> None:
    """Show what an execution printed and logged, oldest lines first.

    --follow goes on while the execution waits for an answer, and says so. Its exit code is 1 when the execution ends
    as failed, cancelled or interrupted.
    """
    client = guarded(_COMMAND, output, lambda: _checked_client(grouped and output == "json", interval))
    if follow:
        _follow(client, exec_id, selection, interval, verbosity, output)
        return
    entries = guarded(
        _COMMAND,
        output,
        lambda: client.executions.logs(exec_id, **selection),
    )
    if output == "json":
        from kitaru.inspection import serialize_log_entry

        print_items(_COMMAND, [serialize_log_entry(entry) for entry in entries])
    elif not entries:
        click.echo(f"No log entries found for execution {exec_id}.")
        click.echo("  Only what bodies print or log while the execution runs is kept.")
    elif grouped:
        _print_grouped(entries, verbosity)
    else:
        for entry in entries:
            click.echo(_line(entry, verbosity))


def _checked_client(grouped_json: bool, interval: float) -> KitaruClient:
    from kitaru.client import KitaruClient

    if grouped_json:
        raise KitaruUsageError("--grouped is for people: it cannot be combined with --output json.")
    if not interval > 0:
        raise KitaruUsageError(f"--interval must be above 0; got {interval}.")
    return KitaruClient()


def _follow(
    client: KitaruClient,
    exec_id: str,
    selection: dict[str, Any],
    interval: float,
    verbosity: int,
    output: str,
) -> None:
    def waiting(wait: PendingWait) -> None:
        if output == "json":
            item = {"wait_name": wait.name, "wait_id": wait.wait_id, "question": wait.question}
            print_event(_COMMAND, "waiting", {"exec_id": wait.exec_id, **item})
            return
        click.echo(f"[Execution is waiting for input on: {clean(wait.name)}]")
        command = answer_command(wait.exec_id or exec_id, wait.name, wait.schema)  # a child's wait has the child's id
        click.echo(clean(f"Answer it with: {command}"), err=True)

    def show() -> ExecutionStatus:
        from kitaru.inspection import serialize_log_entry

        lines = client.executions.logs(exec_id, follow=True, interval=interval, on_waiting=waiting, **selection)
        for entry in lines:
            if output == "json":
                print_event(_COMMAND, "log", serialize_log_entry(entry))
            else:
                click.echo(_line(entry, verbosity))
        return client.executions.status(exec_id)

    try:
        status = guarded(_COMMAND, output, show)
    except KeyboardInterrupt:
        if output == "json":
            print_event(_COMMAND, "interrupted", {"message": "Log follow interrupted"})
        else:
            click.echo("[Log follow interrupted]")
        raise SystemExit(1) from None
    reason = client.executions.get(exec_id).failure if status is ExecutionStatus.FAILED else None
    message = f"Execution {status.value}" + (f": {reason.message}" if reason is not None else "")
    if status is ExecutionStatus.INTERRUPTED:
        message = f"Execution interrupted: `kitaru executions resume {exec_id}` continues it"
    if status is ExecutionStatus.COMPLETED:
        message = "Execution completed successfully"
    if output == "json":
        print_event(_COMMAND, "terminal", {"status": status.value, "message": message})
    else:
        click.echo(f"[{clean(message)}]")
    if status not in (ExecutionStatus.COMPLETED, ExecutionStatus.WAITING, *DRIVEN):
        raise SystemExit(1)


def _print_grouped(entries: list[LogEntry], verbosity: int) -> None:
    groups: dict[str, list[LogEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.invocation_id or entry.checkpoint_name or "", []).append(entry)
    for place, (name, lines) in enumerate(groups.items()):
        if place:
            click.echo()
        title = f"checkpoint: {name}" if name else "flow body"
        click.echo(clean(f"── {title} {_RULE}"))
        for entry in lines:
            click.echo(_line(entry, verbosity))


def _line(entry: LogEntry, verbosity: int) -> str:
    message = clean(entry.message)
    if verbosity < 1:
        return message
    moment = _moment(entry.timestamp)
    prefix = f"{moment} {clean(entry.level or 'INFO').upper():<5}"
    if verbosity > 1:
        prefix += f" [{clean(entry.module or entry.invocation_id or entry.checkpoint_name or 'unknown')}]"
    return f"{prefix} {message}"


def _moment(timestamp: str | None) -> str:
    from datetime import datetime

    if timestamp is None:
        return "-"
    try:
        return datetime.fromisoformat(timestamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return clean(timestamp)

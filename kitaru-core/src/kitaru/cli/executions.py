"""``kitaru executions``: list, inspect, continue and stop executions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli import driving
from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import (
    clean,
    duration,
    guarded,
    output_option,
    print_item,
    print_items,
    snapshot,
    success,
    table,
)
from kitaru.cli.streams import user_output
from kitaru.errors import KitaruError
from kitaru.runtime.outcome import answer_command

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.models import CheckpointCall, Execution

_CALLS_SHOWN = 40
_RESULT_SHOWN = 2000
_STATUSES = "pending, running, waiting, interrupted, completed, failed or cancelled"


@click.group(
    cls=LazyGroup,
    table={
        "list": ("kitaru.cli.executions:list_command", "Show executions, newest first."),
        "get": ("kitaru.cli.executions:get", "Show one execution with its calls."),
        "latest": ("kitaru.cli.executions:latest", "Show the newest execution."),
        "logs": ("kitaru.cli.execution_logs:logs", "Show what an execution printed and logged."),
        "input": ("kitaru.cli.execution_input:input_command", "Answer what an execution waits for."),
        "abort": ("kitaru.cli.execution_input:abort_command", "Give up what an execution waits for."),
        "diff": ("kitaru.cli.execution_diff:diff", "Show two executions side by side."),
        "statistics": ("kitaru.cli.execution_statistics:statistics", "Count executions, durations and costs."),
        "export": ("kitaru.cli.execution_files:export", "Write an ended execution to a file."),
        "import": ("kitaru.cli.execution_files:import_command", "Store an execution from such a file."),
        "resume": ("kitaru.cli.executions:resume", "Continue an execution in the foreground."),
        "retry": ("kitaru.cli.executions:retry", "Run the failed calls of a failed execution again."),
        "replay": ("kitaru.cli.execution_replay:replay", "Start a new execution from the records of an old one."),
        "cancel": ("kitaru.cli.executions:cancel", "Stop an execution and its children."),
    },
)
def executions() -> None:
    """List, inspect, continue and stop executions."""


@click.command(name="list")
@click.option("--flow", metavar="NAME", help="Only executions of this flow.")
@click.option("--status", metavar="STATUS", help=f"Only executions that are {_STATUSES}.")
@click.option("--stack", metavar="NAME", help="Only executions on this stack.")
@click.option(
    "--since", metavar="TIME", help="Only executions made from then on: 2026-05-01T12:00, or 90m, 12h, 30d ago."
)
@click.option("--until", metavar="TIME", help="Only executions made before then.")
@click.option("--limit", type=int, default=25, show_default=True, help="At most this many.")
@click.option("--cursor", metavar="ID", help="Go on behind this execution: the last one of the previous page.")
@output_option
def list_command(
    flow: str | None,
    status: str | None,
    stack: str | None,
    since: str | None,
    until: str | None,
    limit: int,
    cursor: str | None,
    output: str,
) -> None:
    """Show executions, newest first."""

    def listed() -> list[Execution]:
        return _client().executions.list(
            flow=flow, status=status, stack=stack, limit=limit, cursor=cursor, since=since, until=until
        )

    found = guarded("executions.list", output, listed)
    if output == "json":
        from kitaru.inspection import serialize_execution_summary

        print_items("executions.list", [serialize_execution_summary(execution) for execution in found])
        return
    rows = [
        (one.exec_id, one.flow_name or "", one.status.value, _moment(one.started_at), _took(one), one.stack_name or "")
        for one in found
    ]
    table("Kitaru executions", ("ID", "Flow", "Status", "Started", "Took", "Stack"), rows)
    if len(found) == limit:
        click.echo(f"\n  More: kitaru executions list --limit {limit} --cursor {found[-1].exec_id}")


@click.command()
@click.argument("exec_id")
@output_option
def get(exec_id: str, output: str) -> None:
    """Show one execution with its calls, and what it returned."""
    _show("executions.get", guarded("executions.get", output, lambda: _client().executions.get(exec_id)), output)


@click.command()
@click.option("--flow", metavar="NAME", help="Only executions of this flow.")
@click.option("--status", metavar="STATUS", help=f"Only executions that are {_STATUSES}.")
@click.option("--stack", metavar="NAME", help="Only executions on this stack.")
@output_option
def latest(flow: str | None, status: str | None, stack: str | None, output: str) -> None:
    """Show the newest execution that fits, with its calls, and what it returned."""

    def found() -> Execution:
        return _client().executions.latest(flow=flow, status=status, stack=stack)

    _show("executions.latest", guarded("executions.latest", output, found), output)


def _show(command: str, found: Execution, output: str) -> None:
    if output == "json":
        from kitaru.inspection import serialize_execution

        print_item(command, {**serialize_execution(found), "result": _result_item(found)})
        return
    _print_execution(found)


@click.command()
@click.argument("exec_id")
@output_option
def resume(exec_id: str, output: str) -> None:
    """Continue an interrupted, cancelled, waiting or pending execution, and follow it to its end.

    Recorded calls are reused; it goes on at the first call that has no recorded outcome.
    """
    _continue("executions.resume", exec_id, output, retry=False)


@click.command()
@click.argument("exec_id")
@output_option
def retry(exec_id: str, output: str) -> None:
    """Run the failed calls of a failed execution again, and follow it to its end.

    Failures that the flow itself caught stay as they were recorded.
    """
    _continue("executions.retry", exec_id, output, retry=True)


@click.command()
@click.argument("exec_id")
@output_option
def cancel(exec_id: str, output: str) -> None:
    """Stop an execution and its children. `resume` can still continue it."""
    cancelled = guarded("executions.cancel", output, lambda: _client().executions.cancel(exec_id))
    if output == "json":
        from kitaru.inspection import serialize_execution

        print_item("executions.cancel", serialize_execution(cancelled))
        return
    status = cancelled.status.value
    if not cancelled.status.finished:
        success(f"Asked for the cancellation of execution: {exec_id}", f"Status: {status}; its owner stops it")
        return
    success(f"Cancelled execution: {exec_id}", f"Status: {status}")


def _continue(command: str, exec_id: str, output: str, *, retry: bool) -> None:
    with user_output(to_stderr=output == "json") as streams:
        # Nothing is imported or shown before the execution runs: what only people need comes after it has started.
        client = guarded(command, output, _client)
        since = time.time_ns() // 1000
        guarded(command, output, lambda: client.executions.drive(exec_id, retry=retry))
        if output == "text":
            click.echo(f"{'Retrying' if retry else 'Resuming'} execution {exec_id}", err=True)
        last = guarded(
            command,
            output,
            lambda: driving.to_the_end(client, exec_id, command=command, output=output, streams=streams, since=since),
        )
    guarded(command, output, lambda: driving.finish(client, last, command=command, output=output))


def _print_execution(execution: Execution) -> None:
    failure = execution.failure
    snapshot(
        "Kitaru execution",
        [
            ("Execution ID", execution.exec_id),
            ("Flow", execution.flow_name),
            ("Status", execution.status.value),
            ("Reason", execution.status_reason),
            ("Started", _moment(execution.started_at) or "not started"),
            ("Ended", _moment(execution.ended_at) or None),
            ("Took", _took(execution) or None),
            ("Stack", execution.stack_name or "not set"),
            ("Parent", execution.parent_exec_id),
            ("Replay of", execution.original_exec_id),
            ("Idempotency key", execution.idempotency_key),
            ("Timer due", _moment(execution.wake_at) or None),
            ("Pending wait", ", ".join(wait.name for wait in execution.pending_waits) or None),
            ("Wait question", execution.pending_wait.question if execution.pending_wait is not None else None),
            ("Owners lost", execution.owners_lost or None),
            ("Failure", f"{failure.message} ({failure.origin.value})" if failure is not None else None),
            ("Cost", _spent(execution)),
            ("Metadata", execution.metadata or None),
            ("Children", ", ".join(f"{one.flow_name} {one.exec_id}" for one in execution.children) or None),
        ],
    )
    calls = execution.checkpoints
    click.echo(f"  Checkpoints: {len(calls) or 'none'}")
    for call in calls[:_CALLS_SHOWN]:
        click.echo(f"    {_call_line(call)}")
    if len(calls) > _CALLS_SHOWN:
        click.echo(f"    ... (+{len(calls) - _CALLS_SHOWN} more; `--output json` shows all)")
    if execution.status.value == "completed":
        _print_result(execution)
    hint = {
        "interrupted": f"kitaru executions resume {execution.exec_id}",
        "cancelled": f"kitaru executions resume {execution.exec_id}",
        "failed": f"kitaru executions retry {execution.exec_id}",
    }.get(execution.status.value)
    if execution.pending_wait is not None:
        asked = execution.pending_wait
        hint = answer_command(execution.exec_id, asked.name, asked.schema)
    if hint is not None:
        click.echo(f"\n  Continue it: {hint}")


def _print_result(execution: Execution) -> None:
    try:
        value, kind = _client().executions.result_data(execution.exec_id)
    except KitaruError as error:
        shown, kind = f"cannot be read: {error}", ""
    else:
        if value is None:
            return
        shown = driving.text_of(value)
    if len(shown) > _RESULT_SHOWN:
        shown = f"{shown[:_RESULT_SHOWN]}\n... (`--output json` shows all)"
    click.echo(f"  Result{f' ({clean(kind)})' if kind else ''}:")
    for line in clean(shown).splitlines():
        click.echo(f"    {line}")


def _result_item(execution: Execution) -> dict[str, Any] | None:
    """The result for programs; None while there is none."""
    if execution.status.value != "completed":
        return None
    try:
        value, kind = _client().executions.result_data(execution.exec_id)
    except KitaruError as error:
        return {"value": None, "value_type": None, "unreadable": str(error)}
    return {"value": value, "value_type": kind}


def _call_line(call: CheckpointCall) -> str:
    parts = [f"{call.status.value:<11} {call.invocation_id}"]
    if call.started_at is not None and call.ended_at is not None:
        parts.append(duration((call.ended_at - call.started_at).total_seconds()))
    if call.cached:
        parts.append("(cached)")
    if call.original_call_id is not None:
        parts.append("(reused)")
    if len(call.attempts) > 1:
        parts.append(f"({len(call.attempts)} attempts)")
    if call.failure is not None:
        parts.append(f"{call.failure.exception_type or 'failed'}: {call.failure.message.splitlines()[0][:200]}")
    return clean("  ".join(parts)).replace("\n", " ")


def _spent(execution: Execution) -> str | None:
    """What its model calls cost; those that a replay took over apart."""
    from kitaru.client.costs import costs_of

    costs = costs_of(execution)
    calls, reused = costs.model_calls, costs.model_calls_reused
    if not (calls or reused or costs.cost):
        return None
    told = f"{costs.cost:.4g} ({calls} model call{'s' if calls != 1 else ''}, {costs.tokens} tokens)"
    return f"{told}; reused: {costs.cost_reused:.4g} ({reused})" if reused else told


def _moment(moment: Any) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment is not None else ""


def _took(execution: Execution) -> str:
    if execution.started_at is None or execution.ended_at is None:
        return ""
    return duration((execution.ended_at - execution.started_at).total_seconds())


def _client() -> KitaruClient:
    from kitaru.client import KitaruClient

    return KitaruClient()

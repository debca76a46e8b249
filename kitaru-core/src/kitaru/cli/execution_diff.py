"""``kitaru executions diff``: two executions side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kitaru.cli.output import clean, duration, guarded, output_option, print_item, snapshot, table
from kitaru.cli.working import working

if TYPE_CHECKING:
    from kitaru.models import CallDifference, ExecutionDiff, ExecutionSide


@click.command()
@click.argument("first", metavar="EXEC_ID")
@click.argument("second", metavar="EXEC_ID")
@click.option("--all", "everything", is_flag=True, help="Calls that are the same in both, too.")
@output_option
def diff(first: str, second: str, everything: bool, output: str) -> None:
    """Show two executions side by side: what they were given, what each call gave, and what it took and cost.

    Values are compared as they are stored; a replay and its original are typical for it. The exit code is 0.
    """

    def found() -> ExecutionDiff:
        from kitaru.client import KitaruClient

        return KitaruClient().executions.diff(first, second)

    with working("Comparing"):
        compared = guarded("executions.diff", output, found)
    if output == "json":
        from kitaru.inspection import serialize_execution_diff

        print_item("executions.diff", serialize_execution_diff(compared))
        return
    _print(compared, everything=everything)


def _print(compared: ExecutionDiff, *, everything: bool) -> None:
    one, two = compared.first, compared.second
    rows = [
        ("Execution", one.exec_id, two.exec_id),
        ("Flow", one.flow_name or "", two.flow_name or ""),
        ("Status", one.status.value, two.status.value),
        ("Took", _time(one.seconds), _time(two.seconds)),
        ("Cost", _money(one), _money(two)),
        ("Tokens", str(one.tokens or ""), str(two.tokens or "")),
    ]
    table("Two executions", ("", "First", "Second"), rows)
    for difference in compared.inputs:
        click.echo(f"\n  Input {clean(difference.argument)}:")
        _both(difference.recorded, difference.now)
    if compared.results_differ:
        click.echo("\n  Result:")
        _both(compared.first_result, compared.second_result)
    shown = compared.calls if everything else [call for call in compared.calls if call.verdict != "same"]
    click.echo("")
    header = ("Call", "", "First", "Second", "Took", "Cost")
    table("Calls" if everything else "Calls that differ", header, [_row(call) for call in shown])
    for call in shown:
        _details(call)
    same = len(compared.calls) - len([call for call in compared.calls if call.verdict != "same"])
    if same and not everything:
        snapshot("", [("The same in both", f"{same} calls; `--all` shows them")])


def _row(call: CallDifference) -> tuple[str, ...]:
    priced = call.first_cost is not None or call.second_cost is not None
    return (
        call.invocation_id,
        call.verdict + (" (reused)" if call.reused else ""),
        call.first_status.value if call.first_status is not None else "-",
        call.second_status.value if call.second_status is not None else "-",
        f"{_time(call.first_seconds) or '-'} / {_time(call.second_seconds) or '-'}",
        f"{_cost(call.first_cost)} / {_cost(call.second_cost)}" if priced else "",
    )


def _details(call: CallDifference) -> None:
    if not call.inputs and call.first_value is None and call.second_value is None:
        return
    click.echo(f"\n  {clean(call.invocation_id)}")
    for difference in call.inputs:
        click.echo(f"    argument {clean(difference.argument)}:")
        _both(difference.recorded, difference.now, "      ")
    if call.first_value is not None or call.second_value is not None:
        click.echo("    value:")
        _both(call.first_value, call.second_value, "      ")


def _both(first: str | None, second: str | None, indent: str = "    ") -> None:
    for sign, text in (("-", first), ("+", second)):
        for line in clean(text if text is not None else "(none)").splitlines() or [""]:
            click.echo(f"{indent}{sign} {line}")


def _time(seconds: float | None) -> str:
    return duration(seconds) if seconds is not None else ""


def _cost(cost: float | None) -> str:
    return f"{cost:.4g}" if cost is not None else "-"


def _money(side: ExecutionSide) -> str:
    reused = f" (and {side.cost_reused:.4g} reused)" if side.cost_reused else ""
    return f"{side.cost:.4g}{reused}" if side.cost or side.cost_reused else ""

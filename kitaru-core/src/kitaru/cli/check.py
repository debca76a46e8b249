"""``kitaru check``: would open executions still fit the code?"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, guarded, output_option, print_items
from kitaru.cli.working import working

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.models import CheckReport


@click.command()
@click.argument("exec_ids", metavar="[EXEC_ID]...", nargs=-1)
@click.option("--flow", metavar="NAME", help="Only open executions of this flow.")
@click.option("--timeout", type=float, default=60.0, show_default=True, help="Seconds that each check may take.")
@output_option
def check(exec_ids: tuple[str, ...], flow: str | None, timeout: float, output: str) -> None:
    """Replay open executions against the code as it is now, without running a checkpoint or writing anything.

    Says where each one would continue, or where it would diverge and why. Without ids: all that are interrupted,
    waiting, failed or pending. The flow's own code between checkpoints runs for real, in a process per execution. The
    exit code is 1 when the code does not fit one of them.
    """

    def ids() -> tuple[KitaruClient, list[str]]:
        from kitaru.client import KitaruClient
        from kitaru.client.checking import OPEN

        client = KitaruClient()
        if exec_ids:
            return client, list(exec_ids)
        return client, [one.exec_id for status in OPEN for one in client.executions.list(flow=flow, status=status)]

    client, chosen = guarded("check", output, ids)
    rows: list[dict[str, Any]] = []
    for exec_id in chosen:
        with working(f"Checking {exec_id}"):
            report = guarded("check", output, functools.partial(client.executions.check, exec_id, timeout=timeout))
        rows.append(_row(report))
        if output == "text":
            _print(report)
    if output == "json":
        print_items("check", rows)
    elif not rows:
        click.echo("No open executions to check.")
    if not all(row["fits"] for row in rows):
        raise SystemExit(1)


def _row(report: CheckReport) -> dict[str, Any]:
    from kitaru.inspection import serialize_check_report

    return serialize_check_report(report)


def _print(report: CheckReport) -> None:
    click.echo(f"  {report.verdict:<10} {report.exec_id}  {clean(report.flow_name)} ({report.status.value})")
    if report.verdict == "diverges":
        click.echo(f"             checkpoint `{clean(report.place)}`")
        for one in report.differences:
            told = f"argument `{one.argument}`: recorded {one.recorded or 'nothing'}, now {one.now or 'nothing'}"
            click.echo(f"             {clean(told)}")
    else:
        click.echo(f"             {clean(report.message)}")

"""``kitaru executions statistics``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kitaru.cli.output import duration, guarded, output_option, print_item, table

if TYPE_CHECKING:
    from kitaru.models import StatisticsGroup

_DAYS_SHOWN = 14


@click.command()
@click.option("--flow", metavar="NAME", help="Only executions of this flow.")
@click.option("--status", metavar="STATUS", help="Only executions that are this.")
@click.option("--since", metavar="WHEN", help="Only those created from then on: a time (UTC), or how long ago: 7d.")
@click.option("--until", metavar="WHEN", help="Only those created before then.")
@output_option
def statistics(flow: str | None, status: str | None, since: str | None, until: str | None, output: str) -> None:
    """Count executions, their durations and logged costs, by flow, status and day."""
    from kitaru.client import KitaruClient

    found = guarded(
        "executions.statistics",
        output,
        lambda: KitaruClient().executions.statistics(flow=flow, status=status, since=since, until=until),
    )
    if output == "json":
        from kitaru.inspection import to_jsonable

        print_item("executions.statistics", to_jsonable(found, fallback_repr=False))
        return
    headings = ("", "Executions", "Ended", "Mean", "Longest", "Cost", "Reused")
    for title, groups in (
        ("By flow", [*found.by_flow, found.total]),
        ("By status", found.by_status),
        ("By day (UTC)", found.by_day[-_DAYS_SHOWN:]),
    ):
        table(title, headings, [_row(group) for group in groups])


def _row(group: StatisticsGroup) -> tuple[str, ...]:
    return (
        group.name,
        str(group.executions),
        str(group.ended),
        duration(group.seconds_mean) if group.seconds_mean is not None else "",
        duration(group.seconds_max) if group.seconds_max is not None else "",
        f"{group.cost:.4g}" if group.cost else "",
        f"{group.cost_reused:.4g}" if group.cost_reused else "",
    )

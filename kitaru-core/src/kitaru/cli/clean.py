"""``kitaru clean``: remove old executions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kitaru.cli.output import exit_with_error, guarded, output_option, print_item, success
from kitaru.cli.working import working

if TYPE_CHECKING:
    from kitaru.client.retention import Cleaning

_DEFAULT_AGE = "30d"


@click.command()
@click.option("--older-than", metavar="AGE", help=f"Only what ended longer ago: 12h, 30d. [default: {_DEFAULT_AGE}]")
@click.option("--status", multiple=True, metavar="STATUS", help="completed, failed or cancelled; may be repeated.")
@click.option("--flow", metavar="NAME", help="Only executions of this flow.")
@click.option("--keep-last", type=int, default=0, metavar="N", help="Keep the newest N ended ones of each flow.")
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def clean(
    older_than: str | None,
    status: tuple[str, ...],
    flow: str | None,
    keep_last: int,
    dry_run: bool,
    yes: bool,
    output: str,
) -> None:
    """Remove ended executions with all that was stored for them. Active ones are never touched.

    The default age holds unless --older-than or --keep-last is given. Safe beside running flows, and to interrupt.
    """
    from kitaru.client import KitaruClient

    age = older_than if older_than is not None or keep_last else _DEFAULT_AGE
    client = guarded("clean", output, KitaruClient)

    def run(only_look: bool) -> Cleaning:
        return client.clean(older_than=age, status=status or None, flow=flow, keep_last=keep_last, dry_run=only_look)

    if dry_run or not yes:
        found = len(guarded("clean", output, lambda: run(True)).removed)
        if dry_run:
            _report(output, found, note="dry run: nothing was changed", dry_run=True)
            return
        if output == "json":
            exit_with_error("clean", "this removes executions for good: add --yes, or --dry-run.", output=output)
        if found and not click.confirm(f"Remove {found} execution{'s' if found != 1 else ''} for good?"):
            return
    with working("Removing executions"):
        done = guarded("clean", output, lambda: run(False))
    _report(output, len(done.removed), len(done.kept), done.artifacts, done.note, dry_run=False)


def _report(
    output: str, removed: int, kept: int = 0, artifacts: int | None = None, note: str | None = None, *, dry_run: bool
) -> None:
    if output == "json":
        print_item("clean", {"removed": removed, "kept": kept, "artifacts": artifacts, "note": note})
        return
    details = [f"Kept because others need them: {kept}"] if kept else []
    if artifacts is not None:
        details.append(f"Large values removed: {artifacts}")
    if note is not None:
        details.append(note)
    success(f"Executions {'to remove' if dry_run else 'removed'}: {removed}", *details)

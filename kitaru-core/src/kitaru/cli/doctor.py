"""``kitaru doctor``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, guarded, output_option, print_item, snapshot, success
from kitaru.cli.working import working

if TYPE_CHECKING:
    from kitaru.client.diagnosis import Diagnosis
    from kitaru.journal.salvage import SalvageReport


@click.command()
@click.option(
    "--salvage", metavar="FILE", help="Copy what can still be read of a damaged journal into the new journal FILE."
)
@output_option
def doctor(salvage: str | None, output: str) -> None:
    """Check the journal and this installation. Changes nothing.

    The exit code is 1 when something is wrong: the journal cannot be opened, is damaged, or lies on a file system that
    SQLite cannot lock. With --salvage it is 1 when something was lost.
    """
    if salvage is not None:
        _salvage(salvage, output)
        return

    def examined() -> Diagnosis:
        from kitaru.client.diagnosis import diagnose

        return diagnose()

    with working("Looking at the journal"):
        found = guarded("doctor", output, examined)
    if output == "json":
        print_item("doctor", {**dataclasses.asdict(found), "sound": found.sound})
    else:
        _print_diagnosis(found)
    if not found.sound:
        raise SystemExit(1)


def _print_diagnosis(found: Diagnosis) -> None:
    store = found.store
    snapshot(
        "Kitaru doctor",
        [
            ("Kitaru", found.kitaru),
            ("Python", f"{found.python} on {found.platform}"),
            ("Journal", store.get("url", "unavailable")),
            ("File", store.get("path")),
            ("File system", store.get("file_system")),
            ("Size", _bytes(store.get("bytes"))),
            ("Durability", store.get("durability")),
            ("Schema", store.get("schema_version")),
            ("SQLite", store.get("sqlite_version")),
            ("Journal mode", store.get("journal_mode")),
            ("Executions", store.get("executions")),
            ("Interrupted", len(found.interrupted) or None),
            ("Overdue timers", ", ".join(found.overdue_timers) or None),
            ("Plugins", ", ".join(f"{one['name']} ({one['status']})" for one in found.plugins) or "none"),
        ],
    )
    for note in found.notes:
        click.echo(f"  Note: {clean(note)}")
    for problem in found.problems:
        click.echo(f"  Problem: {clean(problem)}")
    click.echo()
    if found.sound:
        success("The journal is sound.")
    else:
        click.echo(f"{len(found.problems)} problem{'s' if len(found.problems) > 1 else ''} found.")


def _salvage(target: str, output: str) -> None:
    def salvaged() -> SalvageReport:
        from kitaru.client.diagnosis import salvage_journal

        return salvage_journal(target)

    report = guarded("doctor", output, salvaged)
    if output == "json":
        print_item("doctor", {**dataclasses.asdict(report), "target": target, "complete": report.complete})
    else:
        _print_salvage(report, target)
    if not report.complete:
        raise SystemExit(1)


def _print_salvage(report: SalvageReport, target: str) -> None:
    success(
        f"Salvaged {report.executions} executions with {report.entries} entries into {target}",
        f"Use it with KITARU_JOURNAL_URL=sqlite:///{target}",
    )
    if report.complete:
        click.echo("  Nothing was lost.")
        return
    click.echo(f"  Lost, at least: {report.executions_lost} executions, {report.entries_lost} entries.")
    for exec_id, lost in report.damaged.items():
        click.echo(f"  Execution {clean(exec_id)} lost {lost} entries: resuming it runs those calls again.")
    for problem in report.problems:
        click.echo(f"  Problem: {clean(problem)}")


def _bytes(size: Any) -> str | None:
    if not isinstance(size, int):
        return None
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.1f} {unit}" if isinstance(size, float) else f"{size} {unit}"
        size = size / 1000
    return None

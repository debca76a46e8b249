"""``kitaru doctor``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, guarded, output_option, print_item, snapshot, success

if TYPE_CHECKING:
    from kitaru.client.diagnosis import Diagnosis


@click.command()
@output_option
def doctor(output: str) -> None:
    """Check the journal and this installation. Changes nothing.

    The exit code is 1 when something is wrong: the journal cannot be opened, is damaged, or lies on a file system that
    SQLite cannot lock.
    """

    def examined() -> Diagnosis:
        from kitaru.client.diagnosis import diagnose

        return diagnose()

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


def _bytes(size: Any) -> str | None:
    if not isinstance(size, int):
        return None
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.1f} {unit}" if isinstance(size, float) else f"{size} {unit}"
        size = size / 1000
    return None

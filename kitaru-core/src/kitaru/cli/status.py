"""``kitaru status`` and ``kitaru info``: what is in force here."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kitaru.cli.output import guarded, output_option, print_item, snapshot, warn

if TYPE_CHECKING:
    from kitaru.client.runtime_snapshot import RuntimeSnapshot


@click.command()
@output_option
def status(output: str) -> None:
    """Show what flows started here would use, in short: journal, stack, and the variables that are set.

    Servers come with a later version: a login that `kitaru.connect()` has kept is shown, with a warning.
    """
    found = _shown("status", output)
    if found is None:
        return
    snapshot(
        "Kitaru status",
        [
            ("SDK version", found.sdk_version),
            ("Connection", found.connection),
            ("Connection target", found.connection_target),
            ("Server URL", found.server_url),
            ("Active user", found.active_user or "unavailable"),
            ("Active stack", found.active_stack or "unavailable"),
            ("Config directory", found.config_directory or "unavailable"),
            ("Local server", found.local_server_status),
            ("Log store", found.log_store_status),
        ],
    )
    if found.environment:
        snapshot("\nEnvironment", [(one.name, one.value) for one in found.environment])


@click.command()
@output_option
def info(output: str) -> None:
    """Show how this installation is set up, for a report: versions, connection, places."""
    found = _shown("info", output)
    if found is None:
        return
    snapshot(
        "Kitaru info",
        [
            ("SDK version", found.sdk_version),
            ("Connection", found.connection),
            ("Connection target", found.connection_target),
            ("Server URL", found.server_url or "not connected"),
            ("Server version", found.server_version or "not connected"),
            ("Server database", found.server_database or "not connected"),
            ("Server deployment", found.server_deployment_type or "not connected"),
            ("Active user", found.active_user or "unavailable"),
            ("Active stack", found.active_stack or "unavailable"),
            ("Repository root", found.repository_root or "not set"),
            ("Config directory", found.config_directory or "unavailable"),
            ("Local server", found.local_server_status or "not started"),
            ("Project override", found.project_override),
        ],
    )


def _shown(command: str, output: str) -> RuntimeSnapshot | None:
    """The snapshot, with its warnings on stderr; None once it was shown as JSON."""
    from kitaru.client.runtime_snapshot import build_runtime_snapshot

    found = guarded(command, output, build_runtime_snapshot)
    if output == "json":
        from kitaru.inspection import serialize_runtime_snapshot

        print_item(command, serialize_runtime_snapshot(found), nulls=True)
        return None
    for text in (found.warning, found.log_store_warning):
        if text is not None:
            warn(text)
    return found

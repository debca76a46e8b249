"""Commands that plugins register: listed without importing them, imported when one is called."""

from __future__ import annotations

import click

from kitaru.errors import KitaruPluginError


def declared() -> dict[str, str]:
    """Name and help of every command of an available plugin."""
    from kitaru.plugins.manager import plugin_manager

    return {command.name: command.help for command in plugin_manager().commands()}


def unavailable() -> dict[str, str]:
    """Name and reason of every plugin that is not available: its commands, if it has any, are unknown."""
    from kitaru.plugins.manager import plugin_manager

    return {one.name: one.reason or "" for one in plugin_manager().plugins() if one.status == "unavailable"}


def load(name: str) -> click.Command | None:
    """The command a plugin registered under ``name``; None when there is none.

    Raises click.ClickException when it cannot be imported, or is no click command.
    """
    from kitaru.plugins.manager import plugin_manager

    for command in plugin_manager().commands():
        if command.name == name:
            try:
                found = command.load()
            except KitaruPluginError as error:
                raise click.ClickException(f"{error} See `kitaru plugins list`.") from error
            if not isinstance(found, click.Command):
                raise click.ClickException(
                    f"the command `{name}` of a plugin is no click command: {command.path} is a {type(found).__name__}."
                )
            return found
    return None

"""Groups of commands that are loaded when they are asked for."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click


class LazyGroup(click.Group):
    """A group whose commands come from a table, and then from plugins."""

    def __init__(self, *args: Any, table: dict[str, tuple[str, str]], plugins: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table = table
        self._plugins = plugins

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            click.echo(ctx.get_help())  # asked for, in a way: no error, and on stdout
            ctx.exit()
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return [*self._table, *sorted(self._plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        row = self._table.get(cmd_name)
        if row is not None:
            return _load(row[0])
        return _plugin_command(cmd_name) if self._plugins else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        rows = [(name, help_text) for name, (_, help_text) in self._table.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        extra = self._plugin_commands()
        if extra:
            with formatter.section("Commands of plugins"):
                formatter.write_dl(sorted(extra.items()))
        missing = self._unavailable()
        if missing:
            with formatter.section("Plugins that are not available"):
                formatter.write_dl(sorted(missing.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            missing = self._unavailable()
            # The one that is called like the command, if there is one: most likely it is that one's.
            suspects = {name: missing[name] for name in args[:1] if name in missing} or missing
            if not suspects:
                close = get_close_matches(args[0], self.list_commands(ctx), 1) if args else []
                hint = f"Did you mean `{close[0]}`?" if close else f"`{ctx.command_path} --help` lists what there is."
                raise click.UsageError(f"{error.format_message()} {hint}", ctx) from error
            reasons = [f"Plugin `{name}` is not available: {reason}" for name, reason in suspects.items()]
            raise click.UsageError(" ".join([error.format_message(), *reasons]), ctx) from error

    def _unavailable(self) -> dict[str, str]:
        if not self._plugins:
            return {}
        from kitaru.cli.plugin_commands import unavailable

        return unavailable()

    def _plugin_commands(self) -> dict[str, str]:
        if not self._plugins:
            return {}
        from kitaru.cli.plugin_commands import declared

        return {name: help_text for name, help_text in declared().items() if name not in self._table}


def _load(path: str) -> click.Command:
    module, _, name = path.partition(":")
    command: click.Command = getattr(import_module(module), name)
    return command


def _plugin_command(name: str) -> click.Command | None:
    from kitaru.cli.plugin_commands import load

    return load(name)

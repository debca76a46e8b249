"""The ``kitaru`` command: a table of commands, each loaded when it is asked for."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence

import click

from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import exit_with_error, wants_json
from kitaru.errors import KitaruError
from kitaru.terminal.wanted import is_terminal, tell_elsewhere

#: name -> ("module:command", help for the overview). Showing the overview imports none of them.
COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("kitaru.cli.run:run", "Start a flow and follow it to its end."),
    "executions": ("kitaru.cli.executions:executions", "List, inspect, continue and stop executions."),
    "recover": ("kitaru.cli.recover:recover", "Continue executions whose process is gone, and due timers."),
    "check": ("kitaru.cli.check:check", "See whether open executions still fit the code."),
    "stack": ("kitaru.cli.stack:stack", "Choose where flows run and what they store."),
    "model": ("kitaru.cli.model:model", "Name the models that flows call."),
    "secrets": ("kitaru.cli.secrets:secrets", "Keep keys and passwords for flows."),
    "log-store": ("kitaru.cli.log_store:log_store", "Choose where runtime logs go."),
    "plugins": ("kitaru.cli.plugins:plugins", "Show the installed plugins, or begin a new one."),
    "clean": ("kitaru.cli.clean:clean", "Remove old executions with all that was stored for them."),
    "doctor": ("kitaru.cli.doctor:doctor", "Check the journal and this installation."),
    "status": ("kitaru.cli.status:status", "Show what flows started here would use."),
    "info": ("kitaru.cli.status:info", "Show how this installation is set up."),
    "init": ("kitaru.cli.init:init", "Mark the root of a project."),
    "schema": ("kitaru.cli.schema:schema", "Print the JSON Schema of a command's JSON output."),
    "mcp": ("kitaru.cli.mcp:mcp", "Serve tools to an agent."),
    "completion": ("kitaru.cli.completion:completion", "Make your shell complete commands."),
    "demo": ("kitaru.cli.demo:demo", "Watch a real flow being killed and continued."),
}


_FIRST = {
    "kitaru demo": "Watch a real flow being killed and continued.",
    "kitaru run FILE.py:FLOW": "Start a flow and follow it to its end.",
    "kitaru executions list": "See what ran, runs and waits; `get ID` shows one.",
    "kitaru executions resume ID": "Continue what was interrupted; recorded calls are not made again.",
    "kitaru executions input ID": "Answer what an execution waits for.",
}


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from kitaru.client.version import resolve_installed_version

    click.echo(f"kitaru {resolve_installed_version()}")
    ctx.exit()


@click.group(
    cls=LazyGroup,
    table=COMMANDS,
    plugins=True,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "-V",
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Durable execution for Python agents.

    A killed flow continues where it stopped: every checkpoint's result is journaled. See `kitaru demo`.
    """
    if ctx.invoked_subcommand is None:
        click.echo(_welcome(ctx))


def _welcome(ctx: click.Context) -> str:
    formatter = ctx.make_formatter()
    cli.format_usage(ctx, formatter)
    cli.format_help_text(ctx, formatter)
    with formatter.section("Five commands to begin with"):
        formatter.write_dl(list(_FIRST.items()))
    return f"{formatter.getvalue()}\nAll commands: `kitaru --help`; more about one: `kitaru COMMAND --help`."


def _tell_on_the_terminal() -> None:
    tell_elsewhere()  # commands show progress themselves
    if is_terminal():
        from kitaru.terminal.handler import install_terminal_log_intercept

        install_terminal_log_intercept()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 success, 1 an error, 2 a command line that cannot be parsed, 130 Ctrl-C.

    Without arguments it prints the first help. Errors come as text or, with ``--output json``, as one JSON object on
    stderr, those of the parser included.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # stored text may hold what this terminal cannot show: never a crash
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    _tell_on_the_terminal()
    try:
        code = cli.main(args=arguments, prog_name="kitaru", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except KitaruError as error:  # of a plugin's command: our own show theirs themselves
        dotted = ".".join(argument for argument in arguments[:2] if not argument.startswith("-"))
        output = "json" if wants_json(arguments) else "text"
        exit_with_error(dotted or "cli", str(error), output=output, error_type=type(error).__name__)
    except click.ClickException as error:
        if wants_json(arguments):
            command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "kitaru"
            dotted = ".".join(command.split()[1:]) or "cli"
            exit_with_error(
                dotted, error.format_message(), output="json", error_type=type(error).__name__, code=error.exit_code
            )
        error.show()
        sys.exit(error.exit_code)
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()

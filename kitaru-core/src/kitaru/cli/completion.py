"""``kitaru completion``: the script that makes a shell complete commands and options."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from kitaru.cli.output import guarded
from kitaru.errors import KitaruUsageError

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_KITARU_COMPLETE"


@click.command(epilog='In ~/.bashrc or ~/.zshrc: eval "$(kitaru completion)". Fish: kitaru completion fish | source')
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str | None) -> None:
    """Print the script that makes SHELL (default: yours) complete commands and options."""
    print(guarded("completion", "text", lambda: _script(ctx.find_root().command, shell)))


def _script(root: click.Command, shell: str | None) -> str:
    name = shell or os.path.basename(os.environ.get("SHELL", ""))
    found = get_completion_class(name) if name in _SHELLS else None
    if found is None:
        raise KitaruUsageError(f"which shell is it? Say `kitaru completion {'`, `kitaru completion '.join(_SHELLS)}`.")
    return found(root, {}, "kitaru", _VARIABLE).source()

"""``kitaru secret-key``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click


@click.group(name="secret-key")
def secret_key() -> None:
    """The key that this machine's secrets are encrypted with: where it is kept.

    It is made with the first secret, in a file that only you can read. Without it the secrets are lost: have it in your
    backups, or in the keyring of the operating system.
    """


@secret_key.command()
def show() -> None:
    """Say where the key is kept. Never shows the key."""
    from kitaru_local.secret_keys import FILE_NAME, where_kept

    directory = _directory()
    kept = where_kept(directory)
    if kept is None:
        click.echo("There is no key yet: it is made with the first secret.")
    elif kept == "file":
        click.echo(f"The key is kept in the file {directory / FILE_NAME}.")
    else:
        click.echo("The key is kept in the keyring of this system, under the service `kitaru`.")


@secret_key.command()
@click.argument("to", type=click.Choice(["file", "keyring"]))
def move(to: Literal["file", "keyring"]) -> None:
    """Keep the key in a FILE or in the KEYRING from now on. The secrets stay as they are."""
    from kitaru_local.secret_keys import move_key

    directory = _directory()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    move_key(directory, to)
    click.echo(f"The key is kept in {'a file' if to == 'file' else 'the keyring of this system'} now.")


def _directory() -> Path:
    from kitaru.stack import this_place
    from kitaru_local.stack import secrets_directory

    return secrets_directory(this_place())

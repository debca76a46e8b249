"""``kitaru init``: marks the root of a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kitaru.cli.output import guarded, output_option, print_item, success
from kitaru.errors import KitaruStateError, KitaruUsageError


@click.command()
@click.argument("path", default=".")
@output_option
def init(path: str, output: str) -> None:
    """Mark PATH, by default the working directory, as the root of a project: what is packed for runs elsewhere.

    Runs on this machine need no root. Nothing but the folder `.kitaru` is made; no server is asked.
    """
    item = guarded("init", output, lambda: _marked(path))
    if output == "json":
        print_item("init", item)
        return
    success(f"Initialized Kitaru project at {item['path']}", f"Created {item['repository_directory']}/")


def _marked(path: str) -> dict[str, Any]:
    from kitaru.client.runtime_snapshot import MARKER

    root = Path(path).expanduser().absolute().resolve()
    if not root.is_dir():
        raise KitaruUsageError(f"{root} is not a directory.")
    for marker in (MARKER, ".zen"):
        if (root / marker).exists():
            raise KitaruStateError(f"Already initialized: {root} has {marker}.")
    try:
        (root / MARKER).mkdir()
        (root / MARKER / ".gitignore").write_text("*\n", encoding="utf-8")  # what is kept in it belongs to one machine
    except OSError as error:
        raise KitaruUsageError(f"{root / MARKER} cannot be made: {error.strerror}.") from error
    return {"path": str(root), "repository_directory": MARKER}

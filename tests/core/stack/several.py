"""Several stacks in one installation, for tests: in this process, and in those that it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from kitaru.errors import KitaruStateError
from kitaru.stack import built
from kitaru.stack.components import Component, Place
from kitaru.stack.stacks import DEFAULT, FILE_NAME, Stack
from kitaru.stack.stacks import select as select_default

# What a process that an orchestrator starts has to know, too.
_SITE = (
    "import os\nif os.environ.get('KITARU_TEST_STACKS'):\n    import tests.core.stack.several as s\n    s.install()\n"
)


class Several:
    """Stacks beside the default one, kept in a file that this process and its children read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, components: list[Component]) -> str:
        """A new stack; gives its id."""
        stack_id = str(uuid4())
        rows = [[one.kind, one.flavor, dict(one.settings)] for one in components]
        self._write([*_rows(), {"id": stack_id, "name": name, "deleted": False, "components": rows}])
        return stack_id

    def on_this_machine(self, name: str, orchestrator: str = "local", logs: str = "artifact-store") -> str:
        """A stack with an artifact store of its own in a folder of its name."""
        uri = f"file://{self.folder / name}"
        settings = {"path": str(self.folder / f"{name}-logs")} if logs == "local" else {}
        return self.add(
            name,
            [
                Component("artifact_store", "local", {"uri": uri, "sync": False}),
                Component("log_store", logs, settings),
                Component("orchestrator", orchestrator),
            ],
        )

    def use(self, name: str, directory: Path) -> None:
        """Make a stack the active one of an installation."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / FILE_NAME).write_text(name)

    def delete(self, stack_id: str) -> None:
        """Delete a stack; its record stays."""
        self._write([{**row, "deleted": row["deleted"] or row["id"] == stack_id} for row in _rows()])

    def forget(self, stack_id: str) -> None:
        """As if this installation had never had it."""
        self._write([row for row in _rows() if row["id"] != stack_id])

    def values(self, name: str) -> list[str]:
        """What lies in a stack's artifact store: large values."""
        return sorted(path.name for path in (self.folder / name).rglob("sha256/*"))

    @staticmethod
    def _write(rows: list[dict[str, Any]]) -> None:
        Path(os.environ["KITARU_TEST_STACKS"]).write_text(json.dumps(rows))


def several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Several:
    """Has this process and its children know more stacks than the default one."""
    monkeypatch.setenv("KITARU_TEST_STACKS", str(tmp_path / "stacks.json"))
    site = tmp_path / "several-site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(_SITE)
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(site), root, os.environ.get("PYTHONPATH")])))
    for name in ("select", "find", "every"):
        monkeypatch.setattr(built, name, globals()[f"_{name}"])
    return Several(tmp_path)


def install() -> None:
    """In a process that was started by one of a test."""
    for name in ("select", "find", "every"):
        setattr(built, name, globals()[f"_{name}"])


def _rows() -> list[dict[str, Any]]:
    path = Path(os.environ["KITARU_TEST_STACKS"])
    found: list[dict[str, Any]] = json.loads(path.read_text()) if path.exists() else []
    return found


def _stack(row: dict[str, Any]) -> Stack:
    components = tuple(Component(kind, flavor, settings) for kind, flavor, settings in row["components"])
    return Stack(row["name"], "test", components, row["id"])


def _select(name: str | None, place: Place) -> Stack:
    active = place.directory / FILE_NAME
    if name is None:
        name = active.read_text() if active.exists() else DEFAULT
    if name == DEFAULT:
        return select_default(None, place)
    for row in _rows():
        if name in (row["name"], row["id"]) and not row["deleted"]:
            return _stack(row)
    raise KitaruStateError(f"Stack '{name}' not found.")


def _find(stack_id: str, place: Place) -> Stack:
    for row in _rows():
        if stack_id == row["id"]:
            return _stack(row)
    raise KitaruStateError(f"Stack '{stack_id}' not found.")


def _every(place: Place) -> list[Stack]:
    return [select_default(None, place), *map(_stack, _rows())]

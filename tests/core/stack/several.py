"""Several stacks in one installation, for tests that need special components: put straight into its records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from kitaru.config import config_directory, files
from kitaru.stack import operations, records
from kitaru.stack.components import Component
from kitaru.stack.records import FILE_NAME, Draft, Stack


class Several:
    """Stacks beside the default one, which this process and all others of this configuration directory know."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, name: str, components: list[Component]) -> str:
        """A new stack; gives its id."""
        stack = Stack(name, "test", tuple(components), str(uuid4()))
        self._change(lambda draft: draft.add(stack))
        return stack.id

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

    def use(self, name: str) -> None:
        """Make a stack the active one."""
        operations.use(name)

    def delete(self, stack_id: str) -> None:
        """Delete a stack; its record stays."""
        operations.delete(stack_id, force=True)

    def forget(self, stack_id: str) -> None:
        """As if this installation had never had it."""

        def remove(content: dict[str, Any]) -> None:
            for section in ("stacks", "deleted"):
                content.get(section, {}).pop(stack_id, None)

        files.update(config_directory(), remove, FILE_NAME)

    def values(self, name: str) -> list[str]:
        """What lies in a stack's artifact store: large values."""
        return sorted(path.name for path in (self.folder / name).rglob("sha256/*"))

    @staticmethod
    def _change(edit: Callable[[Draft], None]) -> None:
        records.change(config_directory(), edit)

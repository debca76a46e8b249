"""``stacks.yaml`` in the configuration directory: the stacks of this installation, and which of them is active.

A deleted stack's record stays, so that what its executions have stored can still be read. Secret parts of credentials
are not in the file: they are in this installation's secret store, under a name that :func:`secret_name` gives.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import NAMESPACE_URL, uuid5

from kitaru.config import files
from kitaru.errors import KitaruConfigError, KitaruPluginError, KitaruUsageError
from kitaru.stack.components import Component

DEFAULT = "default"
#: The id of the default stack, the same everywhere. No record of an execution has it: see ``built.recorded_id``.
DEFAULT_ID = str(uuid5(NAMESPACE_URL, "kitaru:stack:default"))
FILE_NAME = "stacks.yaml"
#: A stack that Kitaru made has this label.
MANAGED_LABEL = "kitaru.managed"
#: Names of secrets that belong to stacks begin with it; they are in no listing.
SECRET_PREFIX = "kitaru.stack."  # noqa: S105
_HISTORY_MAX = 100

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Stack:
    """A named set of components. A value: choosing one changes nothing for anybody else.

    ``fields`` are what the user said of it, ``credentials`` how it signs in without the secret parts; with
    ``has_secrets`` there are some, which the installation's secret store keeps.
    """

    name: str
    type: str
    components: tuple[Component, ...]
    id: str = ""
    provider: str = "local"
    labels: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    has_secrets: bool = False
    created_at: str | None = None

    def component(self, kind: str) -> Component:
        """The component of a kind. Raises KitaruPluginError when this stack has none."""
        for one in self.components:
            if one.kind == kind:
                return one
        raise KitaruPluginError(f"stack `{self.name}` has no {kind}.")

    @property
    def managed(self) -> bool:
        """Whether Kitaru made it."""
        return str(self.labels.get(MANAGED_LABEL, "")).strip().lower() == "true"


@dataclass(frozen=True, slots=True)
class Book:
    """What the file says. ``active`` None: the default stack."""

    stacks: Mapping[str, Stack]
    deleted: Mapping[str, Stack]
    active: str | None

    def named(self, selector: str) -> Stack | None:
        """The stack with exactly this id, or else exactly this name; deleted ones are not found."""
        by_name = (one for one in self.stacks.values() if one.name == selector)
        return self.stacks.get(selector) or next(by_name, None)


def is_default(selector: str) -> bool:
    """Whether a name or id is that of the default stack."""
    return selector in (DEFAULT, DEFAULT_ID)


def secret_name(stack_id: str) -> str:
    """Under which name the secret parts of a stack's credentials are kept."""
    return f"{SECRET_PREFIX}{stack_id}"


def not_reserved(name: str) -> str:
    """A secret's name as it is. Raises KitaruUsageError for one that belongs to a stack: nobody else reads those."""
    if isinstance(name, str) and name.startswith(SECRET_PREFIX):
        raise KitaruUsageError(
            f"secrets whose names begin with `{SECRET_PREFIX}` are the credentials of stacks: choose another name."
        )
    return name


_parsed: dict[Path, tuple[dict[str, Any], Book]] = {}


def read(directory: Path) -> Book:
    """The stacks of an installation; the default one is in no file. Raises KitaruConfigError for an unusable file."""
    content = files.read(directory, FILE_NAME)
    known = _parsed.get(directory)
    if known is None or known[0] is not content:  # the file reader gives one object as long as the file is the same
        known = _parsed[directory] = (content, _book(content, directory / FILE_NAME))
    return known[1]


def change(directory: Path, edit: Callable[[Draft], T]) -> T:
    """Edit the file under its lock, atomically: see ``config.files.update``. What ``edit`` raises leaves it as it was.

    Whoever else wants to edit it waits, so what ``edit`` does elsewhere (a secret) belongs to this edit alone.
    """
    given: list[T] = []

    def apply(content: dict[str, Any]) -> None:
        given.append(edit(Draft(content, directory / FILE_NAME)))

    files.update(directory, apply, FILE_NAME)
    return given[0]


class Draft:
    """The file's content while it is being edited."""

    def __init__(self, content: dict[str, Any], path: Path) -> None:
        self.book = _book(content, path)  # refuses to edit what cannot be understood
        self._content = content

    def add(self, stack: Stack) -> None:
        """Keep a new stack."""
        self._section("stacks")[stack.id] = _row(stack)
        self._note("create", stack)

    def activate(self, stack: Stack | None) -> None:
        """Make a stack the active one; None: the default stack."""
        self._content["active"] = stack.id if stack is not None else None
        self._note("use", stack)

    def delete(self, stack: Stack) -> None:
        """Move a stack to the deleted ones."""
        row = self._section("stacks").pop(stack.id)
        self._section("deleted")[stack.id] = {**row, "deleted_at": _now()}
        self._note("delete", stack)

    def _section(self, name: str) -> dict[str, Any]:
        section: dict[str, Any] = self._content.get(name) or {}
        self._content[name] = section
        return section

    def _note(self, operation: str, stack: Stack | None) -> None:
        line = {"at": _now(), "operation": operation, "name": stack.name if stack is not None else DEFAULT}
        line["id"] = stack.id if stack is not None else DEFAULT_ID
        history = self._content.get("history")
        self._content["history"] = [*(history if isinstance(history, list) else []), line][-_HISTORY_MAX:]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _row(stack: Stack) -> dict[str, Any]:
    return {
        "name": stack.name,
        "type": stack.type,
        "provider": stack.provider,
        "labels": dict(stack.labels),
        "fields": dict(stack.fields),
        "credentials": dict(stack.credentials),
        "has_secrets": stack.has_secrets,
        "components": [
            {"kind": one.kind, "flavor": one.flavor, "settings": _plain(one.settings), "credentials": one.credentials}
            for one in stack.components
        ],
        "created_at": stack.created_at or _now(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, (list, tuple)) else value


def _book(content: Mapping[str, Any], path: Path) -> Book:
    stacks, deleted = (_stacks(content.get(name), name, path) for name in ("stacks", "deleted"))
    active = content.get("active")
    if active is not None and active not in stacks:
        raise files.unusable(path, f"`active` names {active!r}, which is none of its stacks")
    return Book(stacks, deleted, active)


def _stacks(rows: Any, name: str, path: Path) -> dict[str, Stack]:
    if rows is None:
        return {}
    if not isinstance(rows, dict):
        raise files.unusable(path, f"`{name}` is not a mapping")
    return {str(stack_id): _stack(str(stack_id), row, path) for stack_id, row in rows.items()}


def _stack(stack_id: str, row: Any, path: Path) -> Stack:
    try:
        return Stack(
            name=_text(row["name"]),
            type=_text(row["type"]),
            components=tuple(
                Component(_text(one["kind"]), _text(one["flavor"]), dict(one["settings"]), one["credentials"] is True)
                for one in row["components"]
            ),
            id=_text(stack_id),
            provider=_text(row["provider"]),
            labels=dict(row.get("labels") or {}),
            fields=dict(row.get("fields") or {}),
            credentials=dict(row.get("credentials") or {}),
            has_secrets=row.get("has_secrets") is True,
            created_at=row.get("created_at"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _incomplete(stack_id, path, error) from error


def _incomplete(stack_id: str, path: Path, error: Exception) -> KitaruConfigError:
    reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    return files.unusable(path, f"cannot read stack info of {stack_id!r}: {reason}")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or value.strip() == "None":
        raise ValueError(f"{value!r} is not a name")
    return value

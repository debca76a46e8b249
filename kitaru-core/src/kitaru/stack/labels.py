"""How an interface writes stack types and options in its messages: as flags, or as arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from kitaru.plugins import known
from kitaru.stack.types import StackType, catalog

K = TypeVar("K", bound=str)

#: Options of every interface that are no fields of a stack type.
_GENERAL = ("extra", "async", "stack_type")


@dataclass(frozen=True, slots=True)
class StackOptionLabels:
    """The labels of one interface, by stack type and by option (``extra``, ``async`` and ``verify`` included)."""

    stack_type_labels: Mapping[StackType, str]
    field_labels: Mapping[str, str]


class _Labels(Mapping[K, str]):
    # Plugins bring types and options of their own, so labels are made when asked for; iteration shows those there are.
    def __init__(
        self, write: Callable[[str], str], names: Callable[[], Sequence[K]], special: Mapping[str, str] | None = None
    ) -> None:
        self._write = write
        self._names = names
        self._special = special or {}

    def __getitem__(self, name: K) -> str:
        return self._special.get(name) or self._write(name)

    def __iter__(self) -> Iterator[K]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


def _types() -> tuple[StackType, ...]:
    return catalog().types


def _fields() -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known.STACK_FIELDS, *catalog().fields, *_GENERAL)))


CLI_STACK_OPTION_LABELS = StackOptionLabels(
    stack_type_labels=_Labels(lambda name: f"--type {name}", _types),
    field_labels=_Labels(
        lambda name: f"--{name.replace('_', '-')}", _fields, {"verify": "--no-verify", "stack_type": "--type"}
    ),
)

MCP_STACK_OPTION_LABELS = StackOptionLabels(
    stack_type_labels=_Labels(lambda name: f'`stack_type="{name}"`', _types),
    field_labels=_Labels(lambda name: f"`{name}`", _fields, {"async": "`async_mode`"}),
)

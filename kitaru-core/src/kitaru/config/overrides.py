"""``configure()``: settings of this process, above environment and files."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, Final, Literal

from kitaru.config import image as images
from kitaru.config.values import ExecutionLayer, KitaruConfig
from kitaru.errors import KitaruUsageError
from kitaru.process_locks import ProcessLock


class _Unset(Enum):
    UNSET = "UNSET"

    def __repr__(self) -> str:
        return "UNSET"


#: Default of every argument of :func:`configure`: leaves the setting as it is.
UNSET: Final = _Unset.UNSET
Unset = Literal[_Unset.UNSET]


@dataclass(frozen=True, slots=True)
class Overrides:
    """Everything :func:`configure` can set; None: not set. A new object per change, so identity tells them apart."""

    execution: ExecutionLayer = field(default_factory=ExecutionLayer)
    project: str | None = None
    journal: str | None = None
    durability: str | None = None
    max_concurrency: int | None = None
    allow_pickle: bool | None = None


_current = Overrides()
_lock = ProcessLock()


def current() -> Overrides:
    """The overrides of this process."""
    return _current


def configure(
    *,
    stack: str | Unset | None = UNSET,
    image: Any = UNSET,
    cache: bool | Unset | None = UNSET,
    retries: int | Unset | None = UNSET,
    project: str | Unset | None = UNSET,
    journal: str | Unset | None = UNSET,
    durability: Literal["full", "process"] | Unset | None = UNSET,
    max_concurrency: int | Unset | None = UNSET,
    allow_pickle: bool | Unset | None = UNSET,
) -> KitaruConfig:
    """Set defaults for this process. What is left out stays as it is, ``None`` clears a setting.

    Checked as a whole before anything is applied. Executions that run already keep what they started with. ``image``
    replaces an earlier one; it is merged with other layers field by field.

    Returns the execution settings of this layer (``stack``, ``image``, ``cache``, ``retries``).

    Raises KitaruUsageError for a bad value, changing nothing.
    """
    global _current
    with _lock:
        before = _current
        execution = replace(
            before.execution,
            **_given(
                stack=_text("stack", stack),
                image=images.normalise(image, "configure(image=...)") if image is not UNSET else UNSET,
                cache=_truth("cache", cache),
                retries=_number("retries", retries, 0),
            ),
        )
        _current = replace(
            before,
            execution=execution,
            **_given(
                project=_text("project", project),
                journal=_text("journal", journal),
                durability=_word("durability", durability, ("full", "process")),
                max_concurrency=_number("max_concurrency", max_concurrency, 1),
                allow_pickle=_truth("allow_pickle", allow_pickle),
            ),
        )
    return KitaruConfig.of_layer(execution)


def reset_configuration() -> None:
    """Forget everything :func:`configure` has set, as in a new process. For tests."""
    global _current
    with _lock:
        _current = Overrides()


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not UNSET}


def _text(name: str, value: Any) -> Any:
    if value is UNSET or value is None:
        return value
    if not isinstance(value, str) or not value.strip():
        raise KitaruUsageError(f"configure({name}={value!r}): must be a text that is not blank, or None to clear it.")
    return value.strip()


def _truth(name: str, value: Any) -> Any:
    if value is UNSET or value is None or isinstance(value, bool):
        return value
    raise KitaruUsageError(f"configure({name}={value!r}): must be True, False, or None to clear it.")


def _number(name: str, value: Any, minimum: int) -> Any:
    if value is UNSET or value is None:
        return value
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise KitaruUsageError(f"configure({name}={value!r}): {name} must be a whole number >= {minimum}, or None.")
    return value


def _word(name: str, value: Any, allowed: tuple[str, ...]) -> Any:
    if value is UNSET or value is None or value in allowed:
        return value
    raise KitaruUsageError(f"configure({name}={value!r}): allowed are {', '.join(map(repr, allowed))}, or None.")

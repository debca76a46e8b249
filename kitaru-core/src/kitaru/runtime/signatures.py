"""What the decorators need to know of a function, read without importing ``inspect`` for plain functions."""

from __future__ import annotations

from collections.abc import Callable, Collection
from types import FunctionType
from typing import Any

from kitaru.errors import KitaruUsageError

_CO_COROUTINE = 0x80
_CO_GENERATOR = 0x20
_CO_ASYNC_GENERATOR = 0x200


def describe_function(function: Callable[..., Any], what: str) -> tuple[str, bool, tuple[str, ...], tuple[str, ...]]:
    """Name, whether it is ``async def``, its positional parameters in order, and all its named parameters.

    Raises KitaruUsageError for what cannot be a flow or checkpoint: not callable, a generator, a decorated one.
    """
    if hasattr(function, "spec") and hasattr(function, "__wrapped__"):
        raise KitaruUsageError(
            f"@{what} was put on something that is a flow or checkpoint already; use one of the two."
        )
    if not callable(function):
        raise KitaruUsageError(f"@{what} decorates a function, not {type(function).__name__}.")
    name = getattr(function, "__name__", None) or type(function).__name__
    if not isinstance(function, FunctionType) or hasattr(function, "__wrapped__"):
        return (name, *_inspected(function))
    code = function.__code__
    if code.co_flags & (_CO_GENERATOR | _CO_ASYNC_GENERATOR):
        raise KitaruUsageError(
            f"@{what} `{name}` is a generator: what it yields cannot be journaled. Return a list, or yield from plain "
            "code."
        )
    positional = code.co_varnames[: code.co_argcount]
    every = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    return name, bool(code.co_flags & _CO_COROUTINE), positional, every


def _inspected(function: Callable[..., Any]) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    import inspect

    is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  an instance with an async __call__ is async too
    )
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return is_async, (), ()
    positional = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    every = tuple(p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD))
    return is_async, positional, every


def refuse_reserved(what: str, name: str, parameters: Collection[str], reserved: Collection[str], who: str) -> None:
    """Raise KitaruUsageError when a parameter has a name that ``who`` takes for itself."""
    for parameter in parameters:
        if parameter in reserved:
            raise KitaruUsageError(
                f"{what} `{name}` has a parameter `{parameter}`, a name that {who} uses itself, so it could never be "
                f"passed by keyword. Rename it (reserved: {', '.join(sorted(reserved))})."
            )

"""Where errors leave the library: translated for people and machines at the edge of an interface, in one place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, Protocol, TypeVar

T = TypeVar("T")


@dataclass(slots=True, frozen=True)
class InterfaceErrorDetails:
    """An error as an interface shows it. ``error_type`` is the class name, without its module."""

    message: str
    error_type: str | None


class CLIErrorEmitter(Protocol):
    """Shows an error and ends the command."""

    def __call__(self, command: str, message: str, *, output: str, error_type: str | None = None) -> NoReturn: ...


def translate_to_user_error(exc: BaseException) -> InterfaceErrorDetails:
    """The error's own text and the name of its class."""
    return InterfaceErrorDetails(str(exc), type(exc).__name__)


def run_with_cli_error_boundary(
    operation: Callable[[], T],
    *,
    command: str,
    output: str,
    exit_with_error: CLIErrorEmitter,
    handled_exceptions: tuple[type[Exception], ...] = (Exception,),
    translator: Callable[[BaseException], InterfaceErrorDetails] = translate_to_user_error,
) -> T:
    """The operation's value; a handled exception goes through ``exit_with_error``, which does not return.

    KeyboardInterrupt and SystemExit are never caught.
    """
    try:
        return operation()
    except handled_exceptions as error:
        details = translator(error)
        exit_with_error(command, details.message, output=output, error_type=details.error_type)


def run_with_mcp_error_boundary(
    operation: Callable[[], T],
    *,
    handled_exceptions: tuple[type[Exception], ...] = (Exception,),
    translator: Callable[[BaseException], BaseException] | None = None,
) -> T:
    """The operation's value. Without a translator the original exception passes unchanged; with one its result is
    raised, chained to the original."""
    try:
        return operation()
    except handled_exceptions as error:
        if translator is None:
            raise
        raise translator(error) from error

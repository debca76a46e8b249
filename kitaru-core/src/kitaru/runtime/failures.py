"""Exceptions as JSON in the journal, and back again.

A failure has two halves. What people read: ``message``, ``exception_type`` (as a traceback prints it), ``traceback``,
``origin``. What :func:`exception_from` needs: ``exception``, a tree of class name, args, attributes, notes, causes and
group members. Every value in it is encoded on its own, so that one that cannot be stored is left out alone. Nothing
an exception does (a ``__str__`` that raises, a property that loops) can break the recording of its failure.
"""

from __future__ import annotations

import builtins
import functools
import json
import os
from typing import TYPE_CHECKING, Any

from kitaru.journal.class_values import exception_state, make_exception, restore_state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from kitaru.journal.codec import Codec

_MESSAGE_CHARACTERS_MAX = 65_536
_TRACEBACK_CHARACTERS_MAX = 65_536
_VALUES_CHARACTERS_MAX = 1_048_576  # arguments and attributes of one failure; what does not fit is left out
_EXCEPTIONS_MAX = 64  # of one failure: causes, contexts and group members together
_OWN_CODE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_TRACEBACK_ATTRIBUTE = "_kitaru_traceback"
_MESSAGE_ATTRIBUTE = "_kitaru_message"


def failure_from(error: BaseException, *, origin: str, codec: Codec) -> dict[str, Any]:
    """The failure of ``error`` as a JSON object. Raises nothing, whatever the exception is like."""
    return {
        "message": _message(error),
        "exception_type": exception_type(type(error)),
        "origin": str(origin),
        "traceback": _traceback(error),
        "exception": _Describer(codec).describe(error),
    }


def exception_from(failure: dict[str, Any], codec: Codec) -> BaseException:
    """The exception a failure was made of: same type, args, attributes, notes, causes and message.

    Where its class is not loaded here, or is no exception any more, a stand-in with its name and builtin bases
    takes its place, so that ``except ValueError`` still catches it. Raises nothing; no ``__init__`` is run.
    """
    described = failure.get("exception")
    if not isinstance(described, dict):
        described = {"class": f"builtins:{failure.get('exception_type', '')}", "message": failure.get("message", "")}
    error = _rebuild(described, codec)
    if failure.get("traceback"):
        _set_quietly(error, _TRACEBACK_ATTRIBUTE, failure["traceback"])
    return error


def exception_type(kind: type) -> str:
    """A class's name as a traceback prints it: bare for builtins and for a script's own classes."""
    if kind.__module__ in ("builtins", "__main__", "__kitaru_main__"):
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


# -- writing ----------------------------------------------------------------------------------------------------


class _Describer:
    """Writes one exception and what hangs on it, at most :data:`_EXCEPTIONS_MAX` of them."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._seen: set[int] = set()
        self._left = _VALUES_CHARACTERS_MAX

    def describe(self, error: BaseException) -> dict[str, Any] | None:
        if id(error) in self._seen or len(self._seen) >= _EXCEPTIONS_MAX:
            return None
        self._seen.add(id(error))
        kind = type(error)
        described: dict[str, Any] = {
            "class": self._codec.class_name(kind),
            "bases": _builtin_bases(kind),
            "message": _message(error),
        }
        try:
            members = list(error.exceptions) if isinstance(error, BaseExceptionGroup) else None
            args = [error.message] if isinstance(error, BaseExceptionGroup) else list(error.args)
            described["args"] = [self._value(item) for item in args]
            state = {key: self._value(item) for key, item in exception_state(error).items() if isinstance(key, str)}
            described["state"] = {key: item for key, item in state.items() if item is not None}
            notes = getattr(error, "__notes__", None)
            if isinstance(notes, (list, tuple)):
                described["notes"] = [str(note)[:_MESSAGE_CHARACTERS_MAX] for note in notes]
            if members is not None:
                described["exceptions"] = [one for one in map(self.describe, members) if one is not None]
            if error.__cause__ is not None:
                described["cause"] = self.describe(error.__cause__)
            elif error.__context__ is not None and not error.__suppress_context__:
                described["context"] = self.describe(error.__context__)
        except Exception:  # an exception that fights being looked at: what was found so far has to do
            return described
        return described

    def _value(self, value: Any) -> list[Any] | None:
        """A value's encoding in a list of one, or None when it cannot be stored or does not fit."""
        try:
            text, _ = self._codec.encode_argument(value)
            if len(text) > self._left:
                return None
            self._left -= len(text)
            return [json.loads(text)]
        except Exception:  # the value cannot be stored, or fights being looked at
            return None


def _message(error: BaseException) -> str:
    try:
        return str(error)[:_MESSAGE_CHARACTERS_MAX]
    except Exception as broken:
        return f"<{type(error).__qualname__} whose __str__ raised {type(broken).__name__}>"


def _builtin_bases(kind: type) -> list[str]:
    """The builtin classes among a class's ancestors (itself included) that no other of them derives from."""
    found = [one for one in kind.__mro__ if one.__module__ == builtins.__name__ and one is not object]
    return [one.__name__ for one in found if not any(other is not one and issubclass(other, one) for other in found)]


def _traceback(error: BaseException) -> str:
    import traceback

    try:
        text = "".join(traceback.format_exception(type(error), error, _users_part(error.__traceback__)))
    except Exception:
        text = f"{exception_type(type(error))}: {_message(error)}\n"
    recorded = getattr(error, _TRACEBACK_ATTRIBUTE, None)
    if isinstance(recorded, str):
        text = f"{recorded}\nRaised again from the journal:\n\n{text}"
    if len(text) <= _TRACEBACK_CHARACTERS_MAX:
        return text
    return f"... ({len(text) - _TRACEBACK_CHARACTERS_MAX} characters left out)\n{text[-_TRACEBACK_CHARACTERS_MAX:]}"


def _users_part(found: TracebackType | None) -> TracebackType | None:
    """A traceback from the first frame that is not Kitaru's own; all of it when every frame is."""
    first = found
    while first is not None and first.tb_frame.f_code.co_filename.startswith(_OWN_CODE):
        first = first.tb_next
    return first or found


# -- reading ----------------------------------------------------------------------------------------------------


def _rebuild(described: dict[str, Any], codec: Codec) -> BaseException:
    message = str(described.get("message", ""))
    members = [_rebuild(one, codec) for one in described.get("exceptions", ())]
    args = _read_args(described, codec, message)
    if members:
        args = (args[0], members)
    state = _read_state(described, codec)
    error = _first_that_reads(message, _candidates(described, codec), args, state)
    for note in described.get("notes", ()):
        error.add_note(note)
    if isinstance(described.get("cause"), dict):
        error.__cause__ = _rebuild(described["cause"], codec)
    elif isinstance(described.get("context"), dict):
        error.__context__ = _rebuild(described["context"], codec)
    return error


def _read_args(described: dict[str, Any], codec: Codec, message: str) -> tuple[Any, ...]:
    try:
        return tuple(codec.from_jsonable(item[0]) for item in described["args"])
    except Exception:  # an argument that was not stored, or that cannot be rebuilt here
        return (message,)


def _read_state(described: dict[str, Any], codec: Codec) -> dict[str, Any]:
    state = {}
    for key, item in described.get("state", {}).items():
        try:
            state[key] = codec.from_jsonable(item[0])
        except Exception:  # noqa: S112  a part whose class is gone: the exception itself matters more
            continue
    return state


def _candidates(described: dict[str, Any], codec: Codec) -> Iterator[type[BaseException]]:
    """Classes to rebuild an exception with, best first: its own, its own with a fixed text, stand-ins."""
    module, _, qualname = str(described.get("class", "")).partition(":")
    try:
        kind: Any = codec.find_class(f"{module}:{qualname}")
        if issubclass(kind, BaseException):
            yield kind
            yield _stand_in(module, qualname, (kind,))
    except Exception:  # noqa: S110  not loaded here, or a class that allows no child: a stand-in does
        pass
    known = [getattr(builtins, str(name), None) for name in described.get("bases", ())]
    bases = tuple(one for one in known if isinstance(one, type) and issubclass(one, BaseException))
    for choice in (bases, bases[:1], (Exception,)):
        try:
            yield _stand_in(module, qualname, choice or (Exception,))
        except TypeError:  # bases that do not go together
            continue


def _first_that_reads(
    message: str, kinds: Iterator[type[BaseException]], args: tuple[Any, ...], state: dict[str, Any]
) -> BaseException:
    for kind in kinds:
        try:
            error = make_exception(kind, args)
            restore_state(error, state)
            _set_quietly(error, _MESSAGE_ATTRIBUTE, message)
        except Exception:  # noqa: S112  a builtin base that refuses these args (a group without members)
            continue
        if _message(error) == message:
            return error
    return Exception(message)


@functools.lru_cache(maxsize=1024)  # so that equal failures have one type
def _stand_in(module: str, qualname: str, bases: tuple[type, ...]) -> type[BaseException]:
    name = qualname.rpartition(".")[2] or "Exception"
    content = {"__module__": module, "__qualname__": qualname, "__str__": _recorded_message}
    return type(name, bases, content)


def _recorded_message(self: BaseException) -> str:
    return str(getattr(self, _MESSAGE_ATTRIBUTE, ""))


def _set_quietly(error: BaseException, name: str, value: str) -> None:
    try:
        setattr(error, name, value)
    except Exception:  # a class with __slots__ or a __setattr__ of its own
        return

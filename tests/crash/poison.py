"""Values and exceptions that make trouble when somebody tries to store them."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kitaru import checkpoint, flow


def _deep(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _cyclic_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def _cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = {"inner": value}
    return value


class NoReduce:
    """Refuses to be pickled."""

    def __reduce__(self) -> Any:
        raise RuntimeError("not with me")


class NoRepr:
    """Can be shown to nobody, and cannot be stored."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    __str__ = __repr__


class Endless:
    """Has every attribute anybody asks for."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self


@dataclass
class Holder:
    """A dataclass with something inside that cannot be stored."""

    good: int
    bad: Any


#: name -> (makes the value, whether it can be stored, checks what comes back)
VALUES: dict[str, tuple[Callable[[], Any], bool, Callable[[Any], bool]]] = {
    "huge int": (lambda: 10**5000, True, lambda value: value == 10**5000),
    "negative huge int in a dict": (lambda: {"n": -(7**9000)}, True, lambda value: value == {"n": -(7**9000)}),
    "nan": (lambda: math.nan, True, lambda value: isinstance(value, float) and math.isnan(value)),
    "infinities": (lambda: [math.inf, -math.inf], True, lambda value: value == [math.inf, -math.inf]),
    "negative zero": (lambda: -0.0, True, lambda value: math.copysign(1, value) == -1),
    "lone surrogate": (lambda: "a\ud800b", True, lambda value: value == "a\ud800b"),
    "lone surrogate as a key": (lambda: {"\udfff": 1}, True, lambda value: value == {"\udfff": 1}),
    "NUL and controls": (lambda: "a\0b\x1b[31m", True, lambda value: value == "a\0b\x1b[31m"),
    "imitates a type tag": (
        lambda: {"$type": "pickle", "v": "AAAA"},
        True,
        lambda value: value == {"$type": "pickle", "v": "AAAA"},
    ),
    "imitates a type tag inside": (
        lambda: [{"$type": "set", "v": [1]}],
        True,
        lambda value: value == [{"$type": "set", "v": [1]}],
    ),
    "keys that are no texts": (
        lambda: {1: "a", None: "b", (1, 2): "c"},
        True,
        lambda value: value == {1: "a", None: "b", (1, 2): "c"},
    ),
    "5 MB text": (lambda: "x" * 5_000_000, True, lambda value: value == "x" * 5_000_000),
    "nested 10,000 deep": (lambda: _deep(10_000), False, bool),
    "cyclic list": (_cyclic_list, False, bool),
    "cyclic dict": (_cyclic_dict, False, bool),
    "lock": (threading.Lock, False, bool),
    "lock inside a dataclass": (lambda: Holder(1, threading.Lock()), False, bool),
    "generator": (lambda: (number for number in range(3)), False, bool),
    "refuses to be pickled": (NoReduce, False, bool),
    "has no repr": (NoRepr, False, bool),
    "has every attribute": (Endless, False, bool),
}


class NoStrError(Exception):
    """Cannot say what is wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class NeedsTwoError(Exception):
    """Cannot be rebuilt from its args."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__(f"{first} and {second}")


class HoldsLockError(Exception):
    """Carries something that cannot be stored."""

    def __init__(self) -> None:
        super().__init__(threading.Lock())


def _cyclic_cause() -> BaseException:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    return first


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "no text": NoStrError,
    "cannot be rebuilt": lambda: NeedsTwoError(1, 2),
    "holds a lock": HoldsLockError,
    "cyclic cause": _cyclic_cause,
    "group": lambda: ExceptionGroup("several", [ValueError("one"), NoStrError()]),
    "system exit": lambda: SystemExit(3),
    "keyboard interrupt": KeyboardInterrupt,
    "generator exit": GeneratorExit,
    "stop iteration": lambda: StopIteration(1),
    "surrogate in the text": lambda: ValueError("a\ud800b"),
    "huge text": lambda: ValueError("x" * 2_000_000),
    "recursion": RecursionError,
    "memory": MemoryError,
}

#: What ``victim`` does next; tests set it. Bodies are allowed to be nondeterministic.
make: list[Callable[[], Any]] = []
runs: list[str] = []


@checkpoint
def before() -> str:
    runs.append("before")
    return "paid for"


@checkpoint
def victim() -> Any:
    runs.append("victim")
    return make[0]()


@checkpoint
def takes(value: Any) -> str:
    runs.append("takes")
    return type(value).__name__


@flow
def returns_poison() -> Any:
    return [before(), victim()]


@flow
def passes_poison() -> Any:
    return [before(), takes(make[0]())]


@flow
async def returns_poison_async() -> Any:
    first = before()
    return [first, await victim_async()]


@checkpoint
async def victim_async() -> Any:
    runs.append("victim")
    return make[0]()

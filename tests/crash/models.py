"""The oracle: what each shape must have done and must return, in plain Python that knows nothing of journals."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

Call = tuple[str, str]


@dataclass
class Model:
    """What a shape does: its calls, which of them must be recorded before which, and what comes out."""

    argument: int
    calls: dict[Call, frozenset[Call]] = field(default_factory=dict)
    values: dict[Call, Any] = field(default_factory=dict)
    failures: dict[Call, int] = field(default_factory=dict)
    executions: int = 1
    check: Callable[[Any], bool] = lambda result: False

    def call(self, name: str, label: object, value: Any, after: Iterable[Call] = (), failures: int = 0) -> Any:
        """Add a call that returns ``value`` and needs all of ``after`` to be recorded before it."""
        key = (name, str(label))
        assert key not in self.calls, f"the shape makes {key} twice: give it a label of its own"
        self.calls[key] = frozenset(after)
        self.values[key] = value
        self.failures[key] = failures
        return value

    def returns(self, expected: Any) -> Model:
        self.check = lambda result: bool(result == expected)
        return self


def _add(model: Model, label: object, value: int, after: Iterable[Call] = ()) -> int:
    return model.call("add", label, value * 3 + len(str(label)), after)


def _aadd(model: Model, label: object, value: int, after: Iterable[Call] = ()) -> int:
    return model.call("aadd", label, value * 5 + len(str(label)), after)


def _outer(model: Model, label: str, value: int, after: Iterable[Call] = ()) -> int:
    before = list(after)
    for number in range(3):
        value = _add(model, f"{label}.{number}", value, before)
        before.append(("add", f"{label}.{number}"))
    return model.call("outer", label, value, before)


def line(size: int = 12) -> Model:
    model, value = Model(size), 1
    for number in range(size):
        value = _add(model, number, value, [("add", str(number - 1))] if number else [])
    return model.returns(value)


def fan(size: int = 6) -> Model:
    model = Model(size)
    values = [model.call("slow", number, 11) for number in range(size)]
    values += [model.call("slow", f"late{number}", 12, [("slow", str(number))]) for number in range(3)]
    last = model.call("slow", "last", 8, [("slow", f"late{number}") for number in range(3)])
    return model.returns(_add(model, "end", sum(values) + last, list(model.calls)))


def nested(size: int = 3) -> Model:
    model, value = Model(size), 1
    for number in range(size):
        value = _outer(model, f"o{number}", value, [("outer", f"o{number - 1}")] if number else [])
    return model.returns(value)


def gather(size: int = 5) -> Model:
    model = Model(size)
    total = 0
    for number in range(size):
        first = _aadd(model, f"{number}a", number)
        total += _aadd(model, f"{number}b", first, [("aadd", f"{number}a")])
    chains = list(model.calls)
    for number in range(2):
        parts = [_aadd(model, f"n{number}.{inner}", number + inner, chains) for inner in range(3)]
        total += model.call("aouter", f"n{number}", sum(parts), [("aadd", f"n{number}.{inner}") for inner in range(3)])
    return model.returns(_aadd(model, "end", total, list(model.calls)))


def _part(model: Model, label: str, value: int, after: Iterable[Call]) -> int:
    value = _add(model, f"{label}.0", value, after)
    return _add(model, f"{label}.1", value, [("add", f"{label}.0")])


def child(size: int = 2) -> Model:
    model = Model(size, executions=2 + size)
    first = _add(model, "start", 1)
    total = _part(model, "alone", first, [("add", "start")])
    for number in range(size):
        total += _part(model, f"q{number}", number, [("add", "alone.1")])
    return model.returns(_add(model, "end", total, list(model.calls)))


def retry(size: int = 3) -> Model:
    model, value, before = Model(size), 1, []
    for number in range(size):
        value = model.call("flaky", f"f{number}", value + 100, before, failures=number % 3)
        value = _add(model, f"then{number}", value, [("flaky", f"f{number}")])
        before = [("add", f"then{number}")]
    return model.returns(value)


def held(size: int = 3) -> Model:
    model, value, before = Model(size), 1, []
    for number in range(size):
        value = _add(model, f"before{number}", value, before)
        before = [("add", f"before{number}")]
    model.call("hold", "middle", "middle", before)
    before = [("hold", "middle")]
    for number in range(size):
        value = _add(model, f"after{number}", value, before)
        before = [("add", f"after{number}")]
    return model.returns(value)


def answered(size: int = 3) -> Model:
    model = Model(size)
    value = _add(model, "start", 1)
    before: list[Call] = [("add", "start")]
    for number in range(size):
        value = _add(model, number, value + number * 7 + 1, before)
        before = [("add", str(number))]
    return model.returns(model.call("approved", "last", value + 100, before))


#: A value the model cannot know ahead: any recorded value is right, as long as it stays the same.
ANY = object()


def mix(size: int = 4) -> Model:
    model = Model(size)
    before: list[Call] = []
    for label in ("now", "uuid", "random"):
        model.call("echo", label, ANY, before)
        before.append(("echo", label))
    model.call("echo", "big", b"x" * 40_000, before)
    mapped = [model.call("slow", f"m{number}", 2, [("echo", "big")]) for number in range(size)]
    tried = model.call("aflaky", "first", 101, [("echo", "big")], failures=2)
    inside = _outer(model, "mixed", tried, [("aflaky", "first")])
    end = _aadd(model, "end", sum(mapped) + inside, list(model.calls))

    def check(result: Any) -> bool:
        rest = {"big": 40_000, "ended": True, "end": end}
        return result["drawn"] == result["given"] and {name: result[name] for name in rest} == rest

    model.check = check
    return model


SHAPES: dict[str, Callable[..., Model]] = {
    "line": line,
    "fan": fan,
    "nested": nested,
    "gather": gather,
    "child": child,
    "retry": retry,
    "mix": mix,
    "answered": answered,
}

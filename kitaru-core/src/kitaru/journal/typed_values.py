"""JSON with marked objects: how types that JSON does not have are written, and rebuilt without running user code.

A marked object is ``{"$type": tag, ...}``. A user's own dict that has the key ``$type``, or keys that are not str, is
written as ``{"$type": "dict", "v": [[key, value], ...]}``, so data cannot imitate a marker.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal import class_values, scalar_values

MARK = "$type"
_SCALARS = frozenset((str, int, float, bool, type(None)))
_KEY = json.JSONEncoder(separators=(",", ":"), sort_keys=True).encode


def plain(value: Any) -> bool:
    """Whether ``value`` is JSON as it stands: exact types only, no marker key. Does not look at NaN or cycles."""
    kind = type(value)
    if kind is dict:
        if MARK in value:
            return False
        for key, item in value.items():
            if type(key) is not str:
                return False
            inner = type(item)
            if inner not in _SCALARS and not ((inner is dict or inner is list) and _plain_deep(item)):
                return False
        return True
    if kind is list:
        for item in value:
            inner = type(item)
            if inner not in _SCALARS and not ((inner is dict or inner is list) and _plain_deep(item)):
                return False
        return True
    return kind in _SCALARS


def _plain_deep(value: Any) -> bool:
    try:
        return plain(value)
    except RecursionError:
        return False


class Writer:
    """Turns one value into JSON with markers. ``pickled`` tells afterwards that some part has no such form."""

    def __init__(self, names: Mapping[str, str], serializer_for: Callable[[type], Any] | None) -> None:
        self._names = names
        self._serializer_for = serializer_for
        self.marked = False
        self.pickled = False
        self.offender = ""

    def write(self, value: Any, path: str) -> Any:
        """The JSON form of ``value``; ``path`` says where it stands, for messages."""
        kind = type(value)
        if kind in _SCALARS:
            return self._scalar(kind, value)
        if kind is list:
            return [self.write(item, f"{path}[{number}]") for number, item in enumerate(value)]
        if kind is dict:
            return self._dict(value, path)
        if self._serializer_for is not None and (found := self._serializer_for(kind)) is not None:
            return self._mark(f"custom:{found.name}", found.dump(value).hex())
        if kind is tuple:
            return self._mark("tuple", [self.write(item, f"{path}[{number}]") for number, item in enumerate(value)])
        if kind is set or kind is frozenset:
            members = [self.write(item, f"{path}{{...}}") for item in value]
            return self._mark(kind.__name__, sorted(members, key=_KEY))
        scalar = scalar_values.write(value)
        if scalar is not None:
            return self._mark(*scalar)
        made = class_values.write(value, self, path)
        if made is not None:
            self.marked = True
            return made
        if not self.pickled:
            self.offender = (
                f"{'the value' if not path else 'the part ' + path} of type {kind.__module__}.{kind.__qualname__}"
            )
        self.pickled = True
        return None

    def class_name(self, kind: type) -> str:
        """``module:qualname`` of a class, under the name its module had when it was first run."""
        return f"{self._names.get(kind.__module__, kind.__module__)}:{kind.__qualname__}"

    def _mark(self, tag: str, value: Any) -> dict[str, Any]:
        self.marked = True
        return {MARK: tag, "v": value}

    def _scalar(self, kind: type, value: Any) -> Any:
        if kind is float and value - value != 0.0:
            return self._mark("float", repr(value))
        if kind is int and value.bit_length() > scalar_values.PLAIN_INT_BITS_MAX:
            return self._mark("int", hex(value))
        return value

    def _dict(self, value: dict[Any, Any], path: str) -> Any:
        if MARK not in value and all(type(key) is str for key in value):
            return {key: self.write(item, f"{path}[{key!r}]") for key, item in value.items()}
        pairs = [[self.write(key, f"{path} key"), self.write(item, f"{path}[{key!r}]")] for key, item in value.items()]
        return self._mark("dict", pairs)


class Reader:
    """Rebuilds values from JSON with markers. Classes are looked up among loaded modules, never imported."""

    def __init__(self, aliases: Mapping[str, str], serializers: Mapping[str, Any]) -> None:
        self._aliases = aliases
        self._serializers = serializers

    def read(self, value: Any) -> Any:
        """The value a JSON form stands for. Raises KitaruCorruptionError when it stands for none."""
        try:
            return self._read(value)
        except (KitaruCorruptionError, KitaruSerializationError):
            raise
        except RecursionError:
            raise KitaruCorruptionError("a stored value is nested too deeply to be read.") from None
        except Exception as error:
            raise KitaruCorruptionError(f"a stored value cannot be read: {type(error).__name__}: {error}") from error

    def _read(self, value: Any) -> Any:
        kind = type(value)
        if kind is list:
            return [self._read(item) for item in value]
        if kind is not dict:
            return value
        tag = value.get(MARK)
        if tag is None:
            return {key: self._read(item) for key, item in value.items()}
        if tag == "tuple":
            return tuple(self._read(item) for item in value["v"])
        if tag == "set":
            return {self._read(item) for item in value["v"]}
        if tag == "frozenset":
            return frozenset(self._read(item) for item in value["v"])
        if tag == "dict":
            return {self._read(key): self._read(item) for key, item in value["v"]}
        if tag in scalar_values.READERS:
            return scalar_values.READERS[tag](value["v"])
        if tag in class_values.READERS:
            return class_values.READERS[tag](value, self)
        if isinstance(tag, str) and tag.startswith("custom:"):
            return self._custom(tag[7:], value)
        raise KitaruCorruptionError(
            f"a stored value has the unknown marker {tag!r}. A newer Kitaru may have written it."
        )

    def nested(self, value: Any) -> Any:
        """For class readers: the value of a part."""
        return self._read(value)

    def find_class(self, name: str) -> type:
        """The loaded class ``module:qualname``. Raises KitaruSerializationError when it is not loaded here."""
        module_name, _, qualname = name.partition(":")
        module = sys.modules.get(self._aliases.get(module_name, module_name)) or sys.modules.get(module_name)
        found = class_values.loaded_attribute(module, qualname)
        if not isinstance(found, type):
            raise KitaruSerializationError(
                f"a stored value is a `{module_name}.{qualname}`, which is not loaded in this process (moved, renamed "
                "or never imported). Import it in the flow's module; stored bytes never make Kitaru import anything."
            )
        return found

    def _custom(self, name: str, value: Mapping[str, Any]) -> Any:
        serializer = self._serializers.get(name)
        if serializer is None:
            raise KitaruSerializationError(
                f"a part of this value was stored by the serializer {name!r}, which no installed plugin supplies."
            )
        return serializer.load(bytes.fromhex(value["v"]))

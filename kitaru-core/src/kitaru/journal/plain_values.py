"""Stored values as plain data, for looking at them: no class is looked up, nothing is unpickled.

What another process stored, or an imported file holds, can be shown this way by a program that knows none of its types.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kitaru.errors import KitaruCorruptionError
from kitaru.journal import scalar_values
from kitaru.journal.codec import parse_json
from kitaru.journal.typed_values import MARK

_SEQUENCES = frozenset({"tuple", "set", "frozenset", "deque"})
_PAIRS = frozenset({"dict", "OrderedDict", "Counter", "defaultdict"})


def as_data(codec: str, data: bytes) -> tuple[Any, str]:
    """What encoded bytes hold, as JSON types, and the name of the value's type.

    Containers become lists and objects, instances of classes an object of their fields, enums the member's name; what
    only its own code can read (pickles, values of plugins' serializers) and bytes become a short description.

    Raises KitaruCorruptionError when the bytes are none that this codec can have.
    """
    if codec == "text":
        try:
            return data.decode(), "str"
        except UnicodeDecodeError as error:
            raise KitaruCorruptionError(f"a stored text is not UTF-8: {error}") from error
    if codec == "json":
        value = parse_json(data)
        return value, "None" if value is None else type(value).__name__
    if codec == "typed":
        tree = parse_json(data)
        try:
            return _data(tree), _type_name(tree)
        except (TypeError, ValueError, KeyError, ArithmeticError, RecursionError) as error:
            raise KitaruCorruptionError(f"a stored value cannot be read: {type(error).__name__}: {error}") from error
    kind = {"bytes": "bytes", "pickle": "pickle"}.get(codec, codec.removeprefix("custom:"))
    return f"<{kind}, {len(data)} bytes>", kind


def _data(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_data(one) for one in tree]
    if not isinstance(tree, dict):
        return tree
    tag = tree.get(MARK)
    if tag is None:
        return {key: _data(one) for key, one in tree.items()}
    inner = tree.get("v")
    if tag in _SEQUENCES and isinstance(inner, list):
        return [_data(one) for one in inner]
    if (tag in _PAIRS or tag == "pydantic") and isinstance(inner, list):
        return {_key(one): _data(value) for one, value in inner}
    if tag in scalar_values.READERS:
        return _scalar(scalar_values.READERS[tag](inner))
    if tag == "pickle" or str(tag).startswith("custom:"):
        return f"<{str(tag).removeprefix('custom:')}>"
    return _data(inner)


def _scalar(value: Any) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"<bytes, {len(value)} bytes>"
    written = getattr(value, "isoformat", None)
    return str(written()) if written is not None else str(value)


def _key(key: Any) -> str:
    shown = _data(key)
    return shown if isinstance(shown, str) else str(shown)


def _type_name(tree: Any) -> str:
    if not isinstance(tree, Mapping) or MARK not in tree:
        return type(tree).__name__
    name = tree.get("class", tree[MARK])
    while isinstance(name, list):  # a parametrised model: its generic class
        name = name[0]
    return str(name).replace(":", ".")

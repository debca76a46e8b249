"""Values to bytes and back, type-faithfully: what comes out equals what went in, with its exact type.

Codec tags of stored values:

==========  ==================================================================================================
``json``    plain JSON: None, bool, int, float, str, list, dict with str keys, and nothing that needs a marker
``typed``   JSON in which other types are marked objects, ``{"$type": ...}`` (see ``typed_values``)
``text``    UTF-8 of one str
``bytes``   the bytes themselves
``custom:`` bytes made by a registered serializer, whose name follows
``pickle``  cloudpickle, the last resort: only Python can read it, and only the user's own process does
==========  ==================================================================================================

Decoding never imports a module because stored bytes name it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any, Protocol

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal.typed_values import MARK, Reader, Writer, plain

_ENCODE = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False).encode
_ENCODE_SORTED = json.JSONEncoder(separators=(",", ":"), check_circular=False, allow_nan=False, sort_keys=True).encode
_SCAN = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_SCALARS = frozenset((int, float, bool, type(None)))
#: Markers of values that are equal whatever the order of what they hold.
_UNORDERED = frozenset(("dict", "Counter", "defaultdict", "set", "frozenset"))


class Serializer(Protocol):
    """Stores values of one foreign type. ``type`` is ``"module:QualName"``: it is matched without importing it."""

    name: str
    type: str

    def dump(self, value: Any) -> bytes: ...

    def load(self, data: bytes) -> Any: ...


@dataclass(slots=True)
class Encoded:
    """An encoded value: its codec tag and its bytes."""

    codec: str
    data: bytes


class Codec:
    """Encodes and decodes values. Immutable and thread-safe.

    Args:
        allow_pickle: whether values that have no other encoding are pickled, and pickled ones read.
        serializers: those of plugins; they win over everything but plain JSON types.
        aliases: module names that stand for others, ``{"__main__": "__kitaru_main__"}``: classes of a script that was
            loaded again under another name are stored under its first name and found under its second.
    """

    def __init__(
        self,
        *,
        allow_pickle: bool = True,
        serializers: Iterable[Serializer] = (),
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.allow_pickle = allow_pickle
        self._by_type = {one.type: one for one in serializers}
        self._by_name = {one.name: one for one in self._by_type.values()}
        self._aliases = dict(aliases or {})
        self._names = {alias: name for name, alias in self._aliases.items()}

    def encode(self, value: Any) -> Encoded:
        """The bytes of ``value``. Raises KitaruSerializationError that names the part that cannot be stored."""
        kind = type(value)
        if kind is dict or kind is list:
            if plain(value):
                text = self._dump(value)
                if text is not None:
                    return Encoded("json", text.encode())
        elif kind is str:
            try:
                return Encoded("text", value.encode())
            except UnicodeEncodeError:  # lone surrogates: JSON escapes them
                return Encoded("json", _ENCODE(value).encode())
        elif kind is bytes:
            return Encoded("bytes", value)
        elif value is None or kind is bool:
            return Encoded("json", b"null" if value is None else b"true" if value else b"false")
        serializer = self._serializer(kind) if self._by_type else None
        if serializer is not None:
            return Encoded(f"custom:{serializer.name}", self._dumped(serializer, value))
        writer = self._writer()
        tree = self._tree(writer, value)
        if writer.pickled:
            return Encoded("pickle", self._pickle(value, writer.offender))
        try:
            return Encoded("typed" if writer.marked else "json", _ENCODE(tree).encode())
        except RecursionError:
            raise _too_deep(value) from None

    def decode(self, codec: str, data: bytes) -> Any:
        """The value of encoded bytes.

        Raises:
            KitaruCorruptionError: the bytes are none that this tag can have.
            KitaruSerializationError: a type is not loaded here, a serializer is missing, or pickle is not allowed.
        """
        if codec == "json":
            return parse_json(data)
        if codec == "typed":
            return self._reader().read(parse_json(data))
        if codec == "text":
            return _text(data)
        if codec == "bytes":
            return bytes(data)
        if codec == "pickle":
            return self._unpickle(data)
        if codec.startswith("custom:"):
            serializer = self._by_name.get(codec[7:])
            if serializer is None:
                raise KitaruSerializationError(
                    f"this value was stored by the serializer {codec[7:]!r}, which no installed plugin supplies. "
                    "Install the plugin that stored it; see `kitaru plugins list`."
                )
            return self._loaded(serializer, data)
        raise KitaruCorruptionError(
            f"a stored value has the unknown codec {codec!r}. A newer Kitaru may have written it."
        )

    def encode_argument(self, value: Any) -> tuple[str, str | None]:
        """JSON text of one argument, and its canonical text: equal values have equal ones, whatever the order of
        their keys. None when only pickle can store the value, whose texts say nothing about equality.

        Raises KitaruSerializationError that names the part that cannot be stored.
        """
        kind = type(value)
        if kind is str:
            text: str | None = encode_basestring_ascii(value)
            return text, text  # type: ignore[return-value]
        if kind in _SCALARS or ((kind is dict or kind is list) and plain(value)):
            text = self._dump(value)
            if text is not None:
                return text, text if "{" not in text else _ENCODE_SORTED(value)
        writer = self._writer()
        tree = self._tree(writer, value)
        if writer.pickled:
            data = self._pickle(value, writer.offender)
            return _ENCODE({MARK: "pickle", "v": base64.b64encode(data).decode()}), None
        try:
            return _ENCODE(tree), canonical_json(tree)
        except RecursionError:
            raise _too_deep(value) from None

    def decode_argument(self, text: str | bytes) -> Any:
        """The inverse of :meth:`encode_argument`."""
        return self.from_jsonable(parse_json(text if isinstance(text, bytes) else text.encode()))

    def from_jsonable(self, parsed: Any) -> Any:
        """The value of an argument's JSON, already parsed."""
        if type(parsed) is dict and parsed.get("$type") == "pickle":
            try:
                data = base64.b64decode(parsed["v"], validate=True)
            except (KeyError, TypeError, ValueError) as error:
                raise KitaruCorruptionError("a stored argument is marked as pickle but holds no base64.") from error
            return self._unpickle(data)
        return parsed if plain(parsed) else self._reader().read(parsed)

    def class_name(self, kind: type) -> str:
        """``module:qualname`` of a class, under the name its module had when it was first run."""
        return self._writer().class_name(kind)

    def find_class(self, name: str) -> type:
        """The loaded class that :meth:`class_name` named. Raises KitaruSerializationError when it is not loaded."""
        return self._reader().find_class(name)

    # -- parts --------------------------------------------------------------------------------------------------

    def _writer(self) -> Writer:
        return Writer(self._names, self._serializer if self._by_type else None)

    def _reader(self) -> Reader:
        return Reader(self._aliases, self._by_name)

    def _serializer(self, kind: type) -> Serializer | None:
        for base in kind.__mro__:
            found = self._by_type.get(f"{base.__module__}:{base.__qualname__}")
            if found is not None:
                return found
        return None

    def _tree(self, writer: Writer, value: Any) -> Any:
        """The JSON form of a value that needs a closer look."""
        try:
            return writer.write(value, "")
        except RecursionError:
            raise _too_deep(value) from None
        except KitaruSerializationError:
            raise
        except Exception as error:  # a property that raises, a container that another thread is changing
            raise KitaruSerializationError(
                f"the value ({_type_name(value)}) cannot be stored: {type(error).__name__}: {error}"
            ) from error

    @staticmethod
    def _dumped(serializer: Serializer, value: Any) -> bytes:
        try:
            return serializer.dump(value)
        except Exception as error:
            raise KitaruSerializationError(
                f"the serializer {serializer.name!r} cannot store a {_type_name(value)}: {type(error).__name__}: "
                f"{error}"
            ) from error

    @staticmethod
    def _loaded(serializer: Serializer, data: bytes) -> Any:
        try:
            return serializer.load(bytes(data))
        except Exception as error:
            raise KitaruSerializationError(
                f"the serializer {serializer.name!r} cannot read what it stored: {type(error).__name__}: {error}"
            ) from error

    @staticmethod
    def _dump(value: Any) -> str | None:
        try:
            return _ENCODE(value)
        except (RecursionError, ValueError):  # nested too deeply, cyclic, NaN, or an int beyond the digit limit
            return None

    def _pickle(self, value: Any, offender: str) -> bytes:
        if not self.allow_pickle:
            raise KitaruSerializationError(
                f"{offender} has no encoding but pickle, which configure(allow_pickle=False) rules out. Return plain "
                "data, a dataclass or a pydantic model, or register a serializer."
            )
        import cloudpickle  # type: ignore[import-untyped, unused-ignore]

        try:
            data: bytes = cloudpickle.dumps(value)
        except RecursionError:
            raise KitaruSerializationError(
                f"the value ({_type_name(value)}) is nested too deeply to be stored."
            ) from None
        except Exception as error:
            raise KitaruSerializationError(
                f"{offender} cannot be stored: {type(error).__name__}: {error}. Return plain data, a dataclass or a "
                "pydantic model; keep connections, locks and generators inside the checkpoint."
            ) from error
        return data

    def _unpickle(self, data: bytes) -> Any:
        if not self.allow_pickle:
            raise KitaruSerializationError(
                "this value was stored with pickle, and configure(allow_pickle=False) refuses to read it, because "
                "reading a pickle can run code."
            )
        import pickle

        try:
            return pickle.loads(data)  # noqa: S301  the user's own process, their own store, and not ruled out
        except Exception as error:
            raise KitaruSerializationError(
                f"a pickled value cannot be rebuilt: {type(error).__name__}: {error}. Its class may have moved or "
                "changed."
            ) from error


def parse_json(data: bytes) -> Any:
    """The JSON value that this module has written as ``data``. Raises KitaruCorruptionError when it is none."""
    try:
        text = data.decode()
        value, end = _SCAN(text, 0)  # what we wrote has no white space around it
    except StopIteration:
        raise KitaruCorruptionError("a stored value is not the JSON it claims to be: it is empty or cut off.") from None
    except (ValueError, RecursionError) as error:
        raise KitaruCorruptionError(f"a stored value is not the JSON it claims to be: {error}") from error
    if end != len(text):
        raise KitaruCorruptionError(f"a stored value is not the JSON it claims to be: more follows at {end}.")
    return value


def canonical_json(tree: Any) -> str:
    """Text of a JSON form in which what is equal has one order: keys of objects, pairs of marked dicts."""
    return _ENCODE_SORTED(_ordered(tree))


def _ordered(tree: Any) -> Any:
    if type(tree) is list:
        return [_ordered(item) for item in tree]
    if type(tree) is not dict:
        return tree
    ordered = {key: _ordered(item) for key, item in tree.items()}
    if ordered.get(MARK) in _UNORDERED and type(ordered.get("v")) is list:
        ordered["v"] = sorted(ordered["v"], key=_ENCODE_SORTED)
    return ordered


def _too_deep(value: Any) -> KitaruSerializationError:
    return KitaruSerializationError(
        f"the value ({_type_name(value)}) contains itself, or is nested too deeply to be stored. Store a flatter "
        "value, or save it with an encoding of your own."
    )


def _text(data: bytes) -> str:
    try:
        return str(data, "utf-8")
    except UnicodeDecodeError as error:
        raise KitaruCorruptionError(f"a stored text is not UTF-8: {error}") from error


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"

"""Marked forms of values with a class: enums, dataclasses, pydantic models, named tuples, containers, exceptions.

Rebuilding never calls a user's ``__init__``, validator or factory: fields are put back as they were.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruCorruptionError

if TYPE_CHECKING:
    from kitaru.journal.typed_values import Reader, Writer

# Factories a defaultdict may be stored with: by name, out of this closed list.
_FACTORIES = {
    "list": list,
    "dict": dict,
    "set": set,
    "int": int,
    "float": float,
    "str": str,
    "tuple": tuple,
    "bool": bool,
}


def write(value: Any, writer: Writer, path: str) -> dict[str, Any] | None:
    """The marked form of ``value``, or None when its class has none."""
    kind = type(value)
    if kind.__module__ == "collections":
        found = _write_collection(value, writer, path)
        if found is not None:
            return found
    if not _reachable(kind):
        return None  # another process could not find the class: its values travel by pickle, if at all
    if isinstance(value, Enum):
        return {"$type": "enum", "class": writer.class_name(kind), "v": value._name_} if value._name_ else None
    if isinstance(value, tuple) and hasattr(kind, "_fields") and kind.__bases__ == (tuple,):
        return _form("namedtuple", kind, writer, [writer.write(item, f"{path}[{n}]") for n, item in enumerate(value)])
    if "__dataclass_fields__" in kind.__dict__ or hasattr(kind, "__dataclass_fields__"):
        return _write_dataclass(value, kind, writer, path)
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and isinstance(value, pydantic.BaseModel):
        return _write_model(value, kind, writer, path)
    if isinstance(value, BaseException):
        return _write_exception(value, kind, writer, path)
    return None


def _reachable(kind: Any) -> bool:
    """Whether another process can find the class by its name, or make it of generic classes that it can find."""
    if "<locals>" not in kind.__qualname__ and _found(kind) is kind:
        return True
    origin, arguments = _generic(kind)
    return origin is not None and _reachable(origin) and all(map(_reachable, arguments))


def _generic(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """A parametrised pydantic model's generic class and arguments; ``(None, ())`` when it is none, or when an
    argument is no class (``Box[list[int]]``)."""
    generic = getattr(kind, "__pydantic_generic_metadata__", None) or {}
    origin, arguments = generic.get("origin"), generic.get("args", ())
    return (origin, arguments) if all(isinstance(one, type) for one in arguments) else (None, ())


def _found(kind: type) -> Any:
    return loaded_attribute(sys.modules.get(kind.__module__), kind.__qualname__)


def loaded_attribute(module: Any, qualname: str) -> Any:
    """What a module holds under a dotted name, or None. Only what is there already: a module's ``__getattr__``, which
    may import, is not asked."""
    found = module
    for part in qualname.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found


def _form(tag: str, kind: type, writer: Writer, value: Any, **more: Any) -> dict[str, Any]:
    return {"$type": tag, "class": writer.class_name(kind), "v": value, **more}


def _write_collection(value: Any, writer: Writer, path: str) -> dict[str, Any] | None:
    import collections

    kind = type(value)
    if kind is collections.deque:
        items = [writer.write(item, f"{path}[{number}]") for number, item in enumerate(value)]
        return {"$type": "deque", "v": items, "maxlen": value.maxlen}
    if kind not in (collections.OrderedDict, collections.Counter, collections.defaultdict):
        return None
    if getattr(value, "__dict__", None):
        return None
    form: dict[str, Any] = {"$type": kind.__name__}
    if kind is collections.defaultdict:
        factory = value.default_factory
        name = None if factory is None else getattr(factory, "__name__", "")
        if factory is not None and _FACTORIES.get(name or "") is not factory:
            return None
        form["factory"] = name
    form["v"] = [
        [writer.write(key, f"{path} key"), writer.write(item, f"{path}[{key!r}]")] for key, item in value.items()
    ]
    return form


def _write_dataclass(value: Any, kind: type, writer: Writer, path: str) -> dict[str, Any] | None:
    names: list[str] = [
        name
        for name, field in kind.__dataclass_fields__.items()  # type: ignore[attr-defined]
        if getattr(field._field_type, "name", "") == "_FIELD"
    ]
    if not set(getattr(value, "__dict__", {})) <= set(names):
        return None  # state outside its fields (a cached property, an attribute added later) would be lost
    if isinstance(value, (dict, list, tuple, set, str, int, float, bytes, BaseException)):
        return None  # a dataclass that is also a container holds more than its fields
    fields = {name: writer.write(getattr(value, name), f"{path}.{name}") for name in names if hasattr(value, name)}
    return _form("dataclass", kind, writer, fields)


def _write_model(value: Any, kind: type, writer: Writer, path: str) -> dict[str, Any]:
    parts: dict[str, Any] = {"set": sorted(value.__pydantic_fields_set__)}
    if value.__pydantic_extra__:
        parts["extra"] = [[key, writer.write(item, f"{path}.{key}")] for key, item in value.__pydantic_extra__.items()]
    if value.__pydantic_private__:
        parts["private"] = [
            [key, writer.write(item, f"{path}.{key}")] for key, item in value.__pydantic_private__.items()
        ]
    fields = [[key, writer.write(item, f"{path}.{key}")] for key, item in value.__dict__.items()]
    return {**_form("pydantic", kind, writer, fields, **parts), "class": _model_class(kind, writer)}


def _model_class(kind: Any, writer: Writer) -> Any:
    """A model's class name; ``[generic, [argument, ...]]`` for a parametrised one.

    ``Box[int]`` exists only once somebody has written it: the process that resumes may not have come that far.
    """
    origin, arguments = _generic(kind)
    if origin is None or not all(map(_reachable, arguments)):
        return writer.class_name(kind)
    return [writer.class_name(origin), [_model_class(one, writer) for one in arguments]]


def _find_model(name: Any, reader: Reader) -> Any:
    if isinstance(name, str):
        return reader.find_class(name)
    generic: Any = reader.find_class(name[0])
    return generic[tuple(_find_model(one, reader) for one in name[1])]


def _write_exception(value: BaseException, kind: type, writer: Writer, path: str) -> dict[str, Any]:
    state = exception_state(value)
    return _form(
        "exception",
        kind,
        writer,
        [writer.write(item, f"{path}.args[{number}]") for number, item in enumerate(value.args)],
        state=[[key, writer.write(item, f"{path}.{key}")] for key, item in state.items()],
        notes=[str(note) for note in getattr(value, "__notes__", ())],
    )


# -- reading ----------------------------------------------------------------------------------------------------


def _read_enum(form: dict[str, Any], reader: Reader) -> Any:
    kind = reader.find_class(form["class"])
    if not issubclass(kind, Enum):
        raise _mismatch(kind, "an enum")
    member: Any = kind.__members__.get(form["v"])
    if member is None and "|" in form["v"]:  # a combination of flags
        for name in form["v"].split("|"):
            member = kind.__members__[name] if member is None else member | kind.__members__[name]
    if member is None:
        raise KitaruCorruptionError(f"enum {kind.__qualname__} has no member {form['v']!r} any more.")
    return member


def _read_namedtuple(form: dict[str, Any], reader: Reader) -> Any:
    kind = reader.find_class(form["class"])
    if not issubclass(kind, tuple):
        raise _mismatch(kind, "a named tuple")
    return tuple.__new__(kind, [reader.nested(item) for item in form["v"]])


def _read_dataclass(form: dict[str, Any], reader: Reader) -> Any:
    kind = reader.find_class(form["class"])
    if not hasattr(kind, "__dataclass_fields__"):
        raise _mismatch(kind, "a dataclass")
    made: Any = object.__new__(kind)
    for name, item in form["v"].items():
        object.__setattr__(made, name, reader.nested(item))
    return made


def _read_model(form: dict[str, Any], reader: Reader) -> Any:
    kind = _find_model(form["class"], reader)
    if not hasattr(kind, "__pydantic_fields__") and not hasattr(kind, "model_fields"):
        raise _mismatch(kind, "a pydantic model")
    made: Any = object.__new__(kind)
    object.__setattr__(made, "__dict__", {key: reader.nested(item) for key, item in form["v"]})
    object.__setattr__(made, "__pydantic_fields_set__", set(form["set"]))
    extra = {key: reader.nested(item) for key, item in form.get("extra", ())}
    allows_extra = kind.model_config.get("extra") == "allow"
    object.__setattr__(made, "__pydantic_extra__", extra if extra or allows_extra else None)
    private = {key: reader.nested(item) for key, item in form.get("private", ())}
    object.__setattr__(made, "__pydantic_private__", private or ({} if kind.__private_attributes__ else None))
    return made


def _read_exception(form: dict[str, Any], reader: Reader) -> Any:
    kind = reader.find_class(form["class"])
    if not issubclass(kind, BaseException):
        raise _mismatch(kind, "an exception")
    made = make_exception(kind, tuple(reader.nested(item) for item in form["v"]))
    restore_state(made, {key: reader.nested(item) for key, item in form.get("state", ())})
    for note in form.get("notes", ()):
        made.add_note(note)
    return made


# What builtin exceptions keep outside their args and their __dict__.
_NATIVE: tuple[tuple[type[BaseException], tuple[str, ...]], ...] = (
    (OSError, ("errno", "strerror", "filename", "filename2")),
    (ImportError, ("name", "path")),
    (NameError, ("name",)),
    (AttributeError, ("name",)),
    (StopIteration, ("value",)),
    (SystemExit, ("code",)),
)


def exception_state(error: BaseException) -> dict[str, Any]:
    """What an exception holds besides its args: its attributes, without Kitaru's own and without its notes."""
    state = {
        key: item
        for key, item in getattr(error, "__dict__", {}).items()
        if key != "__notes__" and not key.startswith("_kitaru")
    }
    for kind, names in _NATIVE:
        if isinstance(error, kind):
            state.update((name, item) for name in names if (item := getattr(error, name, None)) is not None)
    return state


def restore_state(error: BaseException, state: dict[str, Any]) -> None:
    """Put back what :func:`exception_state` gave; what the class does not take (a property by now) is left out."""
    native = {name for kind, names in _NATIVE if isinstance(error, kind) for name in names}
    for key, item in state.items():
        if key in native:
            try:
                setattr(error, key, item)
            except (AttributeError, TypeError):
                continue
        elif hasattr(error, "__dict__"):
            error.__dict__[key] = item


def make_exception(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An instance of an exception class with these ``args``, made without running any code of the class.

    The nearest builtin class makes it: that also fills what C code keeps (the positions of unicode errors, the
    members of a group).
    """
    base = next(one for one in kind.__mro__ if one.__module__ == builtins.__name__)
    made: BaseException = base.__new__(kind, *args)
    try:
        base.__init__(made, *args)  # type: ignore[misc]
    except TypeError:  # the class called its builtin base with other arguments than it shows
        pass
    made.args = args
    return made


def _read_deque(form: dict[str, Any], reader: Reader) -> Any:
    from collections import deque

    return deque((reader.nested(item) for item in form["v"]), form["maxlen"])


def _read_pairs(form: dict[str, Any], reader: Reader) -> Any:
    import collections

    pairs = [(reader.nested(key), reader.nested(item)) for key, item in form["v"]]
    if form["$type"] == "OrderedDict":
        return collections.OrderedDict(pairs)
    if form["$type"] == "Counter":
        counter: collections.Counter[Any] = collections.Counter()
        counter.update(dict(pairs))
        return counter
    factory = form["factory"]
    return collections.defaultdict(None if factory is None else _FACTORIES[factory], pairs)


def _mismatch(kind: type, what: str) -> KitaruCorruptionError:
    return KitaruCorruptionError(f"a stored value claims that {kind.__qualname__} is {what}, which it is not.")


READERS: dict[str, Callable[[dict[str, Any], Reader], Any]] = {
    "enum": _read_enum,
    "namedtuple": _read_namedtuple,
    "dataclass": _read_dataclass,
    "pydantic": _read_model,
    "exception": _read_exception,
    "deque": _read_deque,
    "OrderedDict": _read_pairs,
    "Counter": _read_pairs,
    "defaultdict": _read_pairs,
}

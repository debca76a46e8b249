"""Arguments of a call, encoded before its body runs: stored, digested, compared with what was recorded.

Stored form: one JSON object, parameter name to argument (``Codec.encode_argument``), in the order of the call. Extra
positional arguments are called ``args[n]``; a keyword that could be taken for another name gets the prefix ``**``.
Defaults that the caller did not pass are left out, so a changed default is no divergence.

The digest is taken of the canonical form: names sorted, keys of dicts sorted, members of sets sorted. Equal arguments
give equal digests, however they were passed. Arguments that only pickle can encode are left out of it.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii
from typing import Any

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal.codec import Codec, canonical_json

#: A checkpoint's argument up to this many characters of JSON is stored whole, a larger one as a preview.
INLINE_CHARACTERS_MAX = 16_384
_PREVIEW_CHARACTERS = 1_024
_SHORT_CHARACTERS_MAX = 1_024
_SHOWN_CHARACTERS_MAX = 160
_IMMUTABLE = frozenset((str, int, float, bool, type(None), bytes, complex))


@dataclass(slots=True)
class EncodedInputs:
    """A call's arguments as they are stored.

    ``digest`` is None when no argument can be compared. ``mutable`` serves :func:`changed_arguments`. ``complete``:
    the digest covers every argument, so that equal digests mean equal calls (needed to reuse results elsewhere).
    """

    data: bytes
    digest: bytes | None
    mutable: tuple[tuple[int | str, str, int], ...]
    complete: bool = True


@dataclass(slots=True, frozen=True)
class Difference:
    """An argument that differs; both values in a short readable form, ``""`` where it was not passed."""

    argument: str
    recorded: str
    now: str


def encode_inputs(
    parameters: tuple[str, ...],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    codec: Codec,
    inline_limit: int | None = INLINE_CHARACTERS_MAX,
) -> EncodedInputs:
    """Encode the arguments of one call; ``parameters`` are the names of the positional ones, in order.

    ``inline_limit`` (characters of JSON per argument): larger ones are stored as preview, size and digest; None
    stores everything, which :func:`decode_inputs` needs.

    Raises KitaruSerializationError that names the argument that cannot be stored.
    """
    if len(args) == 1 and not kwargs and type(args[0]) is str and len(args[0]) <= _SHORT_CHARACTERS_MAX:
        # The commonest call of all, on the hot path: what follows comes to the same.
        data = f"{{{_labels(parameters, 1)[0]}{encode_basestring_ascii(args[0])}}}".encode()
        return EncodedInputs(data, hashlib.sha256(data).digest(), ())
    stored: list[str] = []
    compared: list[str] = []
    mutable: list[tuple[int | str, str, int]] = []
    for place, (label, value) in _bound(parameters, args, kwargs):
        try:
            text, canonical = codec.encode_argument(value)
        except KitaruSerializationError as error:
            raise KitaruSerializationError(f"argument `{json.loads(label[:-1])}`: {error}") from error.__cause__
        if canonical is not None:
            compared.append(label + canonical)
            if type(value) not in _IMMUTABLE and not _immutable_tuple(value):
                # Kept as a hash, in memory only: the arguments' texts may be large.
                mutable.append((place, json.loads(label[:-1]), hash(canonical)))
        if inline_limit is not None and len(text) > inline_limit:
            text = _preview(value, text, canonical)
        stored.append(label + text)
    data = f"{{{','.join(stored)}}}".encode()
    if stored == compared and len(stored) < 2:
        return EncodedInputs(data, hashlib.sha256(data).digest(), tuple(mutable))
    digest = hashlib.sha256(f"{{{','.join(sorted(compared))}}}".encode()).digest() if compared else None
    return EncodedInputs(data, digest, tuple(mutable), len(stored) == len(compared))


def equal_inputs(
    parameters: tuple[str, ...],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    codec: Codec,
    recorded: bytes | None,
    digest: bytes,
) -> bool:
    """Whether a call's arguments are those of a recorded call, whose stored form and digest are given.

    Raises what :func:`encode_inputs` raises.
    """
    short = len(args) == 1 and not kwargs and type(args[0]) is str and len(args[0]) <= _SHORT_CHARACTERS_MAX
    if short and recorded == f"{{{_labels(parameters, 1)[0]}{encode_basestring_ascii(args[0])}}}".encode():
        return True  # equal bytes have equal digests
    return encode_inputs(parameters, args, kwargs, codec).digest == digest


def decode_inputs(data: bytes, parameters: tuple[str, ...], codec: Codec) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The ``(args, kwargs)`` that :func:`encode_inputs` stored with ``inline_limit=None``.

    Raises:
        KitaruCorruptionError: ``data`` is not what it stores.
        KitaruSerializationError: an argument's type is not loaded here, or pickle is not allowed.
    """
    found = _parse(data)
    args: list[Any] = []
    names = [*parameters, *(f"args[{number}]" for number in range(len(parameters), len(found)))]
    for name in names:
        if name not in found:
            break  # what follows a default that was not passed can only have been passed by keyword
        args.append(codec.from_jsonable(found.pop(name)))
    return tuple(args), {name.removeprefix("**"): codec.from_jsonable(value) for name, value in found.items()}


def changed_arguments(
    inputs: EncodedInputs,
    parameters: tuple[str, ...],  # noqa: ARG001  the places in `inputs` were made with them
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    codec: Codec,
) -> list[str]:
    """Names of the arguments whose encoding is another one than when ``inputs`` was made of the same objects."""
    changed = []
    for place, name, before in inputs.mutable:
        value = args[place] if isinstance(place, int) else kwargs[place]
        try:
            _, canonical = codec.encode_argument(value)
        except KitaruSerializationError:
            canonical = None
        if canonical is None or hash(canonical) != before:
            changed.append(name)
    return changed


def compare(recorded: bytes, now: bytes) -> list[Difference]:
    """The arguments that differ between two stored forms, in the order of ``now``, those left out last.

    Nothing is rebuilt: comparing needs neither classes nor pickle, and pickled arguments are not compared.
    """
    before, after = _parse(recorded), _parse(now)
    differences = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name, _ABSENT), after.get(name, _ABSENT)
        if _mark(old) == "pickle" or _mark(new) == "pickle" or _same(old, new):
            continue
        differences.append(Difference(name.removeprefix("**"), _shown(old), _shown(new)))
    return differences


# -- parts ------------------------------------------------------------------------------------------------------

_ABSENT = object()


def _bound(
    parameters: tuple[str, ...], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> list[tuple[int | str, tuple[str, Any]]]:
    """Each argument with its place in the call and its label, ``"name":``."""
    labels = _labels(parameters, len(args))
    bound: list[tuple[int | str, tuple[str, Any]]] = list(enumerate(zip(labels, args, strict=True)))
    if kwargs:
        positional = set(parameters[: len(args)])
        for name, value in kwargs.items():
            # `def f(a, /, **more)` may be called f(1, a=2); names out of a ** dict may be any text.
            plain = name.isidentifier() and name not in positional
            bound.append((name, (_label(name if plain else "**" + name), value)))
    return bound


@functools.lru_cache(maxsize=4096)
def _labels(parameters: tuple[str, ...], count: int) -> tuple[str, ...]:
    extra = (f"args[{number}]" for number in range(len(parameters), count))
    return tuple(_label(name) for name in (*parameters[:count], *extra))


def _label(name: str) -> str:
    return encode_basestring_ascii(name) + ":"


def _immutable_tuple(value: Any) -> bool:
    return type(value) is tuple and all(type(item) in _IMMUTABLE or _immutable_tuple(item) for item in value)


def _preview(value: Any, text: str, canonical: str | None) -> str:
    if canonical is None:
        return json.dumps({"$type": "pickle", "size": len(text), "class": _class_name(value)})
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return json.dumps({"$type": "preview", "v": text[:_PREVIEW_CHARACTERS], "size": len(text), "digest": digest})


def _class_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _parse(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise KitaruCorruptionError(f"the recorded inputs of a call are not JSON: {error}") from error
    if not isinstance(found, dict):
        raise KitaruCorruptionError("the recorded inputs of a call are not a JSON object.")
    return found


def _mark(value: Any) -> Any:
    return value.get("$type") if isinstance(value, dict) else None


def _same(old: Any, new: Any) -> bool:
    if old is _ABSENT or new is _ABSENT:
        return False
    if _mark(old) == "preview" and _mark(new) == "preview":
        return bool(old.get("digest") == new.get("digest"))
    return canonical_json(old) == canonical_json(new)


def _shown(value: Any) -> str:
    """A short readable form of a stored argument."""
    if value is _ABSENT:
        return ""
    if _mark(value) == "preview":
        start = str(value.get("v", ""))[:_SHOWN_CHARACTERS_MAX]
        return f"{start}... ({value.get('size')} characters, sha256 {str(value.get('digest'))[:12]})"
    text = json.dumps(_readable(value), ensure_ascii=False)
    if len(text) <= _SHOWN_CHARACTERS_MAX:
        return text
    return f"{text[:_SHOWN_CHARACTERS_MAX]}... ({len(text)} characters)"


def _readable(value: Any) -> Any:
    """A stored argument without its markers: what a person needs to see of it."""
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$type" not in value:
        return {key: _readable(item) for key, item in value.items()}
    inner = _readable(value.get("v"))
    kind = value.get("class", "")
    name = str(kind[0] if isinstance(kind, list) else kind).rpartition(":")[2]
    if name:
        return {name: inner}
    return inner if value["$type"] in ("tuple", "set", "frozenset", "dict", "float") else {value["$type"]: inner}

"""Which calls' results a call was given: found by the identity of its arguments, and by the futures among them.

Bookkeeping is bounded, and keeps nothing large alive: small builtin values are held, instances of classes are held
weakly, and large builtin values, which can be neither, are known by the digest that they are stored under.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruSerializationError

if TYPE_CHECKING:
    from kitaru.journal.codec import Codec
    from kitaru.journal.records import Payload
    from kitaru.runtime.context import Frame
    from kitaru.runtime.inputs import EncodedInputs

_KNOWN_MAX = 256
_INNER_MAX = 64  # members of a list, tuple or dict that are looked at
_DIGEST_BYTES_MAX = 8 * 1024 * 1024
_NAME_CHARACTERS_MAX = 32
# One object of these stands for every equal value: its identity says nothing.
_SHARED = frozenset((type(None), bool, int))
_BUILTIN = frozenset((dict, list, str, float, tuple, bytes, set, frozenset, bytearray, complex))


class Lineage:
    """The results of one execution's calls, as far as they can be recognised among later arguments."""

    __slots__ = ("_codec", "_large", "_order", "known", "reused")

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.known: dict[int, tuple[Any, str | None]] = {}
        self._order: deque[int] = deque()
        #: Results that a resumed flow was given again: (key, value, payload), looked at only when a new call is made.
        self.reused: deque[tuple[str, Any, Payload]] = deque(maxlen=_KNOWN_MAX)
        self._large: dict[bytes, str] = {}  # digest of the stored result -> key of its call

    def note(self, frame: Frame, value: Any, payload: Payload) -> None:
        """Remember what the call of ``frame`` gave the flow. Well under a microsecond for what is not large."""
        self.note_key(frame.key, value, payload, frame.parents)

    def note_key(self, of: str, value: Any, payload: Payload, parents: Sequence[str] = ()) -> None:
        """:meth:`note` for a call that has no frame."""
        kind = type(value)
        if (kind is dict or kind is list) and payload.data is not None and id(value) not in self.known:
            self._hold(id(value), value, of)  # the commonest result, by the shortest way
            return
        if kind in _SHARED:
            return
        held = value
        if kind not in _BUILTIN:
            try:
                held = weakref.ref(value)
            except TypeError:
                return
        elif payload.data is None:
            self._large[payload.digest] = of
            if len(self._large) > _KNOWN_MAX:
                self._large.pop(next(iter(self._large)), None)
            return
        elif kind is str:
            # Short names are interned by the compiler: a literal elsewhere is the same object.
            if len(value) <= _NAME_CHARACTERS_MAX and (not value or value.replace("_", "a").isalnum()):
                return
        elif kind is not dict and kind is not list and kind is not float and not value:
            return
        place = id(value)
        known = self.known
        key: str | None = of
        earlier = known.get(place)
        if earlier is not None and _is(earlier[0], value) and earlier[1] != key and earlier[1] not in parents:
            key = None  # two calls returned one constant: neither can be told from the other
        self._hold(place, held, key)

    def _hold(self, place: int, held: Any, key: str | None) -> None:
        self.known[place] = (held, key)
        order = self._order
        order.append(place)
        if len(order) > _KNOWN_MAX:
            self.known.pop(order.popleft(), None)

    def parents(self, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: EncodedInputs) -> list[str]:
        """Keys of the calls whose results are among the arguments: themselves, or one level inside a list, tuple or
        dict."""
        while self.reused:
            self.note_key(*self.reused.popleft())
        found: list[str] = []
        for value in (*args, *kwargs.values()) if kwargs else args:
            key = self._find(value)
            if key is not None:
                found.append(key)
                continue
            kind = type(value)
            if kind is list or kind is tuple or kind is dict:
                members: Iterable[Any] = value.values() if kind is dict else value
                if len(value) <= _INNER_MAX:
                    found += [inner for member in members if (inner := self._find(member)) is not None]
        if self._large and b'"preview"' in inputs.data:
            found += self._find_large((*args, *kwargs.values()))
        return found

    @property
    def empty(self) -> bool:
        return not self.known and not self._large and not self.reused

    def _find(self, value: Any) -> str | None:
        hit = self.known.get(id(value))
        return hit[1] if hit is not None and _is(hit[0], value) else None

    def _find_large(self, values: Iterable[Any]) -> list[str]:
        """Only for a call that was given something large: encoding it as a result says whether it was one."""
        found = []
        for value in values:
            if type(value) not in _BUILTIN:
                continue
            try:
                data = self._codec.encode(value).data
            except KitaruSerializationError:
                continue
            key = self._large.get(hashlib.sha256(data).digest()) if len(data) <= _DIGEST_BYTES_MAX else None
            if key is not None:
                found.append(key)
        return found


def _is(held: Any, value: Any) -> bool:
    return held is value or (type(held) is weakref.ref and held() is value)

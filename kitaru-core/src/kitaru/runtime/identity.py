"""Identity of calls: keys, the ids made from them, and values drawn from a seed.

Key grammar: parts joined by ``/``, one per nesting level; a part is ``[branch:]name#occurrence`` or, with an explicit
``id=``, ``[branch:]@id``. The branch is the creation order of the asyncio tasks that led there, ``1.2`` being the
second task made by the first; calls made by the flow's own coroutine or thread have none.
"""

from __future__ import annotations

import hashlib
import uuid


def escape(name: str) -> str:
    """``name`` without the characters that structure a key (``/ # : @ %``), reversible by percent decoding."""
    if name.isidentifier():
        return name
    for char in "%/#:@":
        name = name.replace(char, f"%{ord(char):02x}")
    return name


def unescape(part: str) -> str:
    """The inverse of :func:`escape`."""
    if "%" not in part:
        return part
    for char in "/#:@%":
        part = part.replace(f"%{ord(char):02x}", char)
    return part


def parent_key(key: str) -> str:
    """The key of the call inside which ``key`` was called; ``""`` for calls of the flow body."""
    return key.rpartition("/")[0]


def key_parts(key: str) -> tuple[str, str, int | None]:
    """Split the last part of ``key`` into branch, name or explicit id, and occurrence (None for an explicit id)."""
    last = key.rpartition("/")[2]
    branch, _, rest = last.rpartition(":")
    if rest.startswith("@"):
        return branch, unescape(rest[1:]), None
    name, _, occurrence = rest.rpartition("#")
    return branch, unescape(name), int(occurrence)


def is_child(key: str) -> bool:
    """Whether ``key`` is that of a child flow, not of a checkpoint call."""
    return key.rpartition("/")[2].rpartition(":")[2].startswith(">")


def call_id(exec_id: str, key: str) -> str:
    """UUID of a call: the same in every process, because it is made from the execution's id and the key."""
    return _uuid(f"call\0{exec_id}\0{key}".encode())


def idempotency_key(
    exec_id: str, parent: str, name: str, explicit: str | None, digest: bytes | None, duplicate: int
) -> str:
    """A key for payment APIs and tools that stays the same across attempts, crashes and resumes of one call.

    Made from what the call is about, not from its place, so that unfinished calls that come back in another order
    keep their keys: the ``duplicate`` counts earlier calls with equal inputs. An explicit id replaces name and digest.
    """
    subject = f"@{explicit}".encode() if explicit is not None else name.encode() + b"\0" + (digest or b"")
    text = b"\0".join((exec_id.encode(), parent.encode(), subject, str(duplicate).encode()))
    return hashlib.sha256(text).hexdigest()[:32]


def drawn_uuid(seed: bytes, key: str, draw: int) -> uuid.UUID:
    """The ``draw``-th UUID of a call (version 4 bits set), equal whenever the body runs again."""
    return uuid.UUID(bytes=_drawn(seed, key, draw, b"uuid"), version=4)


def drawn_float(seed: bytes, key: str, draw: int) -> float:
    """The ``draw``-th float in [0, 1) of a call: 53 random bits, as ``random.random`` has."""
    return (int.from_bytes(_drawn(seed, key, draw, b"float")[:8], "big") >> 11) * 2.0**-53


def _drawn(seed: bytes, key: str, draw: int, kind: bytes) -> bytes:
    return hashlib.sha256(b"\0".join((seed, key.encode(), str(draw).encode(), kind))).digest()[:16]


def _uuid(text: bytes) -> str:
    # What str(uuid.UUID(bytes=..., version=5)) gives, at a third of the price: every call of a snapshot has one.
    digest = hashlib.sha256(text).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"

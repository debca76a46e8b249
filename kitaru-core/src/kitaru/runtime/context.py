"""Where the running code is: one frame per flow body, checkpoint attempt and asyncio branch, in a context variable."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kitaru.errors import KitaruContextError
from kitaru.runtime import identity

if TYPE_CHECKING:
    from kitaru.runtime.inputs import EncodedInputs
    from kitaru.runtime.run import Run
    from kitaru.runtime.specs import CheckpointSpec


class Frame:
    """A scope in which calls are counted: the flow body, one attempt of a call, or one asyncio branch of either.

    Slotted and written out by hand: one is made per checkpoint call, on the hot path.
    """

    __slots__ = (
        "attempt",
        "base",
        "branch",
        "branches",
        "counters",
        "digests",
        "draws",
        "duplicate",
        "explicit",
        "external_key",
        "fenced",
        "gated",
        "inputs",
        "is_async",
        "key",
        "label",
        "labels",
        "name",
        "parent",
        "parents",
        "prefix",
        "root",
        "run",
        "spec",
        "started_at",
        "waiting",
        "written",
    )

    def __init__(self, run: Run, parent: Frame | None, key: str, name: str, is_async: bool) -> None:
        self.run = run
        self.parent = parent
        self.key = key
        self.name = name
        self.is_async = is_async
        self.base = self.prefix = key + "/" if key else ""
        self.branch = ""
        self.root: Frame = self  # the frame of the body, whose state its branches share
        self.branches = 0
        self.counters: dict[str, int] | None = None
        self.digests: dict[int, int] | None = None
        self.draws = 0
        self.attempt = 1
        self.spec: CheckpointSpec | None = None
        self.inputs: EncodedInputs | None = None
        self.explicit: str | None = None
        self.label: str | None = None
        self.labels: dict[str, int] | None = None
        self.duplicate = 0
        self.external_key: str | None = None
        self.parents: Sequence[str] = ()  # keys of the calls whose results are arguments of this one
        self.started_at = 0
        self.written = False
        self.fenced = False
        self.gated = False
        self.waiting = 0

    def fork(self) -> Frame:
        """The frame of a new asyncio task made here: the same call, keys of its own."""
        self.branches += 1
        child = Frame(self.run, self.parent, self.key, self.name, self.is_async)
        child.branch = f"{self.branch}.{self.branches}" if self.branch else str(self.branches)
        child.prefix = f"{self.base}{child.branch}:"
        child.root = self.root
        return child

    def count_digest(self, name: str, digest: bytes) -> int:
        """How many earlier calls of this body were calls of ``name`` with equal inputs."""
        digests = self.digests
        if digests is None:
            digests = self.digests = {}
        place = hash((name, digest))
        earlier = digests[place] = digests.get(place, -1) + 1
        return earlier

    def draw(self) -> int:
        """Number the next value drawn in this frame (uuid4, random)."""
        self.draws += 1
        return self.draws


current_frame: ContextVar[Frame | None] = ContextVar("kitaru_frame", default=None)


def require_frame(api: str) -> Frame:
    """The frame of the running code, or KitaruContextError naming ``api``."""
    frame = current_frame.get()
    if frame is None:
        raise KitaruContextError(
            f"{api} works only inside a flow: nothing is running here. Call it from a function decorated with @flow "
            "that was started with .run(...)."
        )
    return frame


@dataclass(slots=True, frozen=True)
class CurrentCall:
    """Answer of :func:`current`. In a flow body the call fields are None and ``attempt`` is 1."""

    exec_id: str
    flow_name: str
    call_id: str | None
    invocation_id: str | None
    attempt: int
    idempotency_key: str | None


def current() -> CurrentCall:
    """Where the running code is.

    Inside a checkpoint ``idempotency_key`` is stable across attempts, crashes and resumes of this call: hand it to
    payment APIs and tools, so that a repeated request is recognised.

    Raises:
        KitaruContextError: outside a flow.
    """
    frame = require_frame("kitaru.current()").root
    run = frame.run
    if not frame.key:
        return CurrentCall(run.exec_id, run.flow_name, None, None, 1, None)
    return CurrentCall(
        exec_id=run.exec_id,
        flow_name=run.flow_name,
        call_id=identity.call_id(run.exec_id, frame.key),
        invocation_id=invocation_id(frame),
        attempt=frame.attempt,
        idempotency_key=idempotency_key(frame),
    )


def idempotency_key(frame: Frame) -> str:
    """The stable external key of the call that ``frame`` runs."""
    if frame.external_key is not None:  # an isolated process was told its key
        return frame.external_key
    digest = frame.inputs.digest if frame.inputs is not None else None
    parent = identity.parent_key(frame.key)
    return identity.idempotency_key(frame.run.exec_id, parent, frame.name, frame.explicit, digest, frame.duplicate)


def invocation_id(frame: Frame) -> str:
    """The name of a call for people: ``research``, ``research#2``, ``outer/inner#2``; an explicit id verbatim."""
    frame = frame.root
    own = frame.label
    if own is None:
        _, name, occurrence = identity.key_parts(frame.key)
        own = name if occurrence in (None, 1) else f"{name}#{occurrence}"
    parent = frame.parent.root if frame.parent is not None else None
    return own if parent is None or not parent.key else f"{invocation_id(parent)}/{own}"

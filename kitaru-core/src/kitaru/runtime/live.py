"""A channel for what a call says while it runs: pieces of a streamed answer. Nothing of it is journaled.

In this process ``FlowHandle.stream()`` gives them as they come; elsewhere they are seen in the runtime logs, line by
line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING

from kitaru.process_locks import ProcessLock
from kitaru.runtime.context import Frame, invocation_id

if TYPE_CHECKING:
    from kitaru.runtime.run import Run


@dataclass(slots=True, frozen=True)
class Piece:
    """Some of the text of a streamed answer. ``call`` is the invocation id of the checkpoint call it belongs to,
    ``name`` that of the model call in it; a further ``attempt`` begins anew."""

    call: str
    name: str
    attempt: int
    text: str


class Channel:
    """The pieces of one execution. A listener that comes late gets what the calls in progress have said so far."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._listeners: list[SimpleQueue[Piece | None]] = []
        self._said: dict[int, list[Piece]] = {}
        self._closed = False

    def say(self, speaker: int, piece: Piece) -> None:
        """Give a piece to all listeners."""
        with self._lock:
            self._said.setdefault(speaker, []).append(piece)
            for listener in self._listeners:
                listener.put(piece)

    def forget(self, speaker: int) -> None:
        """A speaker has ended: what it said is in the journal now."""
        with self._lock:
            self._said.pop(speaker, None)

    def close(self) -> None:
        """The run has ended."""
        with self._lock:
            self._closed = True
            for listener in self._listeners:
                listener.put(None)

    def listen(self) -> Iterator[Piece]:
        """The pieces, until the run ends."""
        queue: SimpleQueue[Piece | None] = SimpleQueue()
        with self._lock:
            for said in self._said.values():
                for piece in said:
                    queue.put(piece)
            if self._closed:
                queue.put(None)
            self._listeners.append(queue)
        try:
            while (heard := queue.get()) is not None:
                yield heard
        finally:
            with self._lock:
                self._listeners.remove(queue)


_lock = ProcessLock()


def channel(run: Run) -> Channel:
    """The channel of a run, made when somebody first speaks or listens."""
    with _lock:
        if run.channel is None:
            made = run.channel = Channel()
            run.on_done(made.close)
        return run.channel


class Speaker:
    """Says the pieces of one model call."""

    def __init__(self, frame: Frame, name: str) -> None:
        self._frame = frame
        self._call = invocation_id(frame)
        self._name = name
        self._unended = False

    def __call__(self, text: str) -> None:
        frame = self._frame
        run = frame.run
        channel(run).say(id(self), Piece(self._call, self._name, frame.attempt, text))
        if run.kernel.capture is not None:
            run.kernel.capture.write(frame, "model", text)
            self._unended = not text.endswith("\n")

    def end(self) -> None:
        """Nothing more comes."""
        run = self._frame.run
        channel(run).forget(id(self))
        if self._unended and run.kernel.capture is not None:
            run.kernel.capture.write(self._frame, "model", "\n")


class _Silent(Speaker):
    """In an isolated process: nobody listens."""

    def __init__(self) -> None:
        """Needs no frame."""

    def __call__(self, text: str) -> None:
        """Not heard."""

    def end(self) -> None:
        """Nothing to end."""


def speaker(frame: Frame, name: str) -> Speaker:
    """Says the pieces of the model call ``name`` that the body of ``frame`` makes."""
    return _Silent() if frame.run.isolated else Speaker(frame, name)

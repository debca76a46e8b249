"""Where user code's output goes while a command drives a flow."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Redirectable:
    """A text stream whose target can be changed while others hold on to it.

    The runtime's log capture wraps ``sys.stdout`` when a flow starts. A live display, which is loaded only then, still
    has to get what the flow prints: it changes the target behind the capture instead of ``sys.stdout`` in front of it.
    """

    def __init__(self, target: TextIO) -> None:
        self.target: Any = target

    def write(self, text: str) -> int:
        self.target.write(text)
        return len(text)

    def flush(self) -> None:
        self.target.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


@contextlib.contextmanager
def user_output(*, to_stderr: bool) -> Iterator[tuple[Redirectable, Redirectable]]:
    """Put redirectable streams in for stdout and stderr while user code runs.

    ``to_stderr``: what it prints goes to stderr, also what native code writes to file descriptor 1, so that stdout
    holds nothing but the command's JSON.
    """
    stdout, stderr = sys.stdout, sys.stderr
    if isinstance(stdout, io.TextIOWrapper):
        # Line by line also into a pipe: what a flow prints is followed live, and keeps its place among what its child
        # processes write.
        stdout.reconfigure(line_buffering=True)
    streams = Redirectable(stderr if to_stderr else stdout), Redirectable(stderr)
    saved = _divert_descriptor(stdout) if to_stderr else None
    sys.stdout, sys.stderr = streams
    try:
        yield streams
    finally:
        sys.stdout, sys.stderr = stdout, stderr
        if saved is not None:
            os.dup2(saved, 1)
            os.close(saved)


def _divert_descriptor(stdout: TextIO) -> int | None:
    """Make descriptor 1 write where 2 does; gives a copy of the old one, or None when stdout is not descriptor 1."""
    try:
        if stdout.fileno() != 1:
            return None
        stdout.flush()
        saved = os.dup(1)
        os.dup2(2, 1)
    except (OSError, ValueError, AttributeError):  # a test's stream, or a closed one
        return None
    return saved

"""One line of runtime log. Made by ``runtime.capture``, stored and read back by log stores."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class LogRecord:
    """What a body printed or logged, one line of it.

    ``timestamp`` is microseconds since the Unix epoch, UTC. ``level`` is a logging level's name; ``source`` is
    ``"stdout"``, ``"stderr"``, ``"logging"`` or ``"model"`` (a streamed answer).
    The call's fields are None for lines of the flow body itself.
    ``logger`` and what follows it are set for ``"logging"`` only.
    """

    timestamp: int
    level: str
    message: str
    source: str
    call_id: str | None = None
    invocation_id: str | None = None
    checkpoint_name: str | None = None
    attempt: int | None = None
    logger: str | None = None
    module: str | None = None
    filename: str | None = None
    lineno: int | None = None

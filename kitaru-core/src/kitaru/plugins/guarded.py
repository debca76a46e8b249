"""Runs code of plugins so that one that hangs or exits stops nobody else."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

#: A plugin's module imports nothing but the marker: milliseconds, seconds on a machine that is very busy.
SECONDS_MAX = 5.0


def why_it_failed(action: Callable[[], Any], seconds_max: float = SECONDS_MAX) -> tuple[str | None, Any]:
    """Perform ``action``: why it failed, or None; and what it returned.

    It runs on a daemon thread, as nothing else can be given up: after ``seconds_max`` it has failed, and what it does
    from then on is nobody's concern. KeyboardInterrupt and the like are raised here.
    """
    returned: list[Any] = []
    raised: list[BaseException] = []

    def perform() -> None:
        try:
            returned.append(action())
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=perform, name="kitaru-plugin", daemon=True)
    thread.start()
    thread.join(seconds_max)
    if raised:
        if not isinstance(raised[0], (Exception, SystemExit)):
            raise raised[0]
        return f"{type(raised[0]).__name__}: {raised[0]}", None
    if not returned:
        return (
            f"it was not done after {seconds_max:g} seconds, and everybody waits for it. Import what takes long in the "
            "functions that need it"
        ), None
    return None, returned[0]

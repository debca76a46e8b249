"""Crash injection: a journal that kills its own process, for real, at a chosen write.

    kernel.journal = CrashingJournal(kernel.journal, CrashPoint.parse("before:7"))

The seventh write of this process then never happens: the process gets SIGKILL right before it. With ``after:7`` the
write is committed and the process dies before anybody hears of it. Wrapping is all there is: a journal that is not
wrapped pays nothing.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn, cast

from kitaru.errors import KitaruUsageError
from kitaru.journal.protocol import Journal

#: The variable that :meth:`CrashPoint.from_environment` reads.
CRASH_VARIABLE = "KITARU_CRASH"

#: The journal's write methods, each call one write point. ``renew`` is left out: when it comes is a matter of time.
WRITES = (
    "create",
    "create_child",
    "claim",
    "append",
    "append_durably",
    "open_wait",
    "resolve_wait",
    "finish",
    "suspend",
    "release",
    "request_cancel",
)

Side = Literal["before", "after"]


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where a process dies: right before or right after its ``number``-th journal write, counted from 1."""

    side: Side
    number: int

    @classmethod
    def parse(cls, text: str) -> CrashPoint:
        """Read ``before:7`` or ``after:7``. Raises KitaruUsageError for anything else."""
        side, _, number = text.partition(":")
        if side not in ("before", "after") or not number.isdecimal() or int(number) < 1:
            raise KitaruUsageError(
                f"{text!r} is no crash point. Write before:N or after:N, N being the journal write, from 1."
            )
        return cls(cast(Side, side), int(number))

    @classmethod
    def from_environment(cls) -> CrashPoint | None:
        """The point that :data:`CRASH_VARIABLE` names; None when it is not set."""
        text = os.environ.get(CRASH_VARIABLE)
        return cls.parse(text) if text else None

    def __str__(self) -> str:
        return f"{self.side}:{self.number}"


def kill_this_process() -> NoReturn:
    """Send SIGKILL to this process and never return: no handler, no ``finally``, no flush."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable: SIGKILL cannot be survived")


class CrashingJournal:
    """Stands in front of a journal, counts its writes and kills the process at one of them.

    Thread-safe: concurrent writes get different numbers, and only the write with the chosen number crashes. A write
    that raises has its number, but ``after`` does not crash then: nothing was committed.

    Args:
        journal: the journal that does the work.
        point: where to crash; None only counts.
        crash: what to do there; default: SIGKILL.
        writes: names of the methods that count.
    """

    def __init__(
        self,
        journal: Journal,
        point: CrashPoint | None,
        *,
        crash: Callable[[], Any] = kill_this_process,
        writes: tuple[str, ...] = WRITES,
    ) -> None:
        self.inner = journal
        self.point = point
        #: Names of the writes that were begun, in order.
        self.log: list[str] = []
        self._crash = crash
        self._lock = threading.Lock()
        for name in writes:
            setattr(self, name, self._counted(name, getattr(journal, name)))

    def _counted(self, name: str, write: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                self.log.append(name)
                number = len(self.log)
            side = self.point.side if self.point is not None and self.point.number == number else None
            if side == "before":
                self._crash()
            answer = write(*args, **kwargs)
            if side == "after":
                self._crash()
            return answer

        return counted

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

"""Control flow of the kernel: how an execution stops without having ended.

These derive from ``BaseException`` on purpose: a user's ``except Exception`` around a primitive must not swallow a
suspension or a cancellation. They are also only the *messenger*: the fact that an execution stops is kernel state
(``Run.stopping``), so a body that catches one anyway, or whose ``gather(return_exceptions=True)`` turns it into a
value, meets it again at its next Kitaru call, and whatever it returns afterwards is discarded.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitaru.runtime.inputs import Difference


class ExecutionStopped(BaseException):
    """Root of everything that unwinds a flow body early. Never recorded as a call's outcome."""


class ExecutionCancelled(ExecutionStopped):
    """Somebody cancelled the execution."""


class ExecutionSuspended(ExecutionStopped):
    """All branches wait for something outside; the owner lets go.

    ``waits`` says for what, for people; ``wait_ids`` and ``children`` name the waits and executions among it.
    """

    def __init__(
        self, waits: str, wake_at: int | None, wait_ids: tuple[str, ...] = (), children: tuple[str, ...] = ()
    ) -> None:
        super().__init__(waits)
        self.waits = waits
        self.wake_at = wake_at
        self.wait_ids = wait_ids
        self.children = children


class ExecutionInterrupted(ExecutionStopped):
    """This process stops driving the execution (Ctrl-C, journal trouble); somebody may resume it."""


class ExecutionLost(ExecutionStopped):
    """The lease went to another owner: this process may write nothing more."""


class ExecutionDiverged(ExecutionStopped):
    """The code made a call that contradicts the journal and the policy is ``error``."""

    def __init__(self, message: str, key: str = "", differences: Sequence[Difference] = ()) -> None:
        super().__init__(message)
        self.key = key
        self.differences = tuple(differences)


class DryRunEnded(ExecutionStopped):
    """A dry run has come to where the records end. ``place`` is what the code would do there, for people."""

    def __init__(self, place: str) -> None:
        super().__init__(place)
        self.place = place


class AttemptFenced(ExecutionStopped):
    """The attempt timed out and another one may run: its late Kitaru calls are refused, its result dropped."""

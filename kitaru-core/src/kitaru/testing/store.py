"""What the fixture ``kitaru_store`` gives: a store of its own, and the levers of a test."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

from kitaru.client import KitaruClient
from kitaru.config import reset_configuration
from kitaru.errors import KitaruTimeoutError, KitaruUsageError
from kitaru.flows import FlowDefinition
from kitaru.handles import FlowHandle
from kitaru.runtime.clock import Clock
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.testing.crashing import CrashAt
from kitaru.testing.fakes import Fake, Fakes
from kitaru.testing.virtual_time import VirtualClock

_SETTLE_SECONDS = 30.0
_POLL_SECONDS = 0.002
# No owner of a test loses its lease because time was moved on.
_LEASE_SECONDS = 100 * 365 * 86_400
_FAKES = Fakes()


def variables(directory: Path) -> dict[str, str]:
    """The environment that makes a process use the store in ``directory``."""
    return {
        "KITARU_CONFIG_PATH": str(directory),
        # Tests kill processes, not machines: what is committed survives that without a sync.
        "KITARU_DURABILITY": "process",
        "KITARU_LEASE_SECONDS": str(_LEASE_SECONDS),
    }


class KitaruStore:
    """An isolated store with time that is moved by the test. A context manager: leaving it undoes everything.

    Flows run as always, in threads of this process. One that waits or sleeps is let go of at once (status
    ``waiting``), as it would be after ten minutes, and is continued by :meth:`advance`. The pauses between the attempts
    of a checkpoint (``backoff``) need no such help: each moves the time by itself.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = VirtualClock()

    def __enter__(self) -> KitaruStore:
        assembly.reset()
        reset_configuration()
        assembly.use_clock(lambda: self.clock)
        return self

    def __exit__(self, *_: object) -> None:
        _FAKES.remove()
        assembly.reset()
        assembly.use_clock(Clock)
        reset_configuration()

    @property
    def kernel(self) -> Kernel:
        """The kernel that the flows of this test run on."""
        return assembly.open_kernel()

    @property
    def client(self) -> KitaruClient:
        """A client of this store."""
        return KitaruClient()

    def fake(self, checkpoint: Any, **answer: Any) -> Fake:
        """Replace the body of a checkpoint, given itself or by its name, until the test ends.

        Everything around the body stays real: the result is journaled, retries and resume work. Isolated checkpoints
        run in this process then. A process that :meth:`crash_at` starts knows nothing of fakes.

        Args:
            returns: what each call gives.
            raises: the exception that each call raises.
            runs: a function that is called with the arguments in place of the body.

        Raises KitaruUsageError unless exactly one of the three is given.
        """
        unknown = set(answer) - {"returns", "raises", "runs"}
        if unknown:
            raise KitaruUsageError(f"a fake takes returns=, raises= or runs=, not {', '.join(sorted(unknown))}.")
        return _FAKES.add(checkpoint, **answer)

    def settle(self, timeout: float = _SETTLE_SECONDS) -> None:
        """Return once every execution of this process has ended, or waits and was let go of.

        Raises KitaruTimeoutError, naming them, when some still run after ``timeout`` real seconds.
        """
        kernel = self.kernel
        end = time.monotonic() + timeout
        while runs := list(kernel.runs.values()):
            if time.monotonic() >= end:
                names = ", ".join(f"{run.flow_name} ({run.exec_id})" for run in runs)
                raise KitaruTimeoutError(f"still running after {timeout} s: {names}.")
            runs[0].done.wait(_POLL_SECONDS)
            # The end is published a moment after the kernel forgets a run: whoever settles wants to see it.
            for run in runs:
                if run.exec_id not in kernel.runs:
                    run.done.wait(max(0.0, end - time.monotonic()))

    def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, and continue every execution whose timer (``kitaru.sleep``, expiry) is due on the way.

        In the order in which they are due, each at its own time, and until all have settled: a flow that sleeps an hour
        three times is through after ``advance(3 * 3600)``. Flows must be at the top level of a module: they are found
        again as after a restart.

        Raises:
            KitaruUsageError: ``seconds`` is negative or no number.
            KitaruTimeoutError: an execution does not settle within 30 real seconds.
        """
        if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < float("inf"):
            raise KitaruUsageError(f"advance({seconds!r}): give a number of seconds, 0 or more.")
        self.settle()
        kernel = self.kernel
        target = self.clock.now() + round(seconds * 1e6)
        while due := self._next_due(kernel, target):
            moment, exec_id = due
            self.clock.move_to(moment)
            kernel.recover(exec_id)
            self.settle()
        self.clock.move_to(target)

    def answer(self, execution: FlowHandle | str, value: Any = None, *, wait: str | None = None) -> None:
        """Answer a pending wait and continue its execution in this process; returns when all have settled.

        ``execution`` is its handle or its id, ``wait`` the wait's name or id where several are pending.

        Raises what :meth:`kitaru.client.executions.Executions.input` raises, and KitaruTimeoutError as :meth:`advance`.
        """
        self.settle()
        exec_id = execution if isinstance(execution, str) else execution.exec_id
        self.client.executions.input(exec_id, wait=wait, value=value, resume=False)
        self.advance(0)

    def crash_at(self, checkpoint: Any, *, phase: Literal["before", "after"] = "after", call: int = 1) -> CrashAt:
        """A crash, for real: ``crash_at("charge").run(flow, ...)`` kills a process there and resumes in this one.

        Args:
            checkpoint: itself, or its name.
            phase: ``"before"`` its body runs, or ``"after"`` its result is recorded and before the flow has it.
            call: which call of that name, counted from 1.

        Raises KitaruUsageError for anything else.
        """
        return CrashAt(self.kernel, checkpoint, phase, call)

    def resume(self, handle: FlowHandle, flow: FlowDefinition[..., Any] | None = None) -> FlowHandle:
        """Continue an execution in this process, as ``kitaru executions resume`` would; gives its new handle.

        ``flow``: the flow, where it cannot be imported again (it is defined in a function).
        """
        kernel = self.kernel
        run = kernel.resume(handle.exec_id, flow.spec if flow is not None else None)
        return FlowHandle(kernel, handle.exec_id, run)

    @staticmethod
    def _next_due(kernel: Kernel, target: int) -> tuple[int, str] | None:
        waiting = [
            (record.wake_at, record.exec_id)
            for record in kernel.journal.recoverable(target, kernel.alive)
            if record.status == "waiting" and record.wake_at is not None
        ]
        return min(waiting, default=None)

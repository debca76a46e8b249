"""Killing the process of an execution at a chosen checkpoint, and what the parent does about it.

Run as a module it is the process that dies::

    python -m kitaru.testing.crashing EXEC_ID JOURNAL_URL CHECKPOINT PHASE CALL
"""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, cast

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, Lease
from kitaru.testing.crash import kill_this_process

if TYPE_CHECKING:
    from kitaru.flows import FlowDefinition
    from kitaru.handles import FlowHandle
    from kitaru.runtime.kernel import Kernel

Phase = Literal["before", "after"]
_CHILD_SECONDS = 60.0


class CrashAt:
    """A crash that is still to come. Made by :meth:`kitaru.testing.store.KitaruStore.crash_at`."""

    def __init__(self, kernel: Kernel, checkpoint: Any, phase: str, call: int) -> None:
        name = checkpoint if isinstance(checkpoint, str) else getattr(getattr(checkpoint, "spec", None), "name", None)
        if not isinstance(name, str) or not name.strip():
            raise KitaruUsageError(f"{checkpoint!r} is neither a checkpoint nor the name of one.")
        if phase not in ("before", "after"):
            raise KitaruUsageError(f"phase={phase!r}: allowed are 'before' and 'after'.")
        if not isinstance(call, int) or isinstance(call, bool) or call < 1:
            raise KitaruUsageError(f"call={call!r}: calls are counted from 1.")
        self._kernel = kernel
        self._name = name
        self._phase = phase
        self._call = call

    def run(self, flow: FlowDefinition[..., Any], *args: Any, **kwargs: Any) -> FlowHandle:
        """Start ``flow`` in a process that gets SIGKILL there; then resume it in this one and give its handle.

        The flow must be at the top level of a module or script: another process has to find it.

        Raises:
            KitaruStateError: the process ended without getting there; the text has the end of its output.
            KitaruUsageError: bad arguments or settings.
        """
        from kitaru.handles import FlowHandle

        exec_id = self._created(flow, args, kwargs)
        self._kill(exec_id)
        return FlowHandle(self._kernel, exec_id, self._kernel.resume(exec_id, flow.spec))

    def _created(self, flow: FlowDefinition[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        from kitaru.stack import assembly

        spec = assembly.with_settings(flow.spec, assembly.RunOptions())
        settings = {"cache": spec.cache, "retries": spec.retries}
        launch = self._kernel.create(
            spec,
            args,
            kwargs,
            owned=False,  # the process that is going to die will be its first owner
            stack_name="default",
            execution_spec={"version": 1, "resolved_execution": settings},
        )
        return launch.record.exec_id

    def _kill(self, exec_id: str) -> None:
        arguments = (exec_id, self._kernel.journal.url, self._name, self._phase, str(self._call))
        done = subprocess.run(
            [sys.executable, "-m", "kitaru.testing.crashing", *arguments],
            capture_output=True,
            text=True,
            timeout=_CHILD_SECONDS,
            check=False,
        )
        if done.returncode != -9:
            output = (done.stdout + done.stderr).strip()[-2000:]
            raise KitaruStateError(
                f"execution {exec_id} ended without crashing {self._phase} call {self._call} of checkpoint "
                f"`{self._name}` (exit code {done.returncode}). Its output:\n{output}"
            )


class _Doomed:
    """Stands in front of a journal and kills the process once a chosen result has been committed."""

    def __init__(self, journal: Journal, name: str, call: int) -> None:
        self._journal = journal
        self._name = name
        self._left = call

    def append(self, lease: Lease, entries: Sequence[Entry]) -> None:
        self._journal.append(lease, entries)
        for entry in entries:
            if entry.kind == EntryKind.COMPLETED and entry.name == self._name:
                self._left -= 1
                if self._left == 0:
                    kill_this_process()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)


def main(arguments: Sequence[str]) -> None:
    """Drive an execution in this process, which is killed on the way."""
    from kitaru.runtime.run import Run
    from kitaru.stack.assembly import open_kernel

    exec_id, url, name, phase, text = arguments
    call = int(text)
    kernel = open_kernel(journal_url=url)
    if phase == "after":
        kernel.journal = cast("Journal", _Doomed(kernel.journal, name, call))
    else:
        started = itertools.count(1)
        before_body = Run.before_body

        def doomed(run: Run, frame: Any) -> None:
            before_body(run, frame)
            if frame.name == name and next(started) == call:
                kill_this_process()

        setattr(Run, "before_body", doomed)  # noqa: B010  a method of this process, which has not long to live
    kernel.start(exec_id).done.wait()


if __name__ == "__main__":
    main(sys.argv[1:])

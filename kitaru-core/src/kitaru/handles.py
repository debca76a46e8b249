"""What ``.run()`` gives: a handle on one execution, wherever it runs."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruStateError
from kitaru.runtime import children, outcome
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.live import Piece
    from kitaru.runtime.run import Run


class FlowHandle:
    """One execution, from outside it. Inside a flow, what is read from a child's handle is journaled."""

    __slots__ = ("_child", "_exec_id", "_kernel", "_run")

    def __init__(
        self, kernel: Kernel, exec_id: str, run: Run | None = None, child: children.Child | None = None
    ) -> None:
        self._kernel = kernel
        self._exec_id = exec_id
        self._run = run
        self._child = child

    @property
    def exec_id(self) -> str:
        """The execution's id, a UUID."""
        return self._exec_id

    @property
    def status(self) -> ExecutionStatus:
        """What the execution is doing now, read from the journal at each access."""
        return outcome.shown_status(self._kernel, self._exec_id)

    def wait(self, timeout: float | None = None) -> Any:
        """Wait for the end and return the result.

        Raises:
            KitaruTimeoutError: ``timeout`` seconds passed; the execution goes on.
            KitaruUserCodeError, KitaruDivergenceError, KitaruExecutionError: it failed or was cancelled. The cause is
                the exception itself where it happened in this process, else its rebuilt twin.
            KitaruWaitingError: it is suspended; the text says on what, and the command that continues it.
            KitaruStateError: it is interrupted: nobody drives it.
        """
        if self._child is not None:
            return children.result(self._child, timeout)
        try:
            record = outcome.wait_end(self._kernel, self._exec_id, self._run, timeout)
        except KeyboardInterrupt:
            # The first Ctrl-C lets every flow of this process go before its next checkpoint; they read `interrupted`.
            self._kernel.interrupt_all()
            raise
        return outcome.value_of(self._kernel, self._exec_id, self._run, record)

    def get(self) -> Any:
        """The result, at once. Raises KitaruStateError (with id and status) when the execution has not finished."""
        if self._child is not None:
            if not self.status.finished:
                raise KitaruStateError(f"child execution {self._exec_id} has not finished. Use wait() to wait for it.")
            return children.result(self._child, None)
        run = self._run
        if run is not None and run.done.is_set() and run.status != "lost":
            return outcome.value_of(self._kernel, self._exec_id, run, None)
        return outcome.value_of(self._kernel, self._exec_id, run, self._kernel.journal.get(self._exec_id))

    def __await__(self) -> Generator[Any, None, Any]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> Any:
        if self._child is not None:
            return await children.result_async(self._child)
        record = await children.ended_async(self._kernel, self._exec_id, self._run)
        return outcome.value_of(self._kernel, self._exec_id, self._run, record)

    def stream(self) -> Iterator[Piece]:
        """Pieces of the answers of its ``llm(stream=True)`` calls as they come, until the execution ends or lets go.

        A reader that comes late first gets what the calls in progress have said so far. Only in the process that runs
        the execution: elsewhere the pieces are in the runtime logs (``kitaru executions logs ID --follow``).

        Raises KitaruStateError where another process runs it.
        """
        if self._run is None:
            raise KitaruStateError(
                f"execution {self._exec_id} does not run in this process. `kitaru executions logs {self._exec_id} "
                "--follow` shows streamed answers line by line."
            )
        from kitaru.runtime import live

        return live.channel(self._run).listen()

    def __repr__(self) -> str:
        return f"<FlowHandle {self._exec_id}>"

"""Calls that run beside the flow body: started by ``.submit``, joined when the body ends."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kitaru.runtime import calls
from kitaru.runtime.context import Frame
from kitaru.runtime.control import ExecutionInterrupted, ExecutionLost
from kitaru.runtime.futures import CheckpointFuture, resolve, sources

if TYPE_CHECKING:
    from kitaru.runtime.run import Run

After = Sequence[CheckpointFuture[Any]]


class Submissions:
    """The submitted calls of one run that have not ended, and the failures nobody has looked at."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._lock = threading.Lock()
        self._open: dict[int, concurrent.futures.Future[Any]] = {}
        self._failed: list[CheckpointFuture[Any]] = []
        self._abandoned = False
        self.queued = 0

    def start(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], after: After) -> CheckpointFuture[Any]:
        """Start a prepared call: on the event loop when it is ``async def``, else on the pool."""
        run = self._run
        if frame.is_async:
            self.count_queued(1)
            future = run.require_loop().submit(frame, args, kwargs, after)
        else:
            future = concurrent.futures.Future()
            context = contextvars.copy_context()
            self.count_queued(1)
            run.pool.submit(lambda: context.run(self._work, future, frame, args, kwargs, after))
        handle: CheckpointFuture[Any] = CheckpointFuture(frame, future)
        with self._lock:
            self._open[id(future)] = future
        future.add_done_callback(lambda done: self._ended(handle, done))
        return handle

    def take_open(self) -> list[concurrent.futures.Future[Any]] | None:
        """The calls that have not ended, or None."""
        with self._lock:
            return list(self._open.values()) or None

    def join(self) -> None:
        """Wait for every submitted call, also those submitted meanwhile. Raises when the execution stops."""
        while (futures := self.take_open()) is not None:
            for future in futures:
                self._run.wait_for(future)

    async def join_async(self) -> None:
        """The async twin of :meth:`join`."""
        while (futures := self.take_open()) is not None:
            await asyncio.gather(*(asyncio.wrap_future(future) for future in futures), return_exceptions=True)

    def abandon(self) -> None:
        """Start nothing that is still queued, and wait for the bodies that run: what they cost shall be recorded."""
        self._abandoned = True
        if isinstance(self._run.stopping, ExecutionLost):
            return
        concurrent.futures.wait(self.take_open() or ())

    @property
    def abandoned(self) -> bool:
        """Whether calls that have not started must not start any more."""
        return self._abandoned

    def uncollected_failure(self) -> BaseException | None:
        """The first failure of a submitted call that the flow's code never looked at."""
        with self._lock:
            for handle in self._failed:
                if not handle.collected:
                    return handle.exception_now()
        return None

    def _work(
        self,
        future: concurrent.futures.Future[Any],
        frame: Frame,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        after: After,
    ) -> None:
        try:
            for earlier in after:
                earlier.wait()
            given, named = args, kwargs
            args = tuple(resolve(value) for value in given)
            kwargs = {name: resolve(value) for name, value in named.items()}
            frame.parents = sources(given, named)  # now that they have ended: until then a key may change
            self.count_queued(-1)
            self.require_start()
            value = calls.perform(frame, args, kwargs)
        except BaseException as error:  # met at result()
            future.set_exception(error)
        else:
            future.set_result(value)

    def require_start(self) -> None:
        """Raise when the run has ended before this call could start."""
        self._run.check()
        if self._abandoned:
            raise ExecutionInterrupted("the flow ended before this call started")

    def count_queued(self, change: int) -> None:
        """Keep count of calls that are submitted but whose bodies have not begun: they hold off suspension."""
        with self._lock:
            self.queued += change

    def _ended(self, handle: CheckpointFuture[Any], future: concurrent.futures.Future[Any]) -> None:
        with self._lock:
            self._open.pop(id(future), None)
            if future.exception() is not None:
                self._failed.append(handle)

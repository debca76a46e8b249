"""The event loop of one execution: branches with keys of their own, grouped commits, recorded order on resume."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextvars
import threading
from collections import deque
from collections.abc import Awaitable, Coroutine, Sequence, Sized
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    KitaruJournalError,
    KitaruLeaseError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.journal.records import Entry
from kitaru.runtime import apart, calls, futures
from kitaru.runtime.context import Frame, current_frame
from kitaru.runtime.futures import CheckpointFuture

if TYPE_CHECKING:
    from kitaru.runtime.run import Run

# Recorded outcomes wait this many loop turns for an earlier one that has not been asked for yet: enough for a chain
# of awaits to reach its next call, while a call that the code no longer makes costs only that many turns.
_QUIET_TURNS = 32
_CANCEL_GRACE_SECONDS = 1.0


class FlowLoop:
    """Wraps the asyncio loop that runs an execution's async code: the flow's own, or a ``def`` flow's helper thread."""

    def __init__(self, run: Run, loop: asyncio.AbstractEventLoop) -> None:
        self.run = run
        self.loop = loop
        self.thread_id = threading.get_ident()
        self.gate = Gate(run.max_concurrency)
        self.turns = Turns(loop, run.history.order if run.history is not None else [])
        self._group: list[tuple[Entry, asyncio.Future[None], asyncio.Task[Any] | None]] = []
        self._tasks: set[asyncio.Task[Any]] = set()
        loop.set_task_factory(self._make_task)

    @classmethod
    def in_thread(cls, run: Run) -> FlowLoop:
        """A loop on a daemon thread, for a ``def`` flow that uses async checkpoints."""
        loop = asyncio.new_event_loop()
        made = cls(run, loop)

        def serve() -> None:
            loop.run_forever()
            made._wind_down()

        thread = threading.Thread(target=serve, name=f"kitaru-loop-{run.flow_name}", daemon=True)
        thread.start()
        assert thread.ident is not None
        made.thread_id = thread.ident

        def stop() -> None:
            loop.call_soon_threadsafe(loop.stop)

        run.on_done(stop)
        return made

    def run_main(self, body: Coroutine[Any, Any, Any]) -> Any:
        """Run an ``async def`` flow body, then the calls it left behind, on the calling thread."""

        async def main() -> Any:
            value = await body
            if self.run.submitted is not None:
                await self.run.submitted.join_async()
            return value

        # Not through the factory: the flow's own task is no branch.
        task = asyncio.Task(main(), loop=self.loop)
        self._tasks.add(task)
        try:
            return self.loop.run_until_complete(task)
        finally:
            self._tasks.discard(task)
            self._wind_down()

    def submit(
        self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any], after: Sequence[CheckpointFuture[Any]]
    ) -> concurrent.futures.Future[Any]:
        """Start an async call concurrently, from any thread."""
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        submissions = self.run.submissions()

        async def drive() -> None:
            try:
                for earlier in after:
                    await earlier.ended()
                args_now, kwargs_now = await futures.resolve_all(args, kwargs)
                frame.parents = futures.sources(args, kwargs)
                await self.gate.acquire()
                frame.gated = True
                submissions.count_queued(-1)
                try:
                    submissions.require_start()
                    future.set_result(await calls.perform_async(frame, args_now, kwargs_now))
                finally:
                    self.gate.release()
            except BaseException as error:  # the caller meets it at result(), like any future's
                future.set_exception(error)

        context = contextvars.copy_context()

        def start() -> None:
            task = asyncio.Task(drive(), loop=self.loop, context=context)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        if threading.get_ident() == self.thread_id:
            start()
        else:
            self.loop.call_soon_threadsafe(start)
        return future

    def cancel_all(self) -> None:
        """Cancel every task of the execution. Thread-safe; a loop that is already closed has nothing to cancel."""

        def cancel() -> None:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()

        try:
            self.loop.call_soon_threadsafe(cancel)
        except RuntimeError:
            return

    async def run_body(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run one attempt's body; KitaruTimeoutError when the checkpoint's deadline passes."""
        spec = frame.spec
        assert spec is not None
        if spec.plain:
            return await spec.function(*args, **kwargs)
        if spec.isolated:
            context = contextvars.copy_context()
            return await self.loop.run_in_executor(None, lambda: context.run(apart.run_apart, frame, args, kwargs))
        if spec.effect:
            from kitaru.runtime import effects

            effects.begin(frame)
            if spec.retry.timeout is None:
                return await spec.function(*args, **kwargs)
        body: Awaitable[Any] = spec.function(*args, **kwargs)
        # A task of its own, so that a body which swallows its cancellation cannot hold the deadline up.
        task = asyncio.Task(_awaited(body), loop=self.loop, context=contextvars.copy_context())
        try:
            await asyncio.wait([task], timeout=spec.retry.timeout)
        finally:
            if not task.done():
                frame.fenced = self.run.stopping is None
                task.cancel()
        if not task.done():
            raise apart.timed_out(frame)
        return task.result()

    async def completed(self, frame: Frame, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The async twin of ``calls.completed``: completions of one loop turn share a commit."""
        run = self.run
        run.inflight.pop(frame.key, None)
        try:
            entry = calls.completed_entry(frame, value, args, kwargs)
        except (KitaruSerializationError, KitaruUsageError) as error:
            raise calls.reject(frame, error) from error.__cause__
        await self.commit(entry)
        assert entry.output is not None
        run.lineage.note(frame, value, entry.output)
        run.kernel.emit_call(run, entry)
        return value

    async def commit(self, entry: Entry) -> None:
        """Commit ``entry`` before returning, together with others that complete in the same turn of the loop."""
        if not self.run.inflight and not self._group and self.turns.at_once():
            self.run.commit(entry)
            self.turns.taken(entry.seq)
            return
        await self._enqueue(entry)

    def _enqueue(self, entry: Entry) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self.loop.create_future()
        self._group.append((entry, future, asyncio.current_task(self.loop)))
        if len(self._group) == 1:
            self.loop.call_soon(self._commit_group)
        return future

    def cancelled(self, frame: Frame, error: BaseException) -> None:
        """Record that the flow's own code cancelled one call; after an outcome of it that is just being committed."""
        self.run.inflight.pop(frame.key, None)
        if self.run.stopping is not None:
            return
        entry = calls.cancelled(frame, error)
        if self._group:
            self._enqueue(entry)
        else:
            self.run.commit(entry)

    async def pause(self, seconds: float) -> None:
        """Wait between two attempts."""
        if seconds > 0:
            await asyncio.sleep(self.run.clock.pause(seconds))
        self.run.check()

    async def cancelled_again(self, outcome: Entry) -> None:
        """Stand in for a call that the flow's code cancelled: stay pending until it does so again.

        The same code (a timeout, a lost race) cancels it; code that no longer does gets the recorded end after the
        recorded time.
        """
        await asyncio.sleep((outcome.ended_at - outcome.started_at) / 1e6 + _CANCEL_GRACE_SECONDS)
        raise asyncio.CancelledError(f"`{outcome.name}` was cancelled by the flow before")

    def _commit_group(self) -> None:
        group, self._group = self._group, []
        run = self.run
        # Taken here, so that journal trouble cannot lose what was buffered.
        entries = [*run.take_buffered(0), *(entry for entry, _, _ in group)]
        error: BaseException | None = None
        try:
            run.journal.append(run.lease, entries)
        except KitaruLeaseError as lost:
            error = run.lose(lost)
        except KitaruJournalError:
            error = self._commit_singly(entries)
        for entry, future, task in group:
            if error is None:
                self.turns.queue(entry.seq, future, task)
            elif not future.done():
                future.set_exception(error)

    def _commit_singly(self, entries: list[Entry]) -> BaseException | None:
        from kitaru.runtime.control import ExecutionStopped

        try:
            for entry in entries:
                self.run.commit(entry)
        except ExecutionStopped as stopped:
            return stopped
        return None

    def _make_task(self, loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        frame = current_frame.get()
        if frame is not None and frame.run is self.run:
            context = options.get("context") or contextvars.copy_context()
            options["context"] = context
            # A context that somebody is running in already keeps its frame: its calls count with their creator's.
            if options["context"] is not None:
                try:
                    context.run(current_frame.set, frame.fork())
                except RuntimeError:
                    pass
        return asyncio.Task(coro, loop=loop, **options)

    def _wind_down(self) -> None:
        """Cancel what is left over and give the loop's descriptors back, as ``asyncio.run`` does at its end."""
        loop = self.loop
        try:
            leftovers = asyncio.all_tasks(loop)
            for task in leftovers:
                task.cancel()
            if leftovers:
                loop.run_until_complete(asyncio.gather(*leftovers, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


class Gate:
    """Bounds how many submitted async bodies run at once. Used on the loop's thread only."""

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def acquire(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        try:
            await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.release()
            raise

    def release(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(None)
                return
        self._free += 1


class Turns:
    """Hands outcomes to the code that waits for them one at a time, in commit order: recorded ones and new ones alike.

    The next one only when the loop has nothing left to do, so that the code which waits for an outcome, however many
    tasks away, has seen it before anything later happens. That is how a race ends again as it did, although calls that
    took seconds are answered at once. A loop that stays busy is given a few turns instead.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, order: list[int]) -> None:
        self._loop = loop
        # What the loop will run next: asyncio's own loops have it, others are given turns.
        self._ready: Sized | None = getattr(loop, "_ready", None)
        self._order = order  # recorded outcomes nobody has asked for, descending: the next one is last
        self._asked: dict[int, tuple[asyncio.Future[None], asyncio.Task[Any] | None]] = {}
        self._last: asyncio.Task[Any] | None = None
        self._turns_left = 0
        self._watching = False

    def at_once(self) -> bool:
        """Whether the running task may have its next outcome now: nothing else is on its way to the flow's code.

        A task that goes straight on from one outcome to the next has seen it, and waits for nobody.
        """
        return not self._watching or (not self._asked and asyncio.current_task(self._loop) is self._last)

    async def take(self, seq: int) -> None:
        """Wait for the turn of the recorded outcome committed as ``seq``."""
        if self.at_once() and (not self._order or self._order[-1] == seq):
            self.taken(seq)
            return
        future: asyncio.Future[None] = self._loop.create_future()
        self.queue(seq, future, asyncio.current_task(self._loop))
        await future

    def queue(self, seq: int, future: asyncio.Future[None], task: asyncio.Task[Any] | None) -> None:
        """Resolve ``future``, on which ``task`` waits, when it is the turn of the outcome committed as ``seq``."""
        self._asked[seq] = (future, task)
        self._turns_left = _QUIET_TURNS
        self._watch_from_now()

    def taken(self, seq: int) -> None:
        """Note that the running task has the outcome committed as ``seq``, without waiting."""
        self._delivered(seq, asyncio.current_task(self._loop))

    def _delivered(self, seq: int, task: asyncio.Task[Any] | None) -> None:
        # Earlier ones that nobody asked for in time are given up: the code no longer makes those calls.
        while self._order and self._order[-1] <= seq:
            self._order.pop()
        self._last = task
        self._turns_left = _QUIET_TURNS
        self._watch_from_now()

    def _watch_from_now(self) -> None:
        if not self._watching:
            self._watching = True
            self._loop.call_soon(self._watch)

    def _watch(self) -> None:
        first = min(self._asked, default=None)
        expected = first is None or not self._order or self._order[-1] >= first
        # Before an earlier one is given up, the turns are waited out: a thread may be about to ask for it.
        if expected and self._ready is not None and len(self._ready) == 0:
            self._turns_left = 0
        else:
            self._turns_left -= 1
        if self._turns_left <= 0:
            if first is None:
                self._watching = False
                return
            future, task = self._asked.pop(first)
            if not future.done():  # cancelled meanwhile: its turn has passed all the same
                future.set_result(None)
            self._delivered(first, task)
        self._loop.call_soon(self._watch)


async def _awaited(body: Awaitable[Any]) -> Any:
    return await body

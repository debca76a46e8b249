"""One execution being driven by this process: its lease, its journal position, and how it stops."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kitaru.errors import KitaruBackendError, KitaruJournalError, KitaruLeaseError, KitaruUsageError
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Lease, Payload, WaitRecord
from kitaru.runtime.concurrency import Pool
from kitaru.runtime.context import Frame, current_frame
from kitaru.runtime.control import AttemptFenced, ExecutionInterrupted, ExecutionLost, ExecutionStopped
from kitaru.runtime.lineage import Lineage
from kitaru.runtime.specs import as_started, stack_of

if TYPE_CHECKING:
    import concurrent.futures

    from kitaru.runtime.event_loop import FlowLoop
    from kitaru.runtime.history import History
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.live import Channel
    from kitaru.runtime.specs import FlowSpec
    from kitaru.runtime.submission import Submissions
    from kitaru.runtime.suspension import Hold

T = TypeVar("T")

_RESEND_PAUSE_SECONDS = 0.05
_RESEND_PAUSE_MAX_SECONDS = 1.0


class Run:
    """State shared by the threads and tasks of one execution. Made by the kernel, driven by ``runtime.driver``."""

    isolated = False  # an isolated process has no run, but what tells its body where it is

    def __init__(
        self,
        kernel: Kernel,
        record: ExecutionRecord,
        lease: Lease,
        spec: FlowSpec,
        history: History | None,
        asked_at: float,
    ) -> None:
        self.kernel = kernel
        self.journal = kernel.journal
        self.codec = kernel.codec
        self.clock = kernel.clock
        self.exec_id = record.exec_id
        self.flow_name = record.flow_name
        self.seed = record.seed
        self.record = record
        self.spec = spec = as_started(spec, record.spec)
        self.stack = stack_of(record.spec)
        self.lease = lease
        # From before the journal was asked: a process that was stopped while it got the lease wakes up without it.
        self.lease_deadline = asked_at + kernel.lease_seconds
        self.history = history
        self.lock = threading.Lock()
        self._making = threading.Lock()  # guards what is made on first use; may be held while taking `lock`
        self.frame = Frame(self, None, "", record.flow_name, spec.is_async)
        self.inflight: dict[str, Frame] = {}
        self.lineage = Lineage(kernel.codec)
        self.buffered: list[Entry] = []  # committed before the next body starts
        self.notes: list[Entry] = []  # metadata and artifacts: committed with whatever is committed next
        self.submitted: Submissions | None = None  # its submitted calls, once there are any
        self.holds: list[Hold] = []
        self.only_waits = False  # as the ticker saw it last: nothing is left to run but what waits
        self.children: list[str] = []
        self.stopping: ExecutionStopped | None = None
        self.waiters: set[threading.Event] = set()
        self.loop: FlowLoop | None = None
        self.max_concurrency = spec.max_concurrency or kernel.max_concurrency
        self._pool: Pool | None = None
        # The end: set exactly once, after it is committed (or given up).
        self.done = threading.Event()
        self.value: Any = None
        self.error: BaseException | None = None
        self.status: str = "running"
        self.channel: Channel | None = None  # what its model calls say while they run, once somebody listens
        self._on_done: list[Callable[[], None]] = []

    # -- stopping -----------------------------------------------------------------------------------------------

    def stop(self, reason: ExecutionStopped) -> None:
        """Make every branch unwind at its next Kitaru call, blocked ones and async work at once. First reason wins."""
        with self.lock:
            if self.stopping is None:
                self.stopping = reason
        for event in list(self.waiters):
            event.set()
        if self.loop is not None:
            self.loop.cancel_all()

    def check(self, frame: Frame | None = None) -> None:
        """Raise when the execution is stopping or ``frame``'s attempt was given up."""
        if self.stopping is not None:
            raise self.stopping.with_traceback(None)
        if frame is not None and frame.root.fenced:
            raise AttemptFenced(f"this attempt of `{frame.name}` timed out; what it still does is not recorded")

    def lose(self, error: BaseException) -> ExecutionStopped:
        """Note that another owner has the execution; gives the exception to raise."""
        reason = ExecutionLost(str(error))
        self.stop(reason)
        return self.stopping or reason

    # -- waiting ------------------------------------------------------------------------------------------------

    @property
    def pool(self) -> Pool:
        if self._pool is None:
            with self._making:
                if self._pool is None:
                    self._pool = Pool(self.max_concurrency)
        return self._pool

    @contextmanager
    def blocked(self) -> Iterator[None]:
        """While inside, the calling body counts as blocked: its pool slot is free, it does not hold off suspension."""
        frame = current_frame.get()
        root = frame.root if frame is not None else None
        if root is not None:
            root.waiting += 1
        try:
            if self._pool is None:
                yield
            else:
                with self._pool.blocked():
                    yield
        finally:
            if root is not None:
                root.waiting -= 1

    def wait_event(self, event: threading.Event, timeout: float | None = None) -> bool:
        """Wait for ``event`` on a body's thread; False when ``timeout`` seconds passed. Raises when stopping."""
        self.waiters.add(event)
        try:
            self.check()
            with self.blocked():
                done = event.wait(timeout)
        finally:
            self.waiters.discard(event)
        self.check()
        return done

    def wait_for(self, future: concurrent.futures.Future[Any], timeout: float | None = None) -> bool:
        """Wait for ``future`` to end; False when ``timeout`` seconds passed. Raises when the execution stops."""
        event = threading.Event()
        future.add_done_callback(lambda _: event.set())
        return self.wait_event(event, timeout)

    def pause(self, seconds: float) -> None:
        """Sleep between attempts, woken at once when the execution stops."""
        if seconds > 0:
            self.wait_event(threading.Event(), self.clock.pause(seconds))

    def on_loop(self) -> bool:
        """Whether the calling thread runs this execution's event loop."""
        return self.loop is not None and self.loop.thread_id == threading.get_ident()

    @asynccontextmanager
    async def gate_released(self) -> AsyncIterator[None]:
        """The async twin of :meth:`blocked`."""
        frame = current_frame.get()
        root = frame.root if frame is not None else None
        gate = self.loop.gate if root is not None and root.gated and self.loop is not None else None
        if root is not None:
            root.waiting += 1
        if gate is not None:
            gate.release()
        try:
            yield
        finally:
            if root is not None:
                root.waiting -= 1
            if gate is not None:
                await gate.acquire()

    def require_loop(self) -> FlowLoop:
        """The event loop of this execution; a ``def`` flow gets one on a thread of its own when it first needs it."""
        if self.loop is None:
            from kitaru.runtime.event_loop import FlowLoop  # asyncio is not paid for by flows without async code

            with self._making:
                if self.loop is None:
                    self.loop = FlowLoop.in_thread(self)
        return self.loop

    def submissions(self) -> Submissions:
        """The submitted calls of this run; made on first use."""
        if self.submitted is None:
            from kitaru.runtime.submission import Submissions  # with concurrent.futures, for those who submit

            with self._making:
                if self.submitted is None:
                    self.submitted = Submissions(self)
        return self.submitted

    # -- the journal --------------------------------------------------------------------------------------------

    def before_body(self, frame: Frame) -> None:
        """Called right before user code runs: nothing unrecorded may precede it, and the lease must be ours."""
        if self.stopping is not None:
            self.check()
        if self.buffered:
            self.flush()
        if self.clock.elapsed() > self.lease_deadline:
            self.renew()
        frame.started_at = self.clock.now()
        self.inflight[frame.key] = frame

    def before_decision(self, frame: Frame) -> None:
        """Called before the policy of a call in doubt is asked."""

    def commit(self, entry: Entry) -> None:
        """Commit ``entry`` and, in the same commit, whatever is buffered (starts of other calls, journaled values).

        Journal trouble is not the caller's failure: the same entries are sent again until the lease ends.
        """
        entries: Sequence[Entry] = (entry,)
        if self.inflight or self.buffered or self.notes:
            entries = [*self.take_buffered(0), entry]
        try:
            self.journal.append(self.lease, entries)
        except KitaruLeaseError as error:
            raise self.lose(error) from error
        except KitaruJournalError as error:
            self.resend(lambda: self.journal.append(self.lease, entries), error)

    def commit_durably(self, entry: Entry) -> None:
        """:meth:`commit` with full durability in every mode."""
        entries = [*self.take_buffered(0), entry]
        try:
            self.journal.append_durably(self.lease, entries)
        except KitaruLeaseError as error:
            raise self.lose(error) from error
        except KitaruJournalError as error:
            self.resend(lambda: self.journal.append_durably(self.lease, entries), error)

    def flush(self, older_than: int = 0, *, patient: bool = True) -> None:
        """Commit what is buffered; of the calls in flight only those that started ``older_than`` µs ago.

        Not ``patient``: journal trouble is raised and the entries stay buffered, instead of being sent until it ends.
        """
        entries = self.take_buffered(older_than)
        if not entries:
            return
        try:
            self.journal.append(self.lease, entries)
        except KitaruLeaseError as error:
            raise self.lose(error) from error
        except KitaruJournalError as error:
            if not patient:
                with self.lock:
                    self.buffered[:0] = entries
                raise
            self.resend(lambda: self.journal.append(self.lease, entries), error)

    def take_buffered(self, older_than: int) -> list[Entry]:
        """Remove and return what waits for a commit: journaled values, starts of calls in flight that have no entry
        yet, and notes (behind the starts, so that they find their attempts)."""
        before = self.clock.now() - older_than
        with self.lock:
            entries, self.buffered = self.buffered, []
            for frame in list(self.inflight.values()):
                if not frame.written and frame.started_at <= before:
                    frame.written = True
                    entries.append(start_entry(frame))
            if self.notes:
                entries += self.notes
                self.notes = []
        return entries

    def buffer(self, entry: Entry) -> None:
        """Keep ``entry`` for the next commit, which happens before the next body starts at the latest."""
        with self.lock:
            self.buffered.append(entry)

    def open_wait(self, wait: WaitRecord) -> WaitRecord:
        """Commit a wait, and what is buffered before it; gives the stored one, which may be from an earlier owner."""
        entries = self.take_buffered(0)
        return self.written(lambda: self.journal.open_wait(self.lease, wait, entries))

    def resolve_wait(self, wait: WaitRecord, status: str, answer: Payload | None) -> WaitRecord:
        """End one of this execution's own waits. Raises KitaruStateError when somebody else has."""
        at = self.clock.now()
        return self.written(
            lambda: self.journal.resolve_wait(self.exec_id, wait.wait_id, status, answer, at, lease=self.lease)
        )

    def written(self, write: Callable[[], T]) -> T:
        """What a write to the journal gives, sent again while its end is unknown; it must be safe to send again.

        Raises what stops the execution.
        """
        answers: list[T] = []
        try:
            return write()
        except KitaruLeaseError as error:
            raise self.lose(error) from error
        except KitaruJournalError as error:
            self.resend(lambda: answers.append(write()), error)
        return answers[0]

    def encode(self, value: Any) -> Payload:
        """:meth:`Kernel.encode`; an artifact store that does not answer is waited for like the journal.

        What a body returned is paid for: a full disk or a store that is away is no failure of the call.
        """
        return self._stored(lambda: self.kernel.encode(value, self.stack))

    def store(self, codec: str, data: bytes) -> Payload:
        """:meth:`Kernel.store`, as patient as :meth:`encode`."""
        return self._stored(lambda: self.kernel.store(codec, data, self.stack))

    def _stored(self, store: Callable[[], Payload]) -> Payload:
        try:
            return store()
        except KitaruBackendError as error:
            made: list[Payload] = []
            self.resend(lambda: made.append(store()), error)
            return made[0]

    def resend(self, send: Callable[[], Any], error: BaseException) -> None:
        """Repeat a write that failed or whose end is unknown until it succeeds or the lease is over."""
        if self.kernel.forked:  # the child of a body that forked: the execution is its parent's
            raise self.lose(error) from error
        pause = _RESEND_PAUSE_SECONDS
        while self.clock.elapsed() + pause < self.lease_deadline:
            time.sleep(pause)
            pause = min(pause * 2, _RESEND_PAUSE_MAX_SECONDS)
            try:
                send()
                return
            except KitaruLeaseError as lost:
                raise self.lose(lost) from lost
            except KitaruBackendError as again:
                error = again
        self.stop(ExecutionInterrupted(f"nothing could be stored until the lease ended: {error}"))
        self.check()

    def renew(self) -> None:
        """Extend the lease now, on the body's thread: too much time has passed without it."""
        asked_at = self.clock.elapsed()
        try:
            self.renewed(self.journal.renew([self.lease], self.kernel.lease_seconds), asked_at)
        except KitaruJournalError as error:
            self.stop(ExecutionInterrupted(f"the lease ran out and could not be renewed: {error}"))
        self.check()

    def forgive_losses(self) -> None:
        """Note that owners lost so far do not count against this execution; see ``Journal.forgive_losses``."""
        try:
            self.journal.forgive_losses(self.lease)
        except KitaruLeaseError as error:
            self.lose(error)
        self.record.owners_lost = 0

    def renewed(self, lost: Sequence[Lease], asked_at: float) -> None:
        """Take note of a renewal that covered this run's lease. ``asked_at``: the clock's ``elapsed`` before it."""
        if any(lease is self.lease for lease in lost):
            self.lose(KitaruLeaseError(f"execution {self.exec_id} was taken over by another process"))
        else:
            self.lease_deadline = asked_at + self.kernel.lease_seconds

    # -- names --------------------------------------------------------------------------------------------------

    def label(self, frame: Frame, name: str, occurrence: int, key: str) -> str | None:
        """The invocation name of a call, where its key alone would not give it; None where it does.

        A body's calls of one name are numbered in the order they are made, over all its asyncio branches. Only once
        there are branches does that differ from the occurrence in the key.
        """
        root = frame.root
        if root.labels is None:
            if frame is root:
                return None
            root.labels = dict(root.counters or {})
        taken = self.history.labels.get(root.key, {}) if self.history is not None else {}
        while True:
            number = root.labels[name] = root.labels.get(name, 0) + 1
            label = name if number == 1 else f"{name}#{number}"
            if taken.get(label, key) == key:  # free, or this very call's from before
                return None if frame is root and number == occurrence else label

    def claim_id(self, frame: Frame, explicit: str) -> None:
        """Take an explicit ``id=`` for a call of this body. Raises KitaruUsageError when it is taken."""
        root = frame.root
        if root.counters is None:
            root.counters = {}
        if root.counters.setdefault("@" + explicit, 0):
            raise KitaruUsageError(
                f"id={explicit!r} is already used by another call of `{root.name}`: an explicit id names one call of "
                "an execution. Give each call its own id, or leave it out."
            )
        root.counters["@" + explicit] = 1

    # -- the end ------------------------------------------------------------------------------------------------

    def ended(self, status: str, value: Any = None, error: BaseException | None = None) -> None:
        """Publish the end to everyone who waits in this process."""
        with self.lock:
            self.status, self.value, self.error = status, value, error
            self.done.set()
            callbacks, self._on_done = self._on_done, []
        for callback in callbacks:
            callback()

    def on_done(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` once the run has ended (now, if it has)."""
        with self.lock:
            if not self.done.is_set():
                self._on_done.append(callback)
                return
        callback()

    def close_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()


def start_entry(frame: Frame) -> Entry:
    """The entry that says a call's attempt has started."""
    inputs = frame.inputs
    return Entry(
        EntryKind.STARTED,
        frame.key,
        frame.name,
        frame.attempt,
        frame.started_at,
        0,
        inputs.digest if inputs is not None else None,
        inputs.data if inputs is not None else None,
        None,
        call_detail(frame),
    )


def call_detail(frame: Frame) -> dict[str, Any] | None:
    """What only some calls have: a type, a label that the key cannot give."""
    kind = frame.spec.type if frame.spec is not None else None
    if kind is None and frame.label is None and not frame.parents:
        return None
    detail: dict[str, Any] = {}
    if kind is not None:
        detail["type"] = kind
    if frame.label is not None:
        detail["label"] = frame.label
    if frame.parents:
        detail["parents"] = list(frame.parents)
    return detail

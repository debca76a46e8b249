"""Dry runs: a flow's code as it is now against an execution's records, without running a checkpoint or writing a word.

The flow body runs from the top and recorded calls answer, as on a resume. Where the body comes to something that has
no record, or wants to write, the dry run ends. No lease is taken: the owner of a running execution notices nothing.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn, cast

from kitaru.errors import KitaruError, KitaruStateError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Lease, Payload, WaitRecord
from kitaru.runtime import driver, history, inputs
from kitaru.runtime.clock import Clock
from kitaru.runtime.context import Frame, current_frame, invocation_id
from kitaru.runtime.control import DryRunEnded, ExecutionDiverged, ExecutionStopped
from kitaru.runtime.kernel import Kernel
from kitaru.runtime.run import Run

if TYPE_CHECKING:
    from kitaru.runtime.inputs import Difference
    from kitaru.runtime.specs import FlowSpec

_READS = frozenset(("url", "durability", "get", "find", "entries", "list", "info", "waits", "heard", "polling_seconds"))
Verdict = Literal["continues", "completes", "diverges", "fails", "unloadable"]

_CENTURY_MICROSECONDS = 100 * 365 * 86_400 * 1_000_000


@dataclass(slots=True, frozen=True)
class Finding:
    """What a dry run came to.

    ``verdict``: ``continues`` (``place`` has no record: there it would go on), ``completes`` (the body ended on records
    alone), ``diverges`` (call ``key`` contradicts its record in ``differences``), ``fails`` (the body raises first) or
    ``unloadable`` (the code or the inputs cannot be loaded). ``message`` says it in words.
    """

    verdict: Verdict
    message: str
    place: str | None = None
    key: str | None = None
    differences: tuple[Difference, ...] = ()


def dry_run(kernel: Kernel, record: ExecutionRecord) -> Finding:
    """Run the flow of ``record`` against its records, on a thread of its own, and say what would become of it.

    What the flow's own code does between checkpoints happens for real. Raises only what the journal's reads raise.
    """
    try:
        spec = kernel.load_spec(record)
        args, kwargs = inputs.decode_inputs(record.inputs, spec.parameters, kernel.codec)
    except KitaruError as error:
        return Finding("unloadable", str(error))
    entries = list(kernel.journal.entries(record.exec_id))
    if record.status == "failed":  # looked at as `retry` would continue it
        reopened = history.with_ancestors((record.failure or {}).get("calls", ()))
        entries += [Entry(EntryKind.REOPENED, key) for key in reopened]
    lease = Lease(record.exec_id, 0, 0, 0, 1 + max((entry.seq for entry in entries), default=0))
    dry = DryKernel(kernel)
    known = history.load(entries) if entries else None
    run = dry.make_run(record, lease, spec, known, dry.clock.elapsed())
    found: list[Finding] = []
    context = contextvars.Context()
    thread = threading.Thread(
        target=lambda: found.append(context.run(_drive, run, args, kwargs)), name=f"kitaru-dry-{record.flow_name}"
    )
    thread.start()
    thread.join()
    return found[0]


class DryKernel(Kernel):
    """A kernel that reads a journal and starts nothing."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(
            cast(Journal, ReadOnlyJournal(kernel.journal)),
            kernel.codec,
            kernel.values,
            clock=_TimersDue(),
            max_concurrency=kernel.max_concurrency,
            inline_bytes_max=kernel.inline_bytes_max,
        )

    def make_run(
        self, record: ExecutionRecord, lease: Lease, spec: FlowSpec, known: history.History | None, asked_at: float
    ) -> Run:
        return self.with_original(DryRun(self, record, lease, spec, known, asked_at))

    def encode(self, value: Any, stack: str | None = None) -> Payload:  # noqa: ARG002  an encoded value is about to be written
        raise DryRunEnded("a new value")

    def resume(self, exec_id: str, *args: Any, **kwargs: Any) -> Run:  # noqa: ARG002
        raise KitaruStateError(f"a dry run does not continue execution {exec_id}.")

    retry = resume


class DryRun(Run):
    """A run whose calls are answered by records only."""

    def before_body(self, frame: Frame) -> NoReturn:
        self.end(invocation_id(frame))

    def commit(self, entry: Entry) -> NoReturn:
        self.end(entry.name)

    def commit_durably(self, entry: Entry) -> NoReturn:
        self.end(entry.name)

    def before_decision(self, frame: Frame) -> NoReturn:
        self.end(f"the decision about {invocation_id(frame)}, which is in doubt")

    def open_wait(self, wait: WaitRecord) -> WaitRecord:
        for known in self.journal.waits(self.exec_id):
            if known.key == wait.key and known.status != "open":
                return known
        return self.end(f"wait {wait.name}")

    def flush(self, older_than: int = 0, *, patient: bool = True) -> None:  # noqa: ARG002
        self.buffered.clear()

    def end(self, place: str) -> NoReturn:
        """End the dry run at ``place``. Calls that were made together with this one are still compared."""
        ended = DryRunEnded(place)
        if self.on_loop():
            # The tasks that are ready now are the ones beside this one; then nothing may go on with what it raises.
            assert self.loop is not None
            self.loop.loop.call_soon(self.stop, ended)
        elif self.submitted is None:
            self.stop(ended)
        raise ended


class ReadOnlyJournal:
    """A journal's reads. Anything else that is asked of it ends the dry run."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def find_cached(self, cache_key: bytes) -> Payload | None:  # noqa: ARG002
        """Nothing: a call that another execution would answer has no record of its own either."""
        return None

    def append(self, lease: Lease, entries: Sequence[Entry]) -> None:
        """Dropped: what the flow is about to be told (an answer, say) need not be kept."""
        for entry in entries:
            entry.seq = lease.next_seq
            lease.next_seq += 1

    def __getattr__(self, name: str) -> Any:
        if name in _READS:
            return getattr(self._journal, name)

        def ended(*args: Any, **_: Any) -> NoReturn:
            named = [text for one in args if (text := getattr(one, "name", "")) and isinstance(text, str)]
            raise DryRunEnded(named[0] if named else "an execution that has not ended")

        return ended


class _TimersDue(Clock):
    """A century ahead: no recorded timer is waited for."""

    def now(self) -> int:
        return super().now() + _CENTURY_MICROSECONDS


def _drive(run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Finding:
    current_frame.set(run.frame)
    error: BaseException | None = None
    try:
        if run.spec.is_async:
            driver.run_async(run, args, kwargs)
        else:
            run.spec.function(*args, **kwargs)
    except BaseException as raised:
        error = raised
    if run.submitted is not None:
        concurrent.futures.wait(run.submitted.take_open() or ())
        error = error or run.submitted.uncollected_failure()
    run.close_pool()
    run.ended("interrupted")
    return _finding(run, error)


def _finding(run: Run, error: BaseException | None) -> Finding:
    reason = run.stopping or (error if isinstance(error, ExecutionStopped) else None)
    if isinstance(reason, ExecutionDiverged):
        return Finding("diverges", str(reason), key=reason.key, differences=reason.differences)
    if isinstance(reason, DryRunEnded):
        return Finding("continues", f"would continue here: {reason.place}", place=reason.place)
    if error is not None:
        return Finding("fails", f"its code raises {type(error).__name__}: {error}")
    return Finding("completes", "would complete: everything it does is recorded")

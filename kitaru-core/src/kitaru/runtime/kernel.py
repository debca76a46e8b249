"""The kernel: creates, claims and drives executions in this process, with collaborators that are handed in.

It does no I/O of its own and knows no configuration, no plugin and no command line: the same kernel runs in a
terminal, a subprocess, a pod or a job.
"""

from __future__ import annotations

import gc
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    KitaruCorruptionError,
    KitaruLeaseError,
    KitaruRuntimeError,
    KitaruSerializationError,
    KitaruStateError,
)
from kitaru.journal.codec import Codec, parse_json
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Claimed, Entry, EntryKind, ExecutionRecord, Lease, Owner, Payload, WaitRecord
from kitaru.runtime import driver, entrypoint, history, inputs, interrupts, lease, waiting
from kitaru.runtime.capture import Capture
from kitaru.runtime.clock import Clock
from kitaru.runtime.control import ExecutionCancelled, ExecutionInterrupted
from kitaru.runtime.drivers import Drivers
from kitaru.runtime.run import Run
from kitaru.runtime.specs import FlowSpec, stack_of
from kitaru.runtime.suspension import HOLD_SECONDS
from kitaru.runtime.ticker import Ticker

if TYPE_CHECKING:
    from kitaru.runtime.collaborators import EventSink, Places, ValueStore
    from kitaru.runtime.replay import ReplayPlan

RESUMABLE = ("pending", "interrupted", "cancelled", "waiting")
#: Of those, what goes on by itself: who cancelled an execution has to be asked.
RECOVERABLE = ("pending", "interrupted", "waiting")
#: Recovery gives an execution up after it took this many owners down with it (design 13.14).
OWNERS_LOST_MAX = 10
_LETTING_GO_SECONDS = 5.0
#: One value (a result, an artifact, an answer), encoded. Every value is held in memory whole, several times over, by
#: whoever stores or reads it.
VALUE_BYTES_MAX = 1024**3
#: The inputs of a flow, encoded, all together. They are kept in the journal itself: PostgreSQL takes no row that is
#: 1 GB as text, which is twice as long, and SQLite none of 1 GB.
INPUTS_BYTES_MAX = 256 * 1024**2


@dataclass(slots=True)
class Launch:
    """Answer of :meth:`Kernel.create`. ``existed``: the idempotency key was taken and ``record`` is the earlier one."""

    record: ExecutionRecord
    run: Run | None
    existed: bool = False


class Kernel:
    """Drives executions of one journal in this process. Thread-safe; one per journal and process."""

    def __init__(
        self,
        journal: Journal,
        codec: Codec,
        values: ValueStore,
        *,
        clock: Clock | None = None,
        owner: Owner | None = None,
        lease_seconds: float = 30.0,
        hold_seconds: float = HOLD_SECONDS,
        max_concurrency: int = 16,
        inline_bytes_max: int = 16 * 1024,
        value_bytes_max: int = VALUE_BYTES_MAX,
        inputs_bytes_max: int = INPUTS_BYTES_MAX,
        capture: Capture | None = None,
        events: EventSink | None = None,
        places: Places | None = None,
    ) -> None:
        self.journal = journal
        self.codec = codec
        self.clock = clock or Clock()
        self.lease_seconds = lease_seconds
        self.hold_seconds = hold_seconds
        self.max_concurrency = max_concurrency
        self.inline_bytes_max = inline_bytes_max
        self.value_bytes_max = value_bytes_max
        self.inputs_bytes_max = inputs_bytes_max
        self.capture = capture
        self.events = events
        self.runs: dict[str, Run] = {}
        self.asking: WaitRecord | None = None  # the wait that somebody is asked about on the terminal just now
        self.values = values
        self.places = places
        self._owner = owner
        self._pid = os.getpid()
        self._prepared: dict[str, tuple[Run, tuple[Any, ...], dict[str, Any]]] = {}
        self._lock = threading.Lock()
        self._ticker = Ticker(self)
        self._drivers = Drivers()

    # -- values -------------------------------------------------------------------------------------------------

    def encode(self, value: Any, stack: str | None = None) -> Payload:
        """Encode a value of an execution of ``stack``; a large one is in its artifact store before this returns.

        Raises KitaruSerializationError when it cannot be stored, or takes more than ``value_bytes_max``.
        """
        encoded = self.codec.encode(value)
        return self.store(encoded.codec, encoded.data, stack)

    def store(self, codec: str, data: bytes, stack: str | None = None) -> Payload:
        """The payload of encoded bytes; large ones are in the artifact store of ``stack`` before this returns.

        Raises KitaruSerializationError, with size and limit, when they are more than ``value_bytes_max``.
        """
        size = len(data)
        if size > self.value_bytes_max:
            raise KitaruSerializationError(
                f"it takes {size:,} bytes encoded, and one value may take up to {self.value_bytes_max:,} bytes. Give "
                "it in parts (one checkpoint call each), or write it to a place of your own and give its address."
            )
        digest = hashlib.sha256(data).digest()
        if size <= self.inline_bytes_max:
            return Payload(codec, digest, size, data, None)
        return Payload(codec, digest, size, None, self.values.put(f"sha256/{digest.hex()}", data, stack))

    def decode(self, payload: Payload) -> Any:
        """The value of a payload, its digest checked. Raises KitaruCorruptionError when the bytes changed."""
        data = payload.data
        if data is None or hashlib.sha256(data).digest() != payload.digest:
            data = self.read(payload)  # from the artifact store, or to say what is wrong
        codec = payload.codec
        return parse_json(data) if codec == "json" else self.codec.decode(codec, data)

    def read(self, payload: Payload) -> bytes:
        """The encoded bytes of a payload, its digest checked."""
        data = payload.data if payload.data is not None else self.values.get(payload.ref or "")
        if hashlib.sha256(data).digest() != payload.digest:
            where = f"artifact {payload.ref}" if payload.ref else "the journal row"
            raise KitaruCorruptionError(
                f"{where} does not hold the bytes that were written (digest mismatch, {payload.size} bytes expected). "
                "Nothing was changed. Run `kitaru doctor`."
            )
        return data

    # -- owners -------------------------------------------------------------------------------------------------

    @property
    def owner(self) -> Owner:
        return self._owner or lease.this_owner()

    def alive(self, owner: Owner) -> bool | None:
        """Whether another owner's process lives; None when that cannot be told from here."""
        return lease.alive(owner, self.owner)

    # -- starting -----------------------------------------------------------------------------------------------

    def create(
        self,
        spec: FlowSpec,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        *,
        owned: bool = True,
        stack_name: str | None = None,
        idempotency_key: str | None = None,
        execution_spec: dict[str, Any] | None = None,
        replay: ReplayPlan | None = None,
    ) -> Launch:
        """Commit a new execution. ``owned``: with this process as owner, so that :meth:`start` needs no claim.

        ``replay``: one that the records of an earlier execution answer as far as the plan says.

        Raises:
            KitaruStateError: the idempotency key names an execution with other inputs.
            KitaruSerializationError: an input cannot be stored; the text names it.
        """
        record = self.new_record(spec, args, kwargs)
        record.stack_name = stack_name
        record.idempotency_key = idempotency_key
        record.spec = execution_spec or {}
        if replay is not None:
            record.original_exec_id = replay.original_exec_id
            record.seed = self.journal.get(replay.original_exec_id).seed
            record.spec = {**record.spec, "replay": replay.to_json(partial(self.encode, stack=stack_of(record.spec)))}
        asked_at = self.clock.elapsed()
        created = lease.create(self.journal, record, self.owner if owned else None, self.lease_seconds)
        if created.existed:
            self._require_same_inputs(created.record, record)
            return Launch(created.record, self.runs.get(created.record.exec_id), existed=True)
        if created.lease is None:
            return Launch(created.record, None)
        run = self.make_run(created.record, created.lease, spec, None, asked_at)
        with self._lock:
            self._prepared[run.exec_id] = (run, args, kwargs)
        return Launch(created.record, run)

    def new_record(self, spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExecutionRecord:
        """The record of an execution that is about to be created."""
        entrypoint.refuse_while_loading(spec.name)
        interrupts.refuse_at_exit(spec.name)
        encoded = inputs.encode_inputs(spec.parameters, args, kwargs, self.codec, inline_limit=None)
        if len(encoded.data) > self.inputs_bytes_max:
            raise KitaruSerializationError(
                f"the inputs of flow `{spec.name}` take {len(encoded.data):,} bytes encoded, and they may take up to "
                f"{self.inputs_bytes_max:,} bytes: the journal keeps them whole. Pass the address of a large value, "
                "and load it in a checkpoint."
            )
        now = self.clock.now()
        return ExecutionRecord(
            exec_id=str(uuid.uuid4()),
            flow_name=spec.name,
            created_at=now,
            started_at=now,
            entrypoint=entrypoint.describe(spec.function),
            inputs_digest=encoded.digest,
            inputs=encoded.data,
            seed=os.urandom(16),
        )

    def prepare(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Register a run that this process already owns, for :meth:`start`."""
        with self._lock:
            self._prepared[run.exec_id] = (run, args, kwargs)

    def withdraw(self, run: Run) -> None:
        """Give up an execution that was created here and could not be started: from now on anybody may resume it."""
        with self._lock:
            self._prepared.pop(run.exec_id, None)
        self.journal.release(run.lease)

    def start(self, exec_id: str) -> Run:
        """Drive an execution on a thread of its own: one that was created here, or any that may go on by itself.

        One that was cancelled before a process of another place came to start it stays cancelled. Raises like
        :meth:`resume`.
        """
        with self._lock:
            prepared = self._prepared.pop(exec_id, None)
        if prepared is None:
            return self.resume(exec_id, accept=RECOVERABLE)
        run, args, kwargs = prepared
        return self._drive(run, args, kwargs)

    def resume(self, exec_id: str, spec: FlowSpec | None = None, accept: Sequence[str] = RESUMABLE) -> Run:
        """Claim an execution and continue it from its journal, on a thread of its own.

        Raises:
            KitaruNotFoundError: no such execution.
            KitaruLeaseError: somebody who is alive runs it.
            KitaruStateError: its status forbids it; the text names id and status.
            KitaruRuntimeError: its flow cannot be loaded here; the execution stays as it was.
        """
        return self._take_over(exec_id, spec, accept)

    def recover(
        self, exec_id: str, spec: FlowSpec | None = None, *, owners_lost_max: int = OWNERS_LOST_MAX
    ) -> Run | None:
        """Continue an execution that nobody drives; None when it was parked instead.

        One that lost ``owners_lost_max`` owners without any progress (no call ended, and it did not come to where it
        only waits) is likely to kill this one too (out of memory, a crash in native code): it is ended as ``failed``
        with origin ``runtime``. ``retry`` reopens it. Raises like :meth:`resume`.
        """
        record = self.journal.get(exec_id)
        if record.owners_lost < owners_lost_max:
            return self.resume(exec_id, spec, RECOVERABLE)
        if self.places is not None:
            self.places.require(record)
        asked_at = self.clock.elapsed()
        claimed = self.journal.claim(exec_id, self.owner, self.lease_seconds, RECOVERABLE, self.alive)
        lost = claimed.record.owners_lost
        if lost - (claimed.previous_owner is not None) < owners_lost_max:  # the last one had got further
            return self._continue(claimed, spec, asked_at)
        message = (
            f"parked: {lost} processes that ran it are gone, each before its next call had ended. Look at its last "
            "calls and logs"
        )
        failure: dict[str, Any] = {
            "message": message,
            "exception_type": None,
            "traceback": None,
            "origin": "runtime",
            "calls": [],
        }
        self.journal.finish(
            claimed.lease, "failed", ended_at=self.clock.now(), failure=failure, status_reason=f"lost {lost} owners"
        )
        return None

    def retry(self, exec_id: str, spec: FlowSpec | None = None) -> Run:
        """Reopen the calls that a failed execution failed with, and their ancestors, and continue it.

        Failures that the flow caught stay recorded. Raises like :meth:`resume`.
        """
        return self._take_over(exec_id, spec, ("failed",), reopen=True)

    def _take_over(self, exec_id: str, spec: FlowSpec | None, accept: Sequence[str], *, reopen: bool = False) -> Run:
        record = self.journal.get(exec_id)
        here = self.runs.get(exec_id)
        if here is not None and record.status != "running":  # its thread has let go of it, and is about to end
            here.done.wait(_LETTING_GO_SECONDS)
        if exec_id in self.runs:
            raise KitaruLeaseError(f"execution {exec_id} is already running in this process.")
        if spec is None:
            spec = self.load_spec(record)
        inputs.decode_inputs(record.inputs, spec.parameters, self.codec)  # what cannot be read is not claimed
        if self.places is not None:
            self.places.require(record)
        asked_at = self.clock.elapsed()
        claimed = self.journal.claim(exec_id, self.owner, self.lease_seconds, accept, self.alive)
        return self._continue(claimed, spec, asked_at, _reopening(record) if reopen else ())

    def _continue(
        self, claimed: Claimed, spec: FlowSpec | None, asked_at: float, reopened: Sequence[Entry] = ()
    ) -> Run:
        """Drive an execution that was just claimed; on any trouble it is let go of."""
        exec_id = claimed.record.exec_id
        try:
            if spec is None:
                spec = self.load_spec(claimed.record)
            args, kwargs = inputs.decode_inputs(claimed.record.inputs, spec.parameters, self.codec)
            if reopened:
                self.journal.append(claimed.lease, reopened)
            with without_collections():
                past = self.journal.entries(exec_id)
                known = history.load(past) if past else None
            run = self.make_run(claimed.record, claimed.lease, spec, known, asked_at)
        except BaseException:
            self.journal.release(claimed.lease)
            raise
        return self._drive(run, args, kwargs)

    def reopen(self, exec_id: str) -> None:
        """:meth:`retry` for an execution that another place is to continue, or :meth:`resume` for a cancelled one: it
        reads ``interrupted`` afterwards."""
        record = self.journal.get(exec_id)
        claimed = self.journal.claim(exec_id, self.owner, self.lease_seconds, ("failed", "cancelled"), self.alive)
        self.journal.release(claimed.lease, _reopening(record))

    def continue_existing(self, launch: Launch, spec: FlowSpec) -> Run | None:
        """After :meth:`create` found an execution under its idempotency key: continue it if its owner is gone."""
        if launch.run is not None:
            return launch.run
        record = launch.record
        if record.status not in ("running", "pending"):
            return None
        try:
            return self.resume(record.exec_id, spec, accept=("interrupted", "pending"))
        except KitaruStateError:  # alive elsewhere, or ended meanwhile: its handle follows it through the journal
            return None

    # -- stopping -----------------------------------------------------------------------------------------------

    def cancel(self, exec_id: str, reason: str | None = None) -> ExecutionRecord:
        """Cancel an execution and its children; what runs in this process stops at once or at its next checkpoint."""
        record = self.journal.request_cancel(exec_id, self.alive, reason)
        runs = list(self.runs.values())
        asked = set(self.journal.poll_cancelled([run.lease for run in runs])) if runs else set()
        for run in runs:
            if run.exec_id in asked or run.exec_id == exec_id:
                run.stop(ExecutionCancelled(f"execution {run.exec_id} was cancelled"))
        return record

    def interrupt_all(self) -> list[str]:
        """Let go of every execution of this process before its next checkpoint (Ctrl-C); gives their ids."""
        asking, ids = self.asking, []
        if asking is not None:  # Ctrl-C at the question: no answer, and none is wanted
            self._abort(asking)
        for run in list(self.runs.values()):
            ids.append(run.exec_id)
            run.stop(ExecutionInterrupted("interrupted by the user"))
        return ids

    def _abort(self, wait: WaitRecord) -> None:
        try:
            waiting.resolve(self, wait, "aborted", None)
        except KitaruStateError:  # answered in this very moment
            return
        run = self.runs.get(wait.exec_id)
        if run is not None:
            run.stop(ExecutionCancelled(waiting.aborted_reason(wait)))

    def join(self) -> None:
        """Wait until the threads of all flows have ended, as the end of the interpreter does."""
        self._drivers.join()

    # -- for the run --------------------------------------------------------------------------------------------

    def emit_call(self, run: Run, entry: Entry) -> None:
        """Tell observers of a committed call or attempt."""
        if self.events is not None:
            self.events.checkpoint_finished(run.exec_id, entry)

    def forget(self, run: Run) -> None:
        """The run has ended: stop tending it."""
        self.runs.pop(run.exec_id, None)

    def _drive(self, run: Run, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Run:
        self._require_process()
        self.runs[run.exec_id] = run
        interrupts.watch(self)
        if self.capture is not None:
            self.capture.enter()
        if self.events is not None:
            self.events.execution_started(run.exec_id)
        self._drivers.start(lambda: driver.drive(run, args, kwargs), f"kitaru-flow-{run.flow_name}")
        self._ticker.start()  # beside the flow: it has nothing to tend for the first milliseconds
        return run

    def make_run(
        self, record: ExecutionRecord, lease: Lease, spec: FlowSpec, known: history.History | None, asked_at: float
    ) -> Run:
        """A run that knows its records: its own, and those of its original where it is a replay.

        ``asked_at``: what the clock's ``elapsed`` was before the journal was asked for the lease.
        """
        return self.with_original(Run(self, record, lease, spec, known, asked_at))

    def with_original(self, run: Run) -> Run:
        """``run``, answered by the records of its original too where it is a replay."""
        if run.record.original_exec_id is not None:
            from kitaru.runtime import replay_source

            with without_collections():
                replay_source.attach(self, run)
        return run

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that made the kernel: it must not write, or drive anything."""
        return os.getpid() != self._pid

    def _require_process(self) -> None:
        if self.forked:
            raise KitaruRuntimeError(
                "this process was forked from one that uses Kitaru: its connections cannot be shared. Start flows in "
                "the parent, or start processes with multiprocessing's `spawn` or `forkserver`."
            )

    def load_spec(self, record: ExecutionRecord) -> FlowSpec:
        """The flow of an execution, as the code defines it now. Raises KitaruRuntimeError: it cannot be found."""
        spec: FlowSpec = self.load_flow(record).spec
        return spec

    def load_flow(self, record: ExecutionRecord) -> Any:
        """The decorated function of an execution. Raises like :meth:`load_spec`."""
        found = entrypoint.load(record.entrypoint)
        spec = getattr(found, "spec", None)
        if not isinstance(spec, FlowSpec):
            raise KitaruRuntimeError(
                f"`{record.entrypoint['module']}:{record.entrypoint['qualname']}` is not a flow any more (it is a "
                f"{type(found).__name__}). Put the @flow back to continue execution {record.exec_id}."
            )
        return found

    def _require_same_inputs(self, earlier: ExecutionRecord, now: ExecutionRecord) -> None:
        if earlier.inputs_digest is None or now.inputs_digest is None or earlier.inputs_digest == now.inputs_digest:
            return
        names = ", ".join(f"`{one.argument}`" for one in inputs.compare(earlier.inputs, now.inputs))
        raise KitaruStateError(
            f"idempotency_key {now.idempotency_key!r} of flow `{now.flow_name}` belongs to execution "
            f"{earlier.exec_id}, which was started with another {names or 'input'}. Use a new key for new inputs, or "
            f"`kitaru executions get {earlier.exec_id}` to see the earlier one."
        )


def _reopening(record: ExecutionRecord) -> list[Entry]:
    failed = (record.failure or {}).get("calls", ())
    return [Entry(EntryKind.REOPENED, key) for key in history.with_ancestors(failed)]


@contextmanager
def without_collections() -> Iterator[None]:
    """No garbage collection inside: what a long history is made of lives on, and would be walked again and again.

    Nor right after it: what was made inside counts as old. Reference counting frees it as ever.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            if not gc.get_freeze_count():  # a program that froze objects itself keeps them frozen
                gc.freeze()
                gc.unfreeze()
            gc.enable()

"""``client.executions``: list, look at, continue and stop executions."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, overload

from kitaru.client import answering, checking
from kitaru.client import logs as log_reading
from kitaru.client.arguments import check_id, check_limit, parse_moment
from kitaru.client.checking import TIMEOUT_SECONDS
from kitaru.client.statistics import statistics
from kitaru.client.watching import Progress, watch
from kitaru.errors import KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.journal import plain_values
from kitaru.journal.records import ExecutionQuery, ExecutionRecord, TallyQuery
from kitaru.runtime import outcome
from kitaru.runtime.kernel import without_collections
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from os import PathLike

    from kitaru.journal.records import Payload
    from kitaru.models import CheckReport, Execution, ExecutionDiff, LogEntry, PendingWait, Statistics
    from kitaru.runtime.kernel import Kernel

_SETTINGS = ("stack", "image", "cache", "retries")


#: How much a file that is imported may hold unpacked, unless said otherwise.
IMPORT_BYTES_MAX = 4 * 1024**3


class Executions:
    """The executions of one journal. Ids are matched exactly; an unknown one raises KitaruNotFoundError naming it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    # -- reading ------------------------------------------------------------------------------------------------

    def get(self, exec_id: str) -> Execution:
        """One execution with its calls, attempts, artifacts and children."""
        from kitaru import snapshots

        record, status = outcome.looked_at(self._kernel, self._kernel.journal.get(check_id(exec_id)))
        reason = self._place_reason(record, status)
        with without_collections():
            entries = self._kernel.journal.entries(exec_id)
            waits = answering.open_waits(self._kernel, record)
            return snapshots.execution(record, entries, status, waits=waits, client=self, reason=reason)

    def latest(
        self, *, flow: str | None = None, status: ExecutionStatus | str | None = None, stack: str | None = None
    ) -> Execution:
        """The newest execution that matches, with all details.

        Raises KitaruNotFoundError (a KitaruError and a LookupError) naming the filters when none does.
        """
        found = self.list(flow=flow, status=status, stack=stack, limit=1)
        if not found:
            given = {"flow": flow, "status": str(status) if status is not None else None, "stack": stack}
            filters = " and ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
            raise KitaruNotFoundError(
                f"no execution found{f' with {filters}' if filters else ''}. "
                "`kitaru executions list` shows what there is."
            )
        return self.get(found[0].exec_id)

    def result(self, exec_id: str) -> Any:
        """What the flow returned, its exact type included, so the flow's module must be loaded for types of its own.

        Raises:
            KitaruStateError: it has not finished; the text names its status and the next command.
            KitaruUserCodeError, KitaruDivergenceError, KitaruExecutionError: it failed or was cancelled.
            KitaruSerializationError: the result's type is not loaded in this process.
        """
        record = self._kernel.journal.get(check_id(exec_id))
        return outcome.value_of(self._kernel, exec_id, None, record)

    def result_data(self, exec_id: str) -> tuple[Any, str]:
        """What the flow returned as plain data (JSON types), and the name of its type, for looking at it from outside.

        Loads no class and unpickles nothing, so it works without the flow's module and is safe for imported
        executions; what only its own code can read is described. Raises like :meth:`result`.
        """
        record = self._kernel.journal.get(check_id(exec_id))
        if record.result is None or record.status != "completed":
            outcome.value_of(self._kernel, exec_id, None, record)
            return None, "None"
        return plain_values.as_data(record.result.codec, self._kernel.read(record.result))

    def status(self, exec_id: str) -> ExecutionStatus:
        """The public status alone: the cheapest question to ask."""
        return outcome.shown_status(self._kernel, check_id(exec_id))

    def find(self, flow: str, idempotency_key: str) -> str | None:
        """The id of the execution of ``flow`` that was started under this key, or None."""
        record = self._kernel.journal.find(flow, idempotency_key)
        return record.exec_id if record is not None else None

    @overload
    def logs(
        self,
        exec_id: str,
        *,
        checkpoint: str | None = None,
        source: str = "all",
        limit: int | None = None,
        tail: int | None = None,
        since: datetime | timedelta | str | None = None,
        level: str | None = None,
        call: str | None = None,
        follow: Literal[False] = False,
        interval: float = 0.5,
    ) -> list[LogEntry]: ...
    @overload
    def logs(
        self,
        exec_id: str,
        *,
        checkpoint: str | None = None,
        source: str = "all",
        limit: int | None = None,
        tail: int | None = None,
        since: datetime | timedelta | str | None = None,
        level: str | None = None,
        call: str | None = None,
        follow: Literal[True],
        interval: float = 0.5,
        on_waiting: Callable[[PendingWait], None] | None = None,
    ) -> Iterator[LogEntry]: ...
    def logs(
        self,
        exec_id: str,
        *,
        checkpoint: str | None = None,
        source: str = "all",
        limit: int | None = None,
        tail: int | None = None,
        since: datetime | timedelta | str | None = None,
        level: str | None = None,
        call: str | None = None,
        follow: bool = False,
        interval: float = 0.5,
        on_waiting: Callable[[PendingWait], None] | None = None,
    ) -> list[LogEntry] | Iterator[LogEntry]:
        """Runtime log lines by time: what bodies printed and logged.

        Of an execution that runs in another place and has captured nothing yet: what that place itself printed, with
        the source ``place`` and without time.

        Args:
            checkpoint: only calls of this name (or this invocation id).
            source: ``"step"`` for what checkpoints wrote, ``"runner"`` for the flow body, ``"all"`` for both.
            limit: the *oldest* so many lines of those that match.
            tail: the *newest* so many lines of those that match.
            since: only lines from then on: a datetime (naive: UTC), an ISO text, or how long ago (``"10m"``).
            level: only lines of this level and above; what was printed counts as INFO (stdout) or WARNING (stderr).
            call: only this call, by its call id or invocation id.
            follow: give lines as they come, from the first one (or the last ``tail``) until the execution has ended
                or is interrupted, through all waits; ``interval`` seconds lie between two looks. Errors come at the
                first step.
            on_waiting: with ``follow``, called with each wait (its own, or of the children it waits for) that is open
                when it is looked at, once.

        Raises:
            KitaruUsageError: a blank or unknown argument, or two that exclude each other.
            KitaruLogRetrievalError: the log store does not answer.
        """
        selection = log_reading.Selection.checked(
            checkpoint=checkpoint,
            source=source,
            limit=limit,
            tail=tail,
            since=since,
            level=level,
            call=call,
            now=self._kernel.clock.now(),
        )
        check_id(exec_id)
        if not follow:
            self._kernel.journal.get(exec_id)
            return log_reading.read(self._kernel, exec_id, selection)
        if not interval > 0:
            raise KitaruUsageError(f"interval={interval!r}: must be a number of seconds above 0.")
        return log_reading.follow(self._kernel, exec_id, selection, interval, on_waiting)

    def statistics(
        self,
        *,
        flow: str | None = None,
        status: ExecutionStatus | str | None = None,
        since: datetime | timedelta | str | None = None,
        until: datetime | timedelta | str | None = None,
    ) -> Statistics:
        """How many executions, how long they took and what they cost, added up in the store.

        Cost is what ``kitaru.log()`` recorded: per call and attempt the latest ``cost`` or, without one, the ``cost``
        of each of its ``llm_calls``; the flow body's own is added. Attempts that failed count too.

        Args:
            flow, status: only these, as in :meth:`list`.
            since, until: bounds of their creation (``until`` itself is outside), as in :meth:`logs`.

        Raises KitaruUsageError for an unknown status or time.
        """
        wanted = parse_status(status)
        now = self._kernel.clock.now()
        query = TallyQuery(
            flow_name=flow,
            statuses=(wanted.value,) if wanted is not None else (),
            since=parse_moment(since, "since", now),
            until=parse_moment(until, "until", now),
        )
        return statistics(self._kernel, query)

    def diff(self, first: str, second: str) -> ExecutionDiff:
        """Two executions side by side: inputs, results, and every call with what differs in it, its time and cost.

        Values are compared by the digests of what is stored; nothing is decoded. Raises KitaruNotFoundError.
        """
        from kitaru.client import diffing

        return diffing.diff(self._kernel, self.get(first), self.get(second))

    def export(self, exec_id: str, path: str | PathLike[str]) -> None:
        """Write an ended execution, with its values and logs, to one file that :meth:`import_` reads elsewhere.

        The file is there whole or not at all; an earlier one is replaced. Values are not decoded.

        Raises:
            KitaruStateError: it has not ended. KitaruNotFoundError: there is none.
            KitaruCorruptionError: a stored value is not what was written.
            KitaruUsageError: the file cannot be written.
        """
        from kitaru.client import portable
        from kitaru.stack import assembly

        kernel = self._kernel
        log_reading.settle(kernel)
        lines = assembly.open_log_store(kernel, kernel.journal.get(check_id(exec_id)))
        portable.write(kernel, exec_id, os.fspath(path), lines)

    def import_(self, path: str | PathLike[str], *, max_bytes: int = IMPORT_BYTES_MAX) -> Execution:
        """Store an execution that :meth:`export` wrote, under its id. One that is here already stays as it is.

        It belongs to the default stack here, wherever it ran: its values and logs are stored there.

        The file is not trusted: names, sizes and digests are checked first, and nothing in it is decoded or run. Its
        results never answer cached calls; an idempotency key that is taken here is left out.

        Raises KitaruUsageError that says what is wrong with the file; nothing is changed then. ``max_bytes`` is how
        much it may hold unpacked.
        """
        from kitaru.client import portable
        from kitaru.stack import assembly

        kernel = self._kernel
        store = functools.partial(assembly.open_artifact_store, kernel)
        return self.get(portable.read(kernel, os.fspath(path), store, assembly.open_log_store(kernel), max_bytes))

    def watch(self, exec_id: str, *, interval: float = 0.1) -> Iterator[Progress]:
        """Looks at an execution every ``interval`` seconds until nobody drives it any more; the last look ends it.

        Light: needs no pydantic and reads only entries that are new.
        """
        return watch(self._kernel, check_id(exec_id), interval)

    def payload_data(self, payload: Payload) -> tuple[Any, str]:
        """For snapshots: a stored value as plain data, and the name of its type. No class is loaded."""
        return plain_values.as_data(payload.codec, self._kernel.read(payload))

    def load_payload(self, payload: Any) -> Any:
        """The value of one stored payload, its digest checked. For snapshots; see ``ArtifactRef.load``."""
        return self._kernel.decode(payload)

    def pending_waits(self, exec_id: str) -> list[PendingWait]:
        """The questions of an execution that nobody has answered yet, oldest first; none of one that has ended."""
        from kitaru import snapshots

        record = self._kernel.journal.get(check_id(exec_id))
        return [snapshots.pending_wait(wait) for wait in answering.open_waits(self._kernel, record)]

    def check(self, exec_id: str, *, timeout: float = TIMEOUT_SECONDS) -> CheckReport:
        """Whether the code as it is now can continue an execution, and where, without continuing it.

        The flow body runs against the recorded history, in a process of its own: recorded calls answer, no checkpoint
        runs, nothing is written, and the first call without a record ends it. What the flow's own code does between
        checkpoints happens for real.

        Raises:
            KitaruStateError: it is completed.
            KitaruTimeoutError: the flow's own code took more than ``timeout`` seconds.
            KitaruRuntimeError: the process that checked it broke down.
        """
        return checking.check(self._kernel, check_id(exec_id), timeout)

    # -- steering -----------------------------------------------------------------------------------------------

    def resume(self, exec_id: str) -> Execution:
        """Continue an interrupted, cancelled, pending or answered execution from its journal; returns at once.

        It runs on a thread of this process, and a normal end of the interpreter waits for it.

        Raises:
            KitaruStateError: it is completed or failed, or still waits for an answer; KitaruLeaseError: somebody who is
                alive runs it.
            KitaruRuntimeError: its flow cannot be loaded here; the execution stays as it was.
        """
        self.drive(exec_id)
        return self.get(exec_id)

    def retry(self, exec_id: str) -> Execution:
        """Run the failed calls of a failed execution again, with a new attempt budget; returns at once.

        Raises like :meth:`resume`; any status but failed: KitaruStateError.
        """
        self.drive(exec_id, retry=True)
        return self.get(exec_id)

    def drive(self, exec_id: str, *, retry: bool = False) -> None:
        """:meth:`resume` (or :meth:`retry`) without a snapshot: the shortest way to the first new call."""
        check_id(exec_id)
        from kitaru.stack import assembly

        if not retry:
            self._refuse_unanswered(exec_id)
        assembly.resume(self._kernel, exec_id, retry=retry)

    def replay(
        self, exec_id: str, *, from_: str | None = None, overrides: Mapping[str, Any] | None = None, **flow_inputs: Any
    ) -> Execution:
        """Start a new execution from the records of this one, which stays as it is; returns at once.

        Its flow is found again as it was recorded. Inputs called ``stack``, ``image``, ``cache`` and ``retries`` are
        taken as settings, which flows cannot have as parameters. See ``FlowDefinition.replay`` for arguments, rules and
        errors; also raises KitaruRuntimeError when the flow cannot be loaded here.
        """
        from kitaru.flows import replay_flow
        from kitaru.runtime import original

        record = original.read_record(self._kernel, check_id(exec_id))
        flow = self._kernel.load_flow(record)
        settings = {name: flow_inputs.pop(name) for name in _SETTINGS if name in flow_inputs}
        handle = replay_flow(
            flow, exec_id, from_=from_, overrides=overrides, flow_inputs=flow_inputs, kernel=self._kernel, **settings
        )
        return self.get(handle.exec_id)

    def input(self, exec_id: str, *, wait: str | None = None, value: Any = None, resume: bool = True) -> Execution:
        """Answer a pending wait. The answer is checked in full before it is accepted, and accepted exactly once.

        An owner that is still there gets it within milliseconds. When it has left, the execution is continued through
        its stack (on this machine by a process of its own, which writes to ``detached/ID.log`` in the config
        directory), unless ``resume`` is False.

        Args:
            wait: its name or id; may be left out when only one is pending.
            value: the answer: JSON data, or a model, dataclass or date that becomes such. None for a wait without
                schema.

        Raises:
            KitaruWaitValidationError: the value does not fit; the text has path and rule. The wait stays open.
            KitaruStateError: no wait is pending, several are and ``wait`` says not which, none has this name, it was
                answered before, or its deadline is over.
            KitaruUsageError: ``wait`` is blank.
            KitaruBackendError: the answer is recorded, but the execution could not be continued.
        """
        answering.answer(self._kernel, check_id(exec_id), wait, value, resume=resume)
        return self.get(exec_id)

    def abort_wait(self, exec_id: str, *, wait: str | None = None, resume: bool = True) -> Execution:
        """Give a pending wait up: the execution ends ``cancelled``, with that as its reason; its flow does not go on.

        ``resume`` False leaves what is suspended on this execution (its parent) suspended. Raises like :meth:`input`.
        """
        answering.abort(self._kernel, check_id(exec_id), wait, resume=resume)
        return self.get(exec_id)

    def cancel(self, exec_id: str) -> Execution:
        """Stop an execution and its children for good; ``resume`` can still continue it.

        Without a living owner it is cancelled when this returns; otherwise its owner stops it: running async work at
        once, sync work at its next checkpoint. What runs in another place gets some 3 s for that; then its process is
        ended there.

        Raises KitaruStateError when it has finished, KitaruBackendError when its place could not be reached: the
        cancellation is recorded all the same.
        """
        from kitaru.stack import assembly

        assembly.cancel(self._kernel, check_id(exec_id))
        return self.get(exec_id)

    # -- parts --------------------------------------------------------------------------------------------------

    def _snapshot(self, record: ExecutionRecord) -> Execution:
        from kitaru import snapshots

        record, status = outcome.looked_at(self._kernel, record)
        waits = answering.open_waits(self._kernel, record)
        return snapshots.execution(record, None, status, waits=waits, client=self)

    def _place_reason(self, record: ExecutionRecord, status: ExecutionStatus) -> str | None:
        """Of one that nobody drives and that ran in another place: what that place says became of it."""
        if status not in (ExecutionStatus.INTERRUPTED, ExecutionStatus.PENDING):
            return None
        from kitaru.stack import assembly, places

        return places.reason(assembly.assembled(self._kernel).places, record, status)

    def _refuse_unanswered(self, exec_id: str) -> None:
        record = self._kernel.journal.get(exec_id)
        due = record.wake_at is not None and record.wake_at <= self._kernel.clock.now()
        if record.status == "waiting" and record.open_waits and not due:
            names = ", ".join(f"`{one.name}`" for one in answering.open_waits(self._kernel, record))
            raise KitaruStateError(
                f"execution {exec_id} is waiting for an answer to {names}: resuming it would only wait again. Answer "
                f"with `kitaru executions input {exec_id} --wait NAME --value JSON`."
            )

    def _check_cursor(self, cursor: str) -> None:
        try:
            self._kernel.journal.get(cursor)
        except KitaruNotFoundError as error:
            raise KitaruUsageError(
                f"cursor={cursor!r}: no such execution. Pass the exec_id of the last execution of the previous page."
            ) from error

    # Last in the class: from here on, `list` names this method and not the type.

    def list(
        self,
        *,
        flow: str | None = None,
        status: ExecutionStatus | str | None = None,
        stack: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        since: datetime | timedelta | str | None = None,
        until: datetime | timedelta | str | None = None,
    ) -> list[Execution]:
        """Executions, newest first by creation, without their calls. All filters are evaluated in the store.

        Args:
            flow: exact name of the flow.
            status: a public status word; ``interrupted`` included.
            stack: exact name of the stack.
            limit: at most this many, 1 or more; default: all that match.
            cursor: the ``exec_id`` that ended the previous page: the listing goes on behind it.
            since, until: bounds of their creation (``until`` itself is outside), as in :meth:`logs`.

        Raises:
            KitaruUsageError: ``limit`` below 1, an unknown status, time or cursor.
        """
        check_limit(limit)
        wanted = parse_status(status)
        if cursor is not None:
            self._check_cursor(cursor)
        now = self._kernel.clock.now()
        query = ExecutionQuery(
            flow_name=flow,
            statuses=(wanted.value,) if wanted is not None else (),
            stack_name=stack,
            limit=limit,
            before=cursor,
            since=parse_moment(since, "since", now),
            until=parse_moment(until, "until", now),
        )
        records = self._kernel.journal.list(query, self._kernel.alive)
        return [self._snapshot(record) for record in records]


def parse_status(status: ExecutionStatus | str | None) -> ExecutionStatus | None:
    """A status filter as the enum member; texts are stripped and lower-cased.

    Raises KitaruUsageError listing the allowed words.
    """
    if status is None:
        return None
    try:
        return ExecutionStatus(str(status).strip().lower())
    except ValueError:
        allowed = ", ".join(one.value for one in ExecutionStatus)
        raise KitaruUsageError(f"status={str(status)!r} is not a status: allowed are {allowed}.") from None

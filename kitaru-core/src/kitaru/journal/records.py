"""What the journal stores. Slotted dataclasses: these are made once per checkpoint call, on the hot path.

Times are integers: microseconds since the Unix epoch, UTC. Ids are strings. Bytes are opaque to the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any


class EntryKind(IntEnum):
    """What an entry says. Values are stored: never renumber, only add."""

    STARTED = 1  # an attempt's body is about to run, or runs (buffered: see ``Journal.append``)
    COMPLETED = 2  # a call returned; ``output`` holds its value
    FAILED = 3  # a call failed for good; ``detail["failure"]`` says how
    ATTEMPT_FAILED = 4  # one attempt failed and another one follows
    CANCELLED = 5  # the flow's own code cancelled this one call (asyncio.timeout, a lost race)
    VALUE = 6  # a journaled value that is not a call: kitaru.now(), the result of a child's handle
    TIMER = 7  # kitaru.sleep() began; ``ended_at`` is when it is due
    CHILD = 8  # a child flow was started; ``detail["exec_id"]`` names it
    METADATA = 9  # kitaru.log(); ``key`` is the call's key, or "" for the execution
    REOPENED = 10  # a failed call is open again (retry of an execution)
    ARTIFACT = 11  # kitaru.save(): ``name`` is the artifact's, ``output`` its value, ``detail`` has type and tags
    INTENT = 12  # the body of an ``effect="once"`` call is about to run; ``detail["idempotency_key"]`` is its key
    WAITED = 13  # the flow has the end of a wait: ``output`` is its answer, ``detail["status"]`` how it ended


#: Name of a METADATA entry that a replay has taken over with the call it belongs to: it was paid for elsewhere.
REUSED = "reused"

#: Kinds that end a call: the last such entry of a key is the call's outcome.
OUTCOME_KINDS = frozenset((EntryKind.COMPLETED, EntryKind.FAILED, EntryKind.CANCELLED))


@dataclass(slots=True)
class Payload:
    """One encoded value: where its bytes are, and how to check and read them.

    Exactly one of ``data`` (small values, inline) and ``ref`` (artifact store key of large ones) is set.
    ``digest`` is the SHA-256 of the encoded bytes, ``size`` their length.
    """

    codec: str
    digest: bytes
    size: int
    data: bytes | None = None
    ref: str | None = None


@dataclass(slots=True)
class Entry:
    """One line of an execution's journal.

    ``seq`` is the entry's place in its execution: 1, 2, 3 ... in commit order, given by ``Journal.append``.
    ``key`` is the call's key (see ``runtime.identity``). ``inputs_digest`` is None when the inputs cannot be
    compared. ``detail`` is a JSON object with whatever only some entries have.
    """

    kind: EntryKind
    key: str
    name: str = ""
    attempt: int = 1
    started_at: int = 0
    ended_at: int = 0
    inputs_digest: bytes | None = None
    inputs: bytes | None = None
    output: Payload | None = None
    detail: dict[str, Any] | None = None
    cache_key: bytes | None = None
    seq: int = 0


@dataclass(slots=True, frozen=True)
class Owner:
    """A process that drives executions. Two hosts or containers never agree on ``host``, ``boot`` and ``pid_ns``
    together."""

    host: str
    boot: str
    pid_ns: str
    pid: int
    pid_start: int  # start time of the process, in clock ticks since boot: tells a reused pid apart


@dataclass(slots=True)
class ExecutionRecord:
    """One run of a flow, as stored. ``status`` is a stored status: never ``interrupted``."""

    exec_id: str
    flow_name: str
    status: str = "pending"
    created_at: int = 0
    started_at: int | None = None
    ended_at: int | None = None
    stack_name: str | None = None
    entrypoint: dict[str, Any] = field(default_factory=dict)
    inputs_digest: bytes | None = None
    inputs: bytes = b""
    spec: dict[str, Any] = field(default_factory=dict)
    seed: bytes = b""
    idempotency_key: str | None = None
    parent_exec_id: str | None = None
    parent_call_key: str | None = None
    original_exec_id: str | None = None
    result: Payload | None = None
    failure: dict[str, Any] | None = None
    status_reason: str | None = None
    owner: Owner | None = None
    fence: int = 0
    lease_expires_at: int | None = None
    owners_lost: int = 0
    cancel_requested: bool = False
    wake_at: int | None = None  # when a suspended execution is due: its next timer, or at once after an answer
    open_waits: int = 0  # how many of its waits have no answer yet; read only, kept by the journal


#: What a wait may be: waiting for its answer, answered, given up by somebody outside, past its deadline, or given up by
#: the flow's own code (``asyncio.timeout`` around it, a lost race).
WAIT_STATUSES = ("open", "answered", "aborted", "expired", "withdrawn")


@dataclass(slots=True)
class WaitRecord:
    """A question that an execution waits for, as stored.

    ``key`` is the wait's place in the execution (see ``runtime.identity``), ``wait_id`` a UUID made of it, ``name``
    what people call it. ``schema`` is the JSON Schema of its answer, or None: a gate, which takes no value. ``answer``
    is set once it is answered, or expired with a default.
    """

    exec_id: str
    key: str
    wait_id: str
    name: str
    question: str | None = None
    schema: dict[str, Any] | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    created_at: int = 0
    expires_at: int | None = None
    has_default: bool = False
    status: str = "open"
    answer: Payload | None = None
    resolved_at: int | None = None


@dataclass(slots=True)
class Lease:
    """Proof of ownership: every kernel write carries it and is refused once ``fence`` is not the newest.

    ``no`` is the journal's own row number of the execution, ``next_seq`` the next entry's place. Mutable: the
    journal advances ``next_seq``; only the process that got the lease may use it.
    """

    exec_id: str
    no: int
    fence: int
    expires_at: int
    next_seq: int = 1


@dataclass(slots=True)
class Created:
    """Answer to ``Journal.create``. ``existed``: the idempotency key was taken, ``record`` is the earlier one."""

    record: ExecutionRecord
    lease: Lease | None
    existed: bool = False


@dataclass(slots=True)
class Claimed:
    """Answer to ``Journal.claim``."""

    record: ExecutionRecord
    lease: Lease
    previous_owner: Owner | None


@dataclass(slots=True)
class ExecutionQuery:
    """Filters of a listing, newest first. ``statuses`` are public words (``interrupted`` included), ``since`` and
    ``until`` bound ``created_at`` (until exclusive)."""

    flow_name: str | None = None
    statuses: tuple[str, ...] = ()
    stack_name: str | None = None
    parent_exec_id: str | None = None
    limit: int | None = None
    before: str | None = None  # cursor: the last exec_id of the previous page
    since: int | None = None
    until: int | None = None


@dataclass(slots=True)
class EndedQuery:
    """Which ended executions are meant: ``before`` is an ``ended_at``, ``statuses`` empty means all that end one,
    ``keep_last`` leaves out the newest so many ended ones of each flow."""

    before: int | None = None
    statuses: tuple[str, ...] = ()
    flow_name: str | None = None
    keep_last: int = 0


@dataclass(slots=True)
class TallyQuery:
    """Which executions to count: ``statuses`` are public words, ``since`` and ``until`` bound ``created_at`` (until
    exclusive)."""

    flow_name: str | None = None
    statuses: tuple[str, ...] = ()
    since: int | None = None
    until: int | None = None


@dataclass(slots=True)
class Tally:
    """The executions of one flow and public status that were created on one day (days since the epoch, UTC).

    ``took`` adds up the microseconds from start to end of those ``ended`` ones that have both.
    """

    flow_name: str
    status: str
    day: int
    executions: int = 0
    ended: int = 0
    took: int = 0
    took_max: int = 0
    cost: float = 0.0
    cost_reused: float = 0.0

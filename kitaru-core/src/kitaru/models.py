"""What users see of executions: frozen snapshots, made once and never changed.

A snapshot says how things were when it was read; :meth:`Execution.refresh` reads again and gives a new one. Snapshots
hold no values of the user's own types: those are read on request (:meth:`Execution.result`, :meth:`ArtifactRef.load`),
because reading one may need the user's code.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic.dataclasses import dataclass

from kitaru.errors import FailureOrigin, KitaruCorruptionError, KitaruStateError
from kitaru.statuses import CallStatus, ExecutionStatus

__all__ = [
    "ArtifactRef",
    "CallDifference",
    "CheckDifference",
    "CheckReport",
    "CheckpointAttempt",
    "CheckpointCall",
    "ChildExecution",
    "Execution",
    "ExecutionDiff",
    "ExecutionSide",
    "FailureInfo",
    "LogEntry",
    "Operations",
    "PendingWait",
    "Statistics",
    "StatisticsGroup",
    "Snapshot",
]


class Operations(Protocol):
    """What a snapshot asks of the client that made it. Each method has the contract of the client's own."""

    def get(self, exec_id: str) -> Execution: ...

    def result(self, exec_id: str) -> Any: ...

    def resume(self, exec_id: str) -> Execution: ...

    def retry(self, exec_id: str) -> Execution: ...

    def cancel(self, exec_id: str) -> Execution: ...

    def replay(
        self, exec_id: str, *, from_: str | None = None, overrides: Mapping[str, Any] | None = None, **flow_inputs: Any
    ) -> Execution: ...

    def load_payload(self, payload: Any) -> Any:
        """The value of one stored payload, its digest checked."""

    def payload_data(self, payload: Any) -> tuple[Any, str]:
        """One stored payload as plain data, and the name of its type; its digest is checked, and no class loaded."""


class Snapshot(BaseModel):
    """Base of all snapshots: frozen, and equal when their public fields are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __eq__(self, other: object) -> bool:
        # pydantic also compares private attributes: the client that made a snapshot is not part of what it says.
        if type(other) is not type(self):
            return NotImplemented
        return self.__dict__ == other.__dict__

    __hash__ = None  # type: ignore[assignment]  # fields hold lists and dicts


class FailureInfo(Snapshot):
    """Why an attempt, a call or an execution failed. ``origin`` was recorded where it happened."""

    message: str
    exception_type: str | None = None
    traceback: str | None = None
    origin: FailureOrigin = FailureOrigin.UNKNOWN


# A pydantic dataclass, not a model: `schema` is the field's public name, and models have a method of that name.
@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class PendingWait:
    """A question an execution waits for. ``schema`` is the JSON Schema its answer must fit; None: it takes no value."""

    wait_id: str
    name: str
    question: str | None = None
    schema: dict[str, Any] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    entered_waiting_at: datetime | None = None
    exec_id: str | None = None
    expires_at: datetime | None = None


class ArtifactRef(Snapshot):
    """A stored value, without the value.

    ``save_type`` is ``"output"`` for what a call returned, whose name is the checkpoint's, and ``"manual"`` for what
    its body saved; ``kind`` is then the type it was saved as. ``producing_call`` is the invocation id of the call.
    ``metadata`` has ``codec``, ``size`` (bytes) and ``digest`` (SHA-256, hex) of the stored bytes and, of a saved one,
    ``tags``.
    """

    artifact_id: str
    name: str
    kind: str | None = None
    save_type: str = "output"
    producing_call: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)

    _client: Operations | None = PrivateAttr(default=None)
    _payload: Any = PrivateAttr(default=None)

    def connected_to(self, client: Operations | None, payload: Any) -> ArtifactRef:
        """This reference, able to load ``payload`` through ``client``. For those who make snapshots."""
        self._client, self._payload = client, payload
        return self

    def load(self) -> Any:
        """The value, its digest checked; it is read again at each call.

        Raises:
            KitaruCorruptionError: the stored bytes are not those that were written.
            KitaruSerializationError: its type is not loaded here: import the module that defines it first.
            KitaruArtifactNotFoundError: the artifact store does not hold it any more.
        """
        return self._read("load_payload")

    def data(self) -> tuple[Any, str]:
        """The value as plain data (JSON types), and the name of its type, for looking at it from outside.

        Loads no class and unpickles nothing; what only its own program can read is described. Raises like :meth:`load`,
        but for KitaruSerializationError.
        """
        found: tuple[Any, str] = self._read("payload_data")
        return found

    def _read(self, how: str) -> Any:
        if self._client is None or self._payload is None:
            raise KitaruStateError(
                f"artifact `{self.name}` belongs to a snapshot that is not connected to a journal. Read it with "
                "KitaruClient().executions.get(...)."
            )
        try:
            return getattr(self._client, how)(self._payload)
        except KitaruCorruptionError as error:
            raise KitaruCorruptionError(
                f"artifact `{self.name}` ({self.artifact_id}) cannot be loaded: {error}"
            ) from error


class CheckpointAttempt(Snapshot):
    """One try of a call. An attempt whose owner died reads ``interrupted``."""

    attempt_id: str
    attempt: int = 1
    status: CallStatus
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    failure: FailureInfo | None = None


class CheckpointCall(Snapshot):
    """One call of a checkpoint, with all its attempts (oldest first); its own failure is that of the last one.

    ``invocation_id`` is its name for people (``research``, ``research#2``, ``outer/inner#2``), ``call_id`` a UUID.
    ``parent_call_id`` is the call inside whose body it was made; ``parent_call_ids`` are the calls whose results it
    was given as arguments. ``started_at`` is when the last attempt began. ``cached``: answered by an equal call of
    another execution. ``original_call_id``: in a replay, the call of its original that answered this one (or that an
    override stands for).
    """

    call_id: str
    name: str
    invocation_id: str
    status: CallStatus
    started_at: datetime | None = None
    ended_at: datetime | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    checkpoint_type: str | None = None
    cached: bool = False
    original_call_id: str | None = None
    parent_call_id: str | None = None
    parent_call_ids: list[str] = Field(default_factory=list)
    failure: FailureInfo | None = None
    attempts: list[CheckpointAttempt] = Field(default_factory=list)
    artifacts: list[ArtifactRef] = Field(default_factory=list)


class ChildExecution(Snapshot):
    """A flow that an execution started. ``parent_call_id`` is the checkpoint call that did, None for the flow body."""

    exec_id: str
    flow_name: str
    started_at: datetime | None = None
    parent_call_id: str | None = None


class StatisticsGroup(Snapshot):
    """Executions added up: ``ended`` of them have ended, after ``seconds_mean`` on average. ``cost`` is what their
    attempts logged, in the unit they logged it in; ``cost_reused`` is what the records that replays took over had cost.
    """

    name: str
    executions: int = 0
    ended: int = 0
    seconds_total: float = 0.0
    seconds_mean: float | None = None
    seconds_max: float | None = None
    cost: float = 0.0
    cost_reused: float = 0.0


class Statistics(Snapshot):
    """Executions by flow, by public status and by the day (UTC) on which they were created; groups sorted by name."""

    total: StatisticsGroup
    by_flow: list[StatisticsGroup] = Field(default_factory=list)
    by_status: list[StatisticsGroup] = Field(default_factory=list)
    by_day: list[StatisticsGroup] = Field(default_factory=list)


class CheckDifference(Snapshot):
    """An argument that a call was recorded with and would be made with now, in short readable forms."""

    argument: str
    recorded: str
    now: str


class CheckReport(Snapshot):
    """What would become of an execution if it were continued with the code as it is now.

    ``verdict``: ``continues`` at ``place``, the first call without a record; ``completes``; ``diverges`` at ``place``,
    a call whose arguments differ from the recorded ones; ``fails`` in the flow's own code; ``unloadable``: the code
    cannot be imported. ``message`` says it in words.
    """

    exec_id: str
    flow_name: str | None = None
    status: ExecutionStatus
    verdict: Literal["continues", "completes", "diverges", "fails", "unloadable"]
    message: str
    place: str | None = None
    differences: list[CheckDifference] = Field(default_factory=list)

    @property
    def fits(self) -> bool:
        """Whether the code can continue the execution."""
        return self.verdict in ("continues", "completes")


class ExecutionSide(Snapshot):
    """One of two executions that are compared. ``cost_reused`` was paid for by its original."""

    exec_id: str
    flow_name: str | None = None
    status: ExecutionStatus
    seconds: float | None = None
    cost: float = 0.0
    cost_reused: float = 0.0
    tokens: int = 0


class CallDifference(Snapshot):
    """One call in two executions. ``verdict``: same, inputs differ, value differs, status differs, only in the first,
    or only in the second.

    ``inputs`` are the arguments that differ. Values are short, and there only where they differ. ``reused``: the
    second one took it over from a record.
    """

    invocation_id: str
    verdict: str
    first_status: CallStatus | None = None
    second_status: CallStatus | None = None
    first_seconds: float | None = None
    second_seconds: float | None = None
    first_cost: float | None = None
    second_cost: float | None = None
    inputs: list[CheckDifference] = Field(default_factory=list)
    first_value: str | None = None
    second_value: str | None = None
    reused: bool = False


class ExecutionDiff(Snapshot):
    """Two executions side by side; calls in the order they were made. ``recorded`` of a difference is the first's."""

    first: ExecutionSide
    second: ExecutionSide
    same_flow: bool
    inputs: list[CheckDifference] = Field(default_factory=list)
    results_differ: bool = False
    first_result: str | None = None
    second_result: str | None = None
    calls: list[CallDifference] = Field(default_factory=list)


class LogEntry(Snapshot):
    """One line of runtime log. ``timestamp`` is ISO 8601 in UTC; ``source`` is stdout, stderr, logging or model.

    ``source`` is ``place`` for what an orchestrator's own place printed before there was a kernel to capture anything;
    such lines have no timestamp.
    """

    message: str
    level: str | None = None
    timestamp: str | None = None
    source: str | None = None
    checkpoint_name: str | None = None
    invocation_id: str | None = None
    call_id: str | None = None
    attempt: int | None = None
    module: str | None = None
    filename: str | None = None
    lineno: int | None = None


class Execution(Snapshot):
    """One run of a flow. A listing leaves ``checkpoints``, ``artifacts`` and ``children`` empty (``detailed`` False).

    ``pending_wait`` is the oldest of ``pending_waits``, the questions that nobody has answered yet. A ``waiting``
    execution without one was answered, or sleeps. ``failure`` is set only when ``status`` is failed. ``wake_at`` is
    when the next timer of a waiting execution is due. ``owners_lost`` counts the processes that died while they drove
    it, since it last got further (a call ended, or nothing was left to run until an answer or a timer).
    """

    exec_id: str
    flow_name: str | None = None
    status: ExecutionStatus
    created_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    stack_name: str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    status_reason: str | None = None
    failure: FailureInfo | None = None
    pending_wait: PendingWait | None = None
    pending_waits: list[PendingWait] = Field(default_factory=list)
    wake_at: datetime | None = None
    owners_lost: int = 0
    idempotency_key: str | None = None
    frozen_execution_spec: dict[str, Any] | None = None
    original_exec_id: str | None = None
    parent_exec_id: str | None = None
    detailed: bool = False
    checkpoints: list[CheckpointCall] = Field(default_factory=list)
    artifacts: list[ArtifactRef] = Field(default_factory=list)
    children: list[ChildExecution] = Field(default_factory=list)

    _client: Operations | None = PrivateAttr(default=None)

    def connected_to(self, client: Operations | None) -> Execution:
        """This snapshot, its methods answered by ``client``. For those who make snapshots."""
        self._client = client
        return self

    def refresh(self) -> Execution:
        """A new snapshot of the same execution, with all details."""
        return self._connected().get(self.exec_id)

    def result(self) -> Any:
        """What the flow returned. Raises like ``KitaruClient().executions.result``."""
        return self._connected().result(self.exec_id)

    def resume(self) -> Execution:
        """Continue it. Raises like ``KitaruClient().executions.resume``."""
        return self._connected().resume(self.exec_id)

    def retry(self) -> Execution:
        """Run its failed calls again. Raises like ``KitaruClient().executions.retry``."""
        return self._connected().retry(self.exec_id)

    def cancel(self) -> Execution:
        """Stop it for good. Raises like ``KitaruClient().executions.cancel``."""
        return self._connected().cancel(self.exec_id)

    def replay(
        self, *, from_: str | None = None, overrides: Mapping[str, Any] | None = None, **flow_inputs: Any
    ) -> Execution:
        """Start a new execution from its records. Raises like ``KitaruClient().executions.replay``."""
        return self._connected().replay(self.exec_id, from_=from_, overrides=overrides, **flow_inputs)

    def list_checkpoints(self) -> list[CheckpointCall]:
        """A copy of ``checkpoints``."""
        return list(self.checkpoints)

    def list_artifacts(self) -> list[ArtifactRef]:
        """A copy of ``artifacts``."""
        return list(self.artifacts)

    def _connected(self) -> Operations:
        if self._client is None:
            raise KitaruStateError(
                f"this snapshot of execution {self.exec_id} is not connected to a journal. Read it with "
                "KitaruClient().executions.get(...)."
            )
        return self._client

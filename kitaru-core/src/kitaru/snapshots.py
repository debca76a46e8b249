"""Public snapshots made from journal records: one pass over the entries, no value decoded, nothing imported."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from kitaru import models
from kitaru.errors import FailureOrigin
from kitaru.journal.log_records import LogRecord
from kitaru.journal.records import Entry, ExecutionRecord, Payload, WaitRecord
from kitaru.runtime import identity
from kitaru.statuses import CallStatus, ExecutionStatus
from kitaru.timeline import FoldedAttempt, FoldedCall, Timeline

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def when(microseconds: int | None) -> datetime | None:
    """A journal time (microseconds since the epoch) as an aware UTC datetime."""
    return None if microseconds is None else _EPOCH + timedelta(microseconds=microseconds)


def execution(
    record: ExecutionRecord,
    entries: Sequence[Entry] | None,
    status: ExecutionStatus,
    *,
    waits: Sequence[WaitRecord] = (),
    client: models.Operations | None = None,
    reason: str | None = None,
) -> models.Execution:
    """The snapshot of a stored execution. ``entries`` None: a listing, without calls, artifacts and children.

    ``status`` is the owner's: only the caller can tell whether the owner of a running execution lives. ``waits`` are
    its open ones, oldest first; of a running execution that has one, people see that it is ``waiting``. ``reason`` is
    shown where the journal gives none.
    """
    timeline = Timeline(entries or ())
    driven = status in (ExecutionStatus.RUNNING, ExecutionStatus.PENDING)
    pending = [] if status.finished else [pending_wait(wait) for wait in waits]
    if status is ExecutionStatus.RUNNING and pending:
        status = ExecutionStatus.WAITING
    found = [_call(record.exec_id, call, not driven, client) for call in timeline.calls.values()]
    snapshot = models.Execution(
        exec_id=record.exec_id,
        flow_name=record.flow_name,
        status=status,
        created_at=when(record.created_at),
        started_at=when(record.started_at),
        ended_at=when(record.ended_at),
        stack_name=record.stack_name,
        metadata=timeline.metadata,
        status_reason=record.status_reason or reason,
        failure=_execution_failure(record, status),
        pending_wait=pending[0] if pending else None,
        pending_waits=pending,
        wake_at=when(record.wake_at),
        owners_lost=record.owners_lost,
        idempotency_key=record.idempotency_key,
        frozen_execution_spec=record.spec or None,
        original_exec_id=record.original_exec_id,
        parent_exec_id=record.parent_exec_id,
        detailed=entries is not None,
        checkpoints=found,
        artifacts=[artifact for call in found for artifact in call.artifacts],
        children=[
            models.ChildExecution(
                exec_id=child.exec_id,
                flow_name=child.flow_name,
                started_at=when(child.started_at),
                parent_call_id=identity.call_id(record.exec_id, child.parent) if child.parent else None,
            )
            for child in timeline.children
        ],
    )
    return snapshot.connected_to(client)


def calls(
    exec_id: str, entries: Sequence[Entry], *, ended: bool, client: models.Operations | None = None
) -> list[models.CheckpointCall]:
    """The calls in an execution's entries. ``ended``: nobody drives it, so calls without an outcome are interrupted."""
    return [_call(exec_id, call, ended, client) for call in Timeline(entries).calls.values()]


def call(exec_id: str, entries: Sequence[Entry], *, ended: bool = False) -> models.CheckpointCall:
    """The snapshot of one call from its own entries alone (at least one, all of the same key).

    Entries of other calls are not at hand, so the name of a nested call is built from its key: a call around it that
    was made in an asyncio branch appears under its place in that branch.
    """
    return _call(exec_id, next(iter(Timeline(entries).calls.values())), ended, None)


def pending_wait(wait: WaitRecord) -> models.PendingWait:
    """A stored wait as users see it."""
    return models.PendingWait(
        wait_id=wait.wait_id,
        name=wait.name,
        question=wait.question,
        schema=wait.schema,
        metadata=wait.metadata,
        entered_waiting_at=when(wait.created_at),
        exec_id=wait.exec_id,
        expires_at=when(wait.expires_at),
    )


def log_entry(record: LogRecord) -> models.LogEntry:
    """One stored log line as users see it."""
    timestamp = when(record.timestamp)
    return models.LogEntry(
        message=record.message,
        level=record.level,
        timestamp=timestamp.isoformat() if timestamp is not None else None,
        source=record.source,
        checkpoint_name=record.checkpoint_name,
        invocation_id=record.invocation_id,
        call_id=record.call_id,
        attempt=record.attempt,
        module=record.module,
        filename=record.filename,
        lineno=record.lineno,
    )


def failure_info(failure: dict[str, Any] | None, *, fallback: str) -> models.FailureInfo:
    """A recorded failure; ``fallback`` is its message when none was recorded."""
    failure = failure or {}
    try:
        origin = FailureOrigin(failure.get("origin", "unknown"))
    except ValueError:  # written by a newer version: the rest of the failure can still be read
        origin = FailureOrigin.UNKNOWN
    return models.FailureInfo(
        message=failure.get("message") or fallback,
        exception_type=failure.get("exception_type"),
        traceback=failure.get("traceback"),
        origin=origin,
    )


def _execution_failure(record: ExecutionRecord, status: ExecutionStatus) -> models.FailureInfo | None:
    if status is not ExecutionStatus.FAILED:
        return None
    return failure_info(record.failure, fallback=record.status_reason or f"execution {record.exec_id} failed")


def _call(exec_id: str, folded: FoldedCall, ended: bool, client: models.Operations | None) -> models.CheckpointCall:
    call_id = identity.call_id(exec_id, folded.key)
    around = identity.parent_key(folded.key)
    attempts = [
        _attempt(call_id, folded, place, attempt, ended or place < len(folded.attempts) - 1)
        for place, attempt in enumerate(folded.attempts)
    ]
    status = folded.status
    if folded.in_doubt and (ended or status is not CallStatus.RUNNING):
        status = CallStatus.IN_DOUBT
    elif status is CallStatus.RUNNING and ended:
        status = CallStatus.INTERRUPTED
    return models.CheckpointCall(
        call_id=call_id,
        name=folded.name,
        invocation_id=folded.invocation_id,
        status=status,
        started_at=attempts[-1].started_at if attempts else None,
        ended_at=attempts[-1].ended_at if attempts and folded.status is not CallStatus.RUNNING else None,
        metadata=folded.metadata,
        checkpoint_type=folded.checkpoint_type,
        cached=folded.cached,
        original_call_id=folded.original_call_id,
        parent_call_id=identity.call_id(exec_id, around) if around else None,
        parent_call_ids=[identity.call_id(exec_id, key) for key in folded.parents],
        failure=attempts[-1].failure if attempts else None,
        attempts=attempts,
        artifacts=_artifacts(exec_id, folded, client),
    )


def _attempt(
    call_id: str, folded: FoldedCall, place: int, attempt: FoldedAttempt, superseded: bool
) -> models.CheckpointAttempt:
    status = attempt.status
    if status is CallStatus.RUNNING and superseded:  # its owner died before it could say how it ended
        status = CallStatus.INTERRUPTED
    failed = status is CallStatus.FAILED
    return models.CheckpointAttempt(
        attempt_id=f"{call_id}:{place + 1}",
        attempt=attempt.number,
        status=status,
        started_at=when(attempt.started_at),
        ended_at=when(attempt.ended_at),
        metadata=attempt.metadata,
        failure=failure_info(attempt.failure, fallback=f"checkpoint `{folded.name}` failed") if failed else None,
    )


def _artifacts(exec_id: str, folded: FoldedCall, client: models.Operations | None) -> list[models.ArtifactRef]:
    """What a call saved, in that order, and what it returned."""
    found = [
        models.ArtifactRef(
            artifact_id=artifact_id(exec_id, saved.seq),
            name=saved.name,
            kind=saved.label,
            save_type="manual",
            producing_call=folded.invocation_id,
            metadata={"kitaru_artifact_type": saved.label, "tags": saved.tags, **_stored(saved.payload)},
        ).connected_to(client, saved.payload)
        for saved in folded.saved
    ]
    if folded.output is not None:
        output = models.ArtifactRef(
            artifact_id=artifact_id(exec_id, folded.output_seq),
            name=folded.name,
            save_type="output",
            producing_call=folded.invocation_id,
            metadata=_stored(folded.output),
        )
        found.append(output.connected_to(client, folded.output))
    return found


def artifact_id(exec_id: str, seq: int) -> str:
    """An artifact's id: where its entry stands. It says by itself which execution to look in."""
    return f"{exec_id}:{seq}"


def _stored(payload: Payload) -> dict[str, Any]:
    return {"codec": payload.codec, "size": payload.size, "digest": payload.digest.hex()}

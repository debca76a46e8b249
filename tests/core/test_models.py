"""Snapshots made from journal entries, and their JSON shapes."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from kitaru import models, snapshots
from kitaru.errors import FailureOrigin, KitaruStateError
from kitaru.inspection import (
    serialize_artifact_value,
    serialize_checkpoint_call,
    serialize_execution,
    serialize_execution_summary,
    serialize_failure,
    serialize_log_entry,
    serialize_pending_wait,
    to_jsonable,
)
from kitaru.journal.log_records import LogRecord
from kitaru.journal.records import Entry, EntryKind, ExecutionRecord, Payload
from kitaru.runtime import identity
from kitaru.statuses import CallStatus, ExecutionStatus
from kitaru.timeline import Timeline, merge_metadata

EXEC_ID = "11111111-1111-4111-8111-111111111111"


def entry(kind: EntryKind, key: str, seq: int, **fields: Any) -> Entry:
    name = identity.key_parts(key)[1] if key else ""
    return Entry(kind, key, fields.pop("name", name), seq=seq, started_at=seq * 1_000_000, **fields)


def completed(key: str, seq: int, **fields: Any) -> Entry:
    return entry(EntryKind.COMPLETED, key, seq, ended_at=seq * 1_000_000 + 500, output=payload(), **fields)


def failed(kind: EntryKind, key: str, seq: int, attempt: int) -> Entry:
    failure = {"message": "no", "exception_type": "ValueError", "traceback": "tb", "origin": "user_code"}
    return entry(kind, key, seq, attempt=attempt, ended_at=seq * 1_000_000 + 5, detail={"failure": failure})


def payload() -> Payload:
    return Payload("json", b"\x01" * 32, 2, b"{}")


def snapshot(entries: list[Entry], status: ExecutionStatus = ExecutionStatus.COMPLETED) -> models.Execution:
    return snapshots.execution(ExecutionRecord(EXEC_ID, "research"), entries, status)


def test_invocation_ids_are_bare_names_then_numbered_and_nested_ones_carry_their_parent() -> None:
    entries = [
        completed("outer#1/inner#1", 1),
        completed("outer#1/inner#2", 2),
        completed("outer#1", 3),
        completed("outer#2/inner#1", 4),
        completed("outer#2", 5),
        completed("@mine", 6, name="outer"),
        completed("1:branch#1", 7, detail={"label": "branch#3"}),
        completed("1:branch#1/leaf#1", 8),
    ]
    calls = snapshot(entries).checkpoints
    assert {call.invocation_id for call in calls} == {
        "outer",
        "outer#2",
        "outer/inner",
        "outer/inner#2",
        "outer#2/inner",
        "mine",
        "branch#3",
        "branch#3/leaf",
    }
    by_id = {call.invocation_id: call for call in calls}
    assert by_id["mine"].name == "outer"
    assert by_id["outer#2/inner"].parent_call_id == by_id["outer#2"].call_id
    assert by_id["outer"].parent_call_id is None


def test_attempts_of_a_retried_call_and_only_the_last_one_is_the_calls_failure() -> None:
    entries = [failed(EntryKind.ATTEMPT_FAILED, "a#1", 1, 1), completed("a#1", 2, attempt=2)]
    (call,) = snapshot(entries).checkpoints
    assert [attempt.status for attempt in call.attempts] == [CallStatus.FAILED, CallStatus.COMPLETED]
    assert call.failure is None and call.status is CallStatus.COMPLETED
    first = call.attempts[0].failure
    assert first is not None and first.message == "no" and first.origin is FailureOrigin.USER_CODE
    assert call.attempts[0].attempt_id != call.attempts[1].attempt_id


def test_a_call_without_outcome_is_running_while_somebody_drives_it_and_interrupted_afterwards() -> None:
    entries = [entry(EntryKind.STARTED, "a#1", 1)]
    assert snapshot(entries, ExecutionStatus.RUNNING).checkpoints[0].status is CallStatus.RUNNING
    gone = snapshot(entries, ExecutionStatus.INTERRUPTED).checkpoints[0]
    assert gone.status is CallStatus.INTERRUPTED and gone.attempts[0].status is CallStatus.INTERRUPTED
    assert gone.ended_at is None


def test_an_attempt_that_died_with_its_owner_stays_interrupted_when_the_next_one_succeeds() -> None:
    entries = [entry(EntryKind.STARTED, "a#1", 1), completed("a#1", 2, attempt=2)]
    (call,) = snapshot(entries, ExecutionStatus.RUNNING).checkpoints
    assert [attempt.status for attempt in call.attempts] == [CallStatus.INTERRUPTED, CallStatus.COMPLETED]


def test_a_reopened_call_is_open_again() -> None:
    entries = [failed(EntryKind.FAILED, "a#1", 1, 1), entry(EntryKind.REOPENED, "a#1", 2)]
    assert snapshot(entries, ExecutionStatus.RUNNING).checkpoints[0].status is CallStatus.RUNNING
    entries.append(completed("a#1", 3, attempt=2))
    (call,) = snapshot(entries).checkpoints
    assert call.status is CallStatus.COMPLETED and len(call.attempts) == 2


def test_values_and_timers_are_no_calls_and_children_are_listed_apart() -> None:
    entries = [
        entry(EntryKind.VALUE, "!now#1", 1),
        entry(EntryKind.TIMER, "!sleep#1", 2),
        entry(EntryKind.CHILD, ">other#1", 3, name="other", detail={"exec_id": "child-id"}),
    ]
    found = snapshot(entries)
    assert found.checkpoints == []
    assert [(child.exec_id, child.flow_name, child.parent_call_id) for child in found.children] == [
        ("child-id", "other", None)
    ]


def test_logged_metadata_merges_dicts_and_keeps_the_latest_of_anything_else() -> None:
    entries = [
        completed("a#1", 1),
        entry(EntryKind.METADATA, "a#1", 2, detail={"cost": {"in": 1}, "model": "x"}),
        entry(EntryKind.METADATA, "a#1", 3, detail={"cost": {"out": 2}, "model": "y"}),
        entry(EntryKind.METADATA, "", 4, detail={"whole": True}),
    ]
    found = snapshot(entries)
    assert found.metadata == {"whole": True}
    assert found.checkpoints[0].metadata == {"cost": {"in": 1, "out": 2}, "model": "y"}
    assert found.checkpoints[0].attempts[0].metadata == found.checkpoints[0].metadata


def test_metadata_of_unlike_kinds_does_not_merge() -> None:
    into: dict[str, Any] = {"a": {"x": 1}}
    merge_metadata(into, {"a": 3})
    merge_metadata(into, {"a": {"y": 1}})
    assert into == {"a": {"y": 1}}


def test_a_timeline_takes_entries_as_they_come_and_says_which_calls_changed() -> None:
    timeline = Timeline()
    (first,) = timeline.add([entry(EntryKind.STARTED, "a#1", 1)])
    assert first.status is CallStatus.RUNNING and list(timeline.running()) == [first]
    assert timeline.add([]) == []
    (again,) = timeline.add([completed("a#1", 2)])
    assert again is first and timeline.seq == 2 and not list(timeline.running())


def test_a_listing_has_no_details_and_says_so() -> None:
    listed = snapshots.execution(ExecutionRecord(EXEC_ID, "research"), None, ExecutionStatus.COMPLETED)
    assert not listed.detailed and listed.checkpoints == []
    row = serialize_execution_summary(listed)
    assert row["checkpoint_count"] is None and row["artifact_count"] is None
    assert serialize_execution_summary(snapshot([completed("a#1", 1)]))["checkpoint_count"] == 1


def test_only_a_failed_execution_shows_a_failure() -> None:
    record = ExecutionRecord(EXEC_ID, "research", failure={"message": "x", "origin": "from the future"})
    assert snapshots.execution(record, (), ExecutionStatus.RUNNING).failure is None
    failure = snapshots.execution(record, (), ExecutionStatus.FAILED).failure
    assert failure is not None and failure.message == "x" and failure.origin is FailureOrigin.UNKNOWN


def test_snapshots_are_frozen_and_equal_by_what_they_say() -> None:
    first, second = snapshot([completed("a#1", 1)]), snapshot([completed("a#1", 1)])
    assert first == second and first is not second
    assert first.connected_to(None) == second
    with pytest.raises(ValidationError):
        first.status = ExecutionStatus.FAILED  # type: ignore[misc]
    copied = first.list_checkpoints()
    copied.clear()
    assert len(first.checkpoints) == 1


def test_a_snapshot_without_a_client_says_where_to_get_one_that_has() -> None:
    found = snapshot([completed("a#1", 1)])
    with pytest.raises(KitaruStateError, match=r"executions\.get"):
        found.refresh()
    with pytest.raises(KitaruStateError, match=r"executions\.get"):
        found.artifacts[0].load()


def test_a_single_calls_snapshot_needs_only_its_own_entries() -> None:
    call = snapshots.call(EXEC_ID, [completed("outer#2/inner#3", 4)])
    assert call.invocation_id == "outer#2/inner#3" and call.status is CallStatus.COMPLETED
    assert call.call_id == identity.call_id(EXEC_ID, "outer#2/inner#3")


def test_the_json_of_an_execution_has_every_promised_key() -> None:
    row = serialize_execution(snapshot([failed(EntryKind.FAILED, "a#1", 1, 1)]))
    summary = "exec_id flow_name status started_at ended_at stack_name status_reason pending_wait failure metadata"
    full = "checkpoint_count artifact_count frozen_execution_spec original_exec_id checkpoints artifacts"
    assert set(f"{summary} {full}".split()) <= set(row)
    call = row["checkpoints"][0]
    keys = (
        "call_id name status started_at ended_at metadata original_call_id parent_call_ids failure attempts artifacts"
    )
    assert set(keys.split()) <= set(call)
    assert call["failure"] == {
        "message": "no",
        "exception_type": "ValueError",
        "traceback": "tb",
        "origin": "user_code",
    }
    assert set(call["attempts"][0]) >= {"attempt_id", "status", "started_at", "ended_at", "metadata", "failure"}
    (done,) = snapshot([completed("a#1", 1)]).checkpoints
    assert set(serialize_checkpoint_call(done)["artifacts"][0]) == {
        "artifact_id",
        "name",
        "kind",
        "save_type",
        "producing_call",
        "metadata",
    }


def test_the_json_of_waits_failures_and_log_lines() -> None:
    assert serialize_failure(None) is None and serialize_pending_wait(None) is None
    moment = datetime(2026, 1, 2, tzinfo=UTC)
    wait = models.PendingWait(wait_id="1", name="ok?", schema={"type": "boolean"}, entered_waiting_at=moment)
    assert serialize_pending_wait(wait) == {
        "wait_id": "1",
        "name": "ok?",
        "question": None,
        "schema": {"type": "boolean"},
        "metadata": {},
        "entered_waiting_at": "2026-01-02T00:00:00+00:00",
    }
    line = snapshots.log_entry(LogRecord(1_000_000, "INFO", "", "stdout", checkpoint_name="a"))
    assert serialize_log_entry(line) == {
        "message": "",
        "level": "INFO",
        "timestamp": "1970-01-01T00:00:01+00:00",
        "source": "stdout",
        "checkpoint_name": "a",
    }


@dataclasses.dataclass
class Point:
    x: int
    where: Path


def test_plain_data_from_anything_that_has_a_json_form() -> None:
    value = {
        1: Point(1, Path("/a")),
        "set": {"b", "a"},
        "status": ExecutionStatus.FAILED,
        "time": datetime(2026, 1, 2, tzinfo=UTC),
        "tuple": (1, None, True, 1.5),
        "model": models.FailureInfo(message="m"),
    }
    assert to_jsonable(value, fallback_repr=False) == {
        "1": {"x": 1, "where": "/a"},
        "set": ["a", "b"],
        "status": "failed",
        "time": "2026-01-02T00:00:00+00:00",
        "tuple": [1, None, True, 1.5],
        "model": {"message": "m", "exception_type": None, "traceback": None, "origin": "unknown"},
    }


def test_what_has_no_json_form_is_refused_by_type_or_shown_by_its_repr() -> None:
    one = uuid.UUID(int=1)
    with pytest.raises(TypeError, match=r"uuid\.UUID"):
        to_jsonable([one], fallback_repr=False)
    assert to_jsonable(one, fallback_repr=True) == repr(one)
    assert to_jsonable(b"x", fallback_repr=True) == "b'x'"
    assert serialize_artifact_value(Decimal("1.5")) == {
        "value": "Decimal('1.5')",
        "value_format": "repr",
        "value_type": "decimal.Decimal",
    }
    assert serialize_artifact_value([1]) == {"value": [1], "value_format": "json", "value_type": "builtins.list"}

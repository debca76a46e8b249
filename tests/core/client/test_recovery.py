"""Recovery: what nobody drives is continued, what keeps killing its owners is parked."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import FailureOrigin, KitaruUsageError
from kitaru.journal.records import Owner
from kitaru.runtime import lease
from kitaru.runtime.kernel import Kernel
from kitaru.statuses import ExecutionStatus


@checkpoint
def double(number: int) -> int:
    return number * 2


@flow
def doubling(number: int) -> int:
    result: int = double(number)
    return result


@flow
def sleeping() -> str:
    kitaru.sleep(0.01)
    return "rested"


@pytest.fixture(scope="module")
def dead_owner() -> Owner:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return dataclasses.replace(lease.this_owner(), pid=process.pid, pid_start=1)


def orphan(kernel: Kernel, owner: Owner, definition: Any, *args: Any, losses: int = 0) -> str:
    """An execution that lost its owner, after it had lost ``losses`` others."""
    record = kernel.new_record(definition.spec, args, {})
    kernel.journal.create(record, owner, 3600.0)
    for _ in range(losses):
        kernel.journal.claim(record.exec_id, owner, 3600.0, ("interrupted",), kernel.alive)
    return record.exec_id


def finish(client: KitaruClient, exec_id: str) -> ExecutionStatus:
    return [look.status for look in client.executions.watch(exec_id, interval=0.01)][-1]


def test_recover_continues_every_orphan_and_reports_it(kernel: Kernel, dead_owner: Owner) -> None:
    client = KitaruClient()
    ids = [orphan(kernel, dead_owner, doubling, number) for number in range(3)]
    assert client.recoverable() == ids
    assert client.doctor().interrupted == ids[::-1]
    recovery = client.recover()
    assert (recovery.resumed, recovery.skipped, recovery.parked, recovery.refused) == (ids, [], [], {})
    for number, exec_id in enumerate(ids):
        assert finish(client, exec_id) is ExecutionStatus.COMPLETED
        assert client.executions.result(exec_id) == number * 2
    assert client.recover().resumed == [] and client.recoverable() == []


def test_a_suspended_execution_is_continued_once_its_timer_is_due(kernel: Kernel) -> None:
    client = KitaruClient()
    record = kernel.new_record(sleeping.spec, (), {})
    created = kernel.journal.create(record, kernel.owner, 30.0)
    assert created.lease is not None
    kernel.journal.suspend(created.lease, wake_at=kernel.clock.now() + 3_600_000_000)
    assert client.recoverable() == [] and client.doctor().overdue_timers == []
    later = kernel.new_record(sleeping.spec, (), {})
    created = kernel.journal.create(later, kernel.owner, 30.0)
    assert created.lease is not None
    kernel.journal.suspend(created.lease, wake_at=kernel.clock.now() - 1)
    assert client.doctor().overdue_timers == [later.exec_id]
    assert client.recover().resumed == [later.exec_id]
    assert finish(client, later.exec_id) is ExecutionStatus.COMPLETED
    assert client.executions.status(record.exec_id) is ExecutionStatus.WAITING


def test_an_execution_that_killed_too_many_owners_is_parked_and_retry_continues_it(
    kernel: Kernel, dead_owner: Owner
) -> None:
    client = KitaruClient()
    exec_id = orphan(kernel, dead_owner, doubling, 21, losses=3)
    assert client.recover(owners_lost_max=3).parked == [exec_id]
    found = client.executions.get(exec_id)
    assert found.status is ExecutionStatus.FAILED and found.failure is not None
    assert found.failure.origin is FailureOrigin.RUNTIME and str(found.owners_lost) in found.failure.message
    # A retry is a decision: the execution may lose owners anew before it is parked again.
    kernel.journal.claim(exec_id, dead_owner, 3600.0, ("failed",), kernel.alive)
    assert client.executions.get(exec_id).owners_lost == 0
    assert client.recover(owners_lost_max=3).resumed == [exec_id]
    assert finish(client, exec_id) is ExecutionStatus.COMPLETED
    assert client.executions.result(exec_id) == 42


def test_a_parked_execution_is_continued_by_retry(kernel: Kernel, dead_owner: Owner) -> None:
    client = KitaruClient()
    exec_id = orphan(kernel, dead_owner, doubling, 4, losses=1)
    assert client.recover(owners_lost_max=1).parked == [exec_id]
    client.executions.retry(exec_id)
    assert finish(client, exec_id) is ExecutionStatus.COMPLETED
    assert client.executions.result(exec_id) == 8


def test_what_somebody_took_meanwhile_is_skipped(kernel: Kernel, dead_owner: Owner) -> None:
    client = KitaruClient()
    exec_id = orphan(kernel, dead_owner, doubling, 1)
    kernel.journal.claim(exec_id, kernel.owner, 30.0, ("interrupted",), kernel.alive)
    recovery = client.recover_one(exec_id)
    assert recovery.skipped == [exec_id] and recovery.resumed == []


def test_a_flow_that_cannot_be_loaded_is_refused_with_the_reason_and_stays_interrupted(
    kernel: Kernel, dead_owner: Owner
) -> None:
    client = KitaruClient()
    record = kernel.new_record(doubling.spec, (1,), {})
    record.entrypoint = {**record.entrypoint, "module": "module_that_is_gone", "file": "/gone.py", "main": False}
    kernel.journal.create(record, dead_owner, 30.0)
    other = orphan(kernel, dead_owner, doubling, 1)
    recovery = client.recover()
    assert "module_that_is_gone" in recovery.refused[record.exec_id]
    assert recovery.resumed == [other]
    assert client.executions.status(record.exec_id) is ExecutionStatus.INTERRUPTED
    assert finish(client, other) is ExecutionStatus.COMPLETED


def test_a_limit_below_one_is_refused(kernel: Kernel) -> None:
    with pytest.raises(KitaruUsageError, match="owners_lost_max=0"):
        KitaruClient().recover(owners_lost_max=0)

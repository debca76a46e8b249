"""Owners, fences, and a journal that fails: nothing recorded is lost, nobody writes over a successor."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import kitaru
from kitaru import FlowHandle, checkpoint, flow
from kitaru.errors import KitaruBackendError, KitaruJournalError, KitaruLeaseError, KitaruStateError
from kitaru.journal.records import EntryKind, Owner
from kitaru.runtime import lease
from kitaru.runtime.clock import Clock
from kitaru.runtime.kernel import Kernel

ran: list[Any] = []
world: dict[str, Any] = {}


@pytest.fixture(autouse=True)
def fresh_world() -> None:
    ran.clear()
    world.clear()


@checkpoint
def work(n: int) -> int:
    ran.append(n)
    if n in world:
        world[n]()
    return n


@flow
def four() -> list[int]:
    return [work(n) for n in range(4)]


def elsewhere(kernel: Kernel) -> Kernel:
    """A kernel as it would be on another host: same journal, another owner, no pid probe."""
    owner = dataclasses.replace(lease.this_owner(), host="elsewhere", boot="other")
    return Kernel(kernel.journal, kernel.codec, dict, owner=owner, lease_seconds=30)


def test_a_zombie_whose_lease_was_taken_writes_nothing(kernel: Kernel) -> None:
    """The owner sleeps through its lease; another host takes over and finishes; the sleeper wakes up."""
    asleep, taken = threading.Event(), threading.Event()

    def sleep() -> None:
        del world[1]
        asleep.set()
        taken.wait(20)

    world[1] = sleep
    handle = four.run()
    assert asleep.wait(10)
    other = elsewhere(kernel)
    with pytest.raises(KitaruLeaseError, match=f"{handle.exec_id} is running: process .* owns it"):
        other.resume(handle.exec_id)
    expire(kernel, handle.exec_id)
    winner = FlowHandle(other, handle.exec_id, other.resume(handle.exec_id))
    assert winner.wait(timeout=10) == [0, 1, 2, 3]
    before = kernel.journal.entries(handle.exec_id)
    taken.set()
    assert handle.wait(timeout=10) == [0, 1, 2, 3], "the loser's handle follows the winner through the journal"
    assert kernel.journal.entries(handle.exec_id) == before
    assert ran == [0, 1, 1, 2, 3]


def expire(kernel: Kernel, exec_id: str) -> None:
    """Let an execution's lease run out, as the passing of time would."""
    import apsw

    connection = apsw.Connection(kernel.journal.info()["path"])
    connection.set_busy_timeout(5000)
    connection.execute("UPDATE executions SET lease_expires_at = 1 WHERE exec_id = ?", (exec_id,))
    connection.close()


def test_a_dead_owner_on_this_host_is_noticed_at_once(kernel: Kernel) -> None:
    ghost = dataclasses.replace(lease.this_owner(), pid=2**22 + 1)
    gone = Kernel(kernel.journal, kernel.codec, dict, owner=ghost)
    launch = gone.create(four.spec, (), {})
    handle = FlowHandle(kernel, launch.record.exec_id)
    assert handle.status == "interrupted"
    with pytest.raises(KitaruStateError, match="is interrupted"):
        handle.wait(timeout=5)
    assert FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id)).wait() == [0, 1, 2, 3]


def test_an_owner_that_ends_its_execution_while_it_is_looked_at_is_not_taken_for_dead(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read as running, then it completes and its process exits, then the process is probed."""
    ghost = dataclasses.replace(lease.this_owner(), pid=2**22 + 1)
    launch = Kernel(kernel.journal, kernel.codec, dict, owner=ghost).create(four.spec, (), {})
    assert launch.run is not None
    alive = Kernel.alive

    def ends_first(self: Kernel, owner: Owner) -> bool | None:
        if kernel.journal.get(launch.record.exec_id).status == "running":
            assert launch.run is not None
            kernel.journal.finish(launch.run.lease, "completed", ended_at=1, result=kernel.encode("done"))
        return alive(self, owner)

    monkeypatch.setattr(Kernel, "alive", ends_first)
    assert FlowHandle(kernel, launch.record.exec_id).wait(timeout=5) == "done"


@pytest.mark.parametrize("change", [{"host": "h"}, {"boot": "b"}, {"pid_ns": "n"}, {"boot": ""}])
def test_a_pid_says_nothing_under_another_host_boot_or_namespace(change: dict[str, str]) -> None:
    here = lease.this_owner()
    assert lease.alive(here, here) is True
    assert lease.alive(dataclasses.replace(here, pid_start=here.pid_start + 1), here) is False
    assert lease.alive(dataclasses.replace(here, **change), here) is None  # type: ignore[arg-type]


def test_a_process_that_cannot_be_looked_at_is_not_taken_for_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """No file descriptor left, or a /proc that hides other users' processes: only the lease's end counts then."""
    here = lease.this_owner()
    assert lease.alive(dataclasses.replace(here, pid_start=0), here) is None
    parent = dataclasses.replace(here, pid=os.getppid(), pid_start=1)
    with monkeypatch.context() as patched:
        patched.setattr("builtins.open", _refuses)
        assert lease.alive(parent, here) is None
    assert lease.alive(parent, here) is False, "nothing was remembered of the failed look"


def _refuses(*_: Any) -> Any:
    raise OSError(24, "Too many open files")


def test_owner_identity_has_what_tells_processes_apart() -> None:
    here = lease.this_owner()
    assert isinstance(here, Owner)
    assert here.host
    assert here.pid_start


class Unreliable:
    """A journal whose appends fail for a while; the first failure may have been committed all the same."""

    def __init__(self, inner: Any, failures: int, *, committed: bool) -> None:
        self._inner = inner
        self._left = failures
        self._committed = committed
        self.refused: set[EntryKind] = set()

    def append(self, lease: Any, entries: Any) -> None:
        if self._left and any(entry.kind == EntryKind.COMPLETED for entry in entries):
            self._left -= 1
            self.refused |= {entry.kind for entry in entries if entry.kind != EntryKind.STARTED}
            if self._committed:
                self._inner.append(lease, entries)
            raise KitaruJournalError("the disk is full, or the connection broke")
        self._inner.append(lease, entries)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@pytest.mark.parametrize("committed", [False, True])
def test_a_failed_or_ambiguous_commit_is_sent_again_and_is_never_the_calls_failure(
    kernel: Kernel, committed: bool
) -> None:
    kernel.journal = Unreliable(kernel.journal, 2, committed=committed)  # type: ignore[assignment]
    handle = four.run()
    assert handle.wait(timeout=20) == [0, 1, 2, 3]
    assert ran == [0, 1, 2, 3]
    completed = [entry for entry in kernel.journal.entries(handle.exec_id) if entry.kind == EntryKind.COMPLETED]
    assert len(completed) == 4


@checkpoint
async def quick(number: int) -> int:
    await asyncio.sleep(0)  # both are on their way when the value and the note are made
    return number


@flow
async def buffering() -> Any:
    async def beside() -> int:
        kitaru.log(seen=True)
        return (kitaru.now() - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

    return await asyncio.gather(quick(1), quick(2), beside())


@pytest.mark.parametrize("committed", [False, True])
def test_what_was_buffered_outlives_a_group_that_is_refused(kernel: Kernel, committed: bool) -> None:
    """Two calls end in one turn of the loop; their commit takes a journaled value and a note along."""
    good = kernel.journal
    unreliable = Unreliable(good, 1, committed=committed)
    kernel.journal = unreliable  # type: ignore[assignment]
    handle = buffering.run()
    result = handle.wait(timeout=20)
    assert unreliable.refused == {EntryKind.VALUE, EntryKind.METADATA, EntryKind.COMPLETED}, "all in one group"
    kinds = sorted(entry.kind for entry in good.entries(handle.exec_id) if entry.kind != EntryKind.STARTED)
    assert kinds == [EntryKind.COMPLETED, EntryKind.COMPLETED, EntryKind.VALUE, EntryKind.METADATA]
    (value,) = [entry for entry in good.entries(handle.exec_id) if entry.kind == EntryKind.VALUE]
    assert value.started_at == result[2]


def test_journal_trouble_beyond_the_lease_leaves_the_execution_interrupted(kernel: Kernel) -> None:
    kernel.lease_seconds = 0.3
    good = kernel.journal
    bad = Unreliable(good, 10**6, committed=False)
    kernel.journal = bad  # type: ignore[assignment]
    handle = four.run()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait(timeout=20)
    kernel.journal, kernel.lease_seconds = good, 30
    deadline = time.monotonic() + 5
    while handle.status != "interrupted" and time.monotonic() < deadline:
        time.sleep(0.01)
    assert FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id)).wait() == [0, 1, 2, 3]


class Jumping(Clock):
    """Its elapsed time can be pushed forward: a laptop that slept."""

    ahead = 0.0

    def elapsed(self) -> float:
        return super().elapsed() + self.ahead


def test_an_owner_renews_before_a_body_when_its_lease_has_run_out(kernel: Kernel) -> None:
    clock = Jumping()
    kernel.clock = clock

    def jump() -> None:
        del world[1]
        clock.ahead = 3600

    world[1] = jump
    handle = four.run()
    assert handle.wait(timeout=10) == [0, 1, 2, 3]


class SleptWithin:
    """A journal whose owner is suspended for an hour right after ``method`` was answered, once."""

    def __init__(self, journal: Any, method: str, clock: Jumping) -> None:
        self._journal, self._method, self._clock = journal, method, clock
        self.renewed_late = 0

    def __getattr__(self, name: str) -> Any:
        answer = getattr(self._journal, name)

        def method(*args: Any, **kwargs: Any) -> Any:
            if name == "renew" and self._clock.ahead:
                self.renewed_late += 1
            given = answer(*args, **kwargs)
            if name == self._method and not self._clock.ahead:
                self._clock.ahead = 3600
            return given

        return method if callable(answer) else answer


@pytest.mark.parametrize("method", ["create", "claim", "renew"])
def test_a_lease_counts_from_before_it_was_asked_for(kernel: Kernel, method: str) -> None:
    """Whoever was stopped while it got its lease begins no body before the journal has confirmed it again."""
    clock = Jumping()
    kernel.clock = clock
    if method == "claim":
        world[0] = lambda: kernel.interrupt_all()
        handle = four.run()
        with pytest.raises(KitaruStateError, match="interrupted"):
            handle.wait(timeout=20)
        world.clear()
    journal = SleptWithin(kernel.journal, method, clock)
    kernel.journal = journal  # type: ignore[assignment]
    if method == "renew":
        world[1] = lambda: [run.renew() for run in kernel.runs.values()]
    seen: list[int] = []
    world[2] = lambda: seen.append(journal.renewed_late)
    run = kernel.resume(handle.exec_id) if method == "claim" else None
    result = (FlowHandle(kernel, handle.exec_id, run) if run else four.run()).wait(timeout=20)
    assert result == [0, 1, 2, 3]
    assert seen[0] >= 1, "the bodies behind the sleep began on a lease that nobody had confirmed"


def test_a_long_call_gets_a_start_record_while_it_runs(kernel: Kernel) -> None:
    seen = threading.Event()

    def wait_for_record() -> None:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if any(entry.kind == EntryKind.STARTED for entry in kernel.journal.entries(world["id"])):
                seen.set()
                return
            time.sleep(0.002)

    started = threading.Event()

    def body() -> None:
        started.wait(10)
        wait_for_record()

    world[2] = body
    handle = four.run()
    world["id"] = handle.exec_id
    started.set()
    handle.wait()
    assert seen.is_set()
    kinds = [entry.kind for entry in kernel.journal.entries(handle.exec_id) if entry.key == "work#1"]
    assert kinds == [EntryKind.COMPLETED], "a fast call costs one record"


class Flaky:
    """An artifact store that does not answer the first few times."""

    def __init__(self, inner: Any, failures: int) -> None:
        self._inner = inner
        self._left = failures

    def put(self, key: str, data: bytes, stack: str | None) -> str:
        if self._left:
            self._left -= 1
            raise KitaruBackendError("the bucket does not answer")
        ref: str = self._inner.put(key, data, stack)
        return ref

    def get(self, key: str) -> bytes:
        found: bytes = self._inner.get(key)
        return found


@checkpoint(retries=3)
def large(n: int) -> bytes:
    ran.append(n)
    return bytes(n)


@flow
def makes_large() -> bytes:
    return large(100_000)


def test_a_store_that_does_not_answer_is_waited_for_and_is_never_the_calls_failure(kernel: Kernel) -> None:
    store = kernel.values
    flaky = Flaky(store, 3)
    kernel.values = flaky
    assert makes_large.run().wait(timeout=20) == bytes(100_000)
    assert ran == [100_000]


def test_a_store_that_stays_away_leaves_the_execution_interrupted(kernel: Kernel) -> None:
    store = kernel.values
    away = Flaky(store, 10**6)
    kernel.lease_seconds = 0.3
    kernel.values = away
    handle = makes_large.run()
    with pytest.raises(KitaruStateError, match="interrupted"):
        handle.wait(timeout=20)
    kernel.values, kernel.lease_seconds = store, 30
    deadline = time.monotonic() + 5
    while handle.status != "interrupted" and time.monotonic() < deadline:
        time.sleep(0.01)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id))
    assert again.wait(timeout=20) == bytes(100_000)

"""Several owners of one execution: races for it, and owners that are stopped and wake up later."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import apsw
from tests.crash import battery, kernels, models
from tests.crash.oracle import Oracle
from tests.crash.processes import WAIT_SECONDS, Forks, Process
from tests.crash.worker import Order

from kitaru.journal.records import ExecutionQuery, ExecutionRecord

_LEASE_SECONDS = 0.4


def until(condition: Callable[[], object], what: str) -> None:
    """Look again and again, for a minute at most."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"still waiting for {what}"
        time.sleep(0.002)


def race(forks: Forks, directory: Path, processes: int, seed: int) -> None:
    """Kill an execution, let ``processes`` resume it at the same moment, and look who won."""
    with battery.reported(f"--shape line --race {processes} --seed {seed}", directory):
        model = models.line()
        oracle = Oracle(directory, model)
        point = random.Random(seed).randint(2, 12)
        killed = forks.run(Order(str(directory), "line", model.argument, crash=f"after:{point}"))
        assert killed.status == -signal.SIGKILL
        root = oracle.observe()
        assert root is not None
        racers = at_once(forks, directory, [Order(str(directory), "line", exec_id=root.exec_id)] * processes)
        answers = [racer.answer() for racer in racers]
        winners = [answer for answer in answers if "result" in answer]
        assert len(winners) == 1, f"{len(winners)} of {processes} ran it: {answers}"
        for answer in answers:
            if "error" in answer:
                assert answer["error"] in ("KitaruLeaseError", "KitaruStateError"), answer
                assert root.exec_id in answer["text"]
        assert len(_lines_by_pid(directory)) <= 2, "somebody without the lease ran a body"
        oracle.conclude()


def start_under_one_key(forks: Forks, directory: Path, shape: str, processes: int) -> None:
    """Start a flow under one idempotency key in ``processes`` at the same moment, and once more after its end."""
    with battery.reported(f"--shape {shape} --same-key {processes}", directory):
        model = models.SHAPES[shape]()
        order = Order(str(directory), shape, model.argument, key="order-1")
        answers = [process.answer() for process in at_once(forks, directory, [order] * processes)]
        assert len({answer.get("exec_id") for answer in answers}) == 1, answers
        assert len({answer.get("result") for answer in answers}) == 1, answers
        late = forks.run(Order(str(directory), shape, model.argument, key="order-1"))
        assert late.answer()["result"] == answers[0]["result"]
        oracle = Oracle(directory, model)
        oracle.conclude()
        expected = len(model.calls) + sum(model.failures.values())
        assert bodies(directory) == expected, "a body ran more than once"


def bodies(directory: Path) -> int:
    """How many bodies have run in a store."""
    return sum(json.loads(line)[0] == "run" for line in (directory / "effects").read_text().splitlines())


def at_once(forks: Forks, directory: Path, orders: list[Order]) -> list[Process]:
    """Start a process per order, let go of all of them at the same moment, and wait until they have ended well."""
    barrier = directory / "barrier"
    started = []
    for number, order in enumerate(orders):
        values = {**vars(order), "barrier": str(barrier), "answer": f"answer-{number}"}
        started.append(forks.start(Order(**values)))
    until(lambda: len(list(directory.glob("barrier.*"))) == len(orders), "everyone at the barrier")
    barrier.touch()
    assert [process.wait() for process in started] == [0] * len(orders)
    return started


class Owners:
    """Two owners on two pretended hosts, so that only an expired lease lets one follow the other."""

    def __init__(self, forks: Forks, directory: Path, shape: str, argument: int) -> None:
        self.forks = forks
        self.directory = directory
        self.shape = shape
        self.argument = argument

    def first(self) -> Process:
        """Start an execution under a short lease."""
        return self.forks.start(
            Order(str(self.directory), self.shape, self.argument, lease_seconds=_LEASE_SECONDS, host="a", answer="1")
        )

    def take_over(self, exec_id: str) -> Process:
        """Resume as often as it takes for the first owner's lease to expire; gives the process that got it."""
        deadline = time.monotonic() + WAIT_SECONDS
        order = Order(str(self.directory), self.shape, exec_id=exec_id, host="b", answer="2")
        while time.monotonic() < deadline:
            second = self.forks.start(order)
            until(lambda: second.ended.is_set() or self._second_has_it(exec_id), "a claim")
            if not second.ended.is_set() or "result" in second.answer():
                return second
            assert second.answer()["error"] == "KitaruLeaseError", second.answer()
            time.sleep(_LEASE_SECONDS / 4)
        raise AssertionError("the lease never expired")

    def written(self, fence: int = 1) -> list[tuple[object, ...]]:
        """What the owner with this fencing token wrote (the first one has 1), read past the journal's own reader."""
        address = kernels.address(self.directory)
        if address.startswith("postgres"):
            return _asked(address, "SELECT * FROM kitaru.entries WHERE fence = %s ORDER BY seq", fence)
        connection = apsw.Connection(str(self.directory / "kitaru.db"))
        connection.set_busy_timeout(5_000)
        found = connection.execute("SELECT * FROM entries WHERE fence = ? ORDER BY seq", (fence,)).fetchall()
        connection.close()
        return found

    def locked(self) -> bool:
        """Whether somebody is inside a write transaction, and stays there."""
        address = kernels.address(self.directory)
        if address.startswith("postgres"):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%%'"
            return bool(_asked(address, f"{waiting} AND datname = current_database() AND %s = 0", 0)[0][0])
        connection = apsw.Connection(str(self.directory / "kitaru.db"))
        connection.set_busy_timeout(200)
        try:
            connection.execute("BEGIN IMMEDIATE; ROLLBACK")
        except apsw.BusyError:
            return True
        finally:
            connection.close()
        return False

    def record(self) -> ExecutionRecord:
        """The only execution of the store."""
        journal = kernels.open_journal(self.directory)
        (record,) = journal.list(ExecutionQuery(), lambda owner: False)
        record = journal.get(record.exec_id)
        journal.close()
        return record

    def result(self) -> object:
        """What the execution returned."""
        journal = kernels.open_journal(self.directory)
        payload = journal.get(self.record().exec_id).result
        journal.close()
        assert payload is not None
        return kernels.decode(self.directory, payload)

    def begun(self, call: str, pid: int | None = None) -> bool:
        """Whether a body of this name has begun (in that process)."""
        lines = _lines_by_pid(self.directory)
        return any(line[1] == call for one in (lines if pid is None else [pid]) for line in lines.get(one, ()))

    def count(self, pid: int) -> int:
        """How many bodies a process began."""
        return sum(line[0] == "run" for line in _lines_by_pid(self.directory).get(pid, ()))

    def _second_has_it(self, exec_id: str) -> bool:
        journal = kernels.open_journal(self.directory)
        owner = journal.get(exec_id).owner
        journal.close()
        return owner is not None and owner.host == "b"


def _asked(address: str, statement: str, value: int) -> list[tuple[object, ...]]:
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        return connection.execute(statement, (value,)).fetchall()  # type: ignore[call-overload]


def stop_at_random(forks: Forks, directory: Path, seed: int) -> bool:
    """Stop an owner at a random moment, let another one finish, wake the first one up: it must write nothing.

    False: the execution had ended before it could be stopped.
    """
    with battery.reported(f"--shape gather --zombie --seed {seed}", directory):
        rng = random.Random(seed)
        model = models.gather(battery.LONG["gather"])
        owners = Owners(forks, directory, "gather", model.argument)
        zombie = owners.first()
        until(lambda: owners.begun("aadd"), "the first owner's body")
        zombie.ended.wait(rng.random() * 0.03)
        zombie.stop()
        while not zombie.ended.is_set() and owners.locked():
            # Stopped inside a transaction it holds SQLite's lock, and nobody can write: that is another story.
            zombie.signal(signal.SIGCONT)
            zombie.ended.wait(rng.random() * 0.002)
            zombie.stop()
        record = owners.record()
        if record.status != "running":
            zombie.signal(signal.SIGCONT)
            assert zombie.wait() == 0
            return False
        successor = owners.take_over(record.exec_id)
        assert successor.wait() == 0 and "result" in successor.answer()
        before, bodies = owners.written(), owners.count(zombie.pid)
        zombie.signal(signal.SIGCONT)
        assert zombie.wait() == 0
        assert owners.written() == before, "the zombie wrote"
        # A body that had passed its lease check when it was stopped leaves its line after it wakes up.
        assert owners.count(zombie.pid) <= bodies + 1, "the zombie began other bodies"
        assert model.check(owners.result())
        return True


def _lines_by_pid(directory: Path) -> dict[int, list[list[object]]]:
    path = directory / "effects"
    found: dict[int, list[list[object]]] = {}
    for text in path.read_text().splitlines() if path.exists() else ():
        line = json.loads(text)
        found.setdefault(line[5], []).append(line)
    return found

"""Killing and continuing: what the tests of the battery and ``python -m tests.crash.repeat`` share."""

from __future__ import annotations

import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.crash.models import SHAPES
from tests.crash.oracle import Oracle
from tests.crash.processes import Forks, Process
from tests.crash.worker import Order

#: More deaths than this in one round and the flow makes no progress.
DEATHS_MAX = 400

#: Sizes that give a process some time to be killed in.
LONG = {"line": 120, "fan": 30, "nested": 30, "gather": 24, "child": 12, "retry": 16, "mix": 24, "answered": 12}


@dataclass
class Tally:
    """What a run of the battery has done."""

    points: int = 0
    kills: int = 0

    def killed(self, *, point: bool = False) -> None:
        """Count one kill; ``point``: at the chosen write point of a fresh execution."""
        for tally in {id(self): self, id(total): total}.values():
            tally.kills += 1
            tally.points += point


#: Everything this process has done.
total = Tally()


@contextmanager
def reported(command: str, directory: Path) -> Iterator[None]:
    """Add to a failure the command that repeats it, and where its store is."""
    try:
        yield
    except BaseException as error:
        kept = Path(tempfile.mkdtemp(prefix="kitaru-crash-")) / "store"
        shutil.copytree(directory, kept)
        error.add_note(f"repeat with: python -m tests.crash.repeat {command}")
        error.add_note(f"the store at the time of the failure: {kept}")
        raise


def kill_at(forks: Forks, directory: Path, shape: str, side: str, point: int, seed: int, tally: Tally) -> bool:
    """Kill a fresh execution of ``shape`` at one write point, continue it to its end, compare with the model.

    Every other seed kills the continuing processes too, at random points. False: it survived, there is no such point.
    """
    with reported(f"--shape {shape} --side {side} --point {point} --seed {seed}", directory):
        model = SHAPES[shape]()
        oracle = Oracle(directory, model)
        rng = random.Random(f"{shape} {side} {point} {seed}")
        order = Order(str(directory), shape, model.argument, crash=f"{side}:{point}")
        died = _died(forks.run(order))
        if died:
            tally.killed(point=True)
        deaths = 0
        while died:
            root = oracle.observe()
            exec_id = root.exec_id if root is not None and root.status == "running" and rng.random() < 0.7 else None
            crash = None
            if seed % 2 and rng.random() < 0.6:
                crash = f"{rng.choice(('before', 'after'))}:{rng.randint(1, 6)}"
            order = Order(str(directory), shape, model.argument, exec_id=exec_id, crash=crash)
            again = _died(forks.run(order))
            if not again:
                oracle.conclude()
                return True
            tally.killed()
            deaths += 1
            assert deaths < DEATHS_MAX, "I4: it makes no progress"
        oracle.conclude()
        return False


def kill_at_random(forks: Forks, directory: Path, shape: str, seed: int, kills: int, tally: Tally) -> None:
    """Kill an execution ``kills`` times at random moments, from outside; then let it end, and compare."""
    with reported(f"--shape {shape} --random {kills} --seed {seed}", directory):
        model = SHAPES[shape](LONG[shape])
        oracle = Oracle(directory, model)
        rng = random.Random(f"{shape} {seed}")
        root = None
        for _ in range(kills):
            exec_id = root.exec_id if root is not None and rng.random() < 0.7 else None
            process = forks.start(Order(str(directory), shape, model.argument, exec_id=exec_id))
            process.ended.wait(0.002 + 0.04 * rng.random() ** 2)
            process.kill()
            if _died(process):
                tally.killed()
            root = oracle.observe()  # after every death: what it may cost is counted per process
            if root is not None and root.status == "completed":
                break
        assert not _died(forks.run(Order(str(directory), shape, model.argument)))
        oracle.conclude()


def _died(process: Process) -> bool:
    """Whether it was killed; a process that ended by itself must have ended well."""
    status = process.wait()
    if status == -signal.SIGKILL:
        return True
    answer = process.answer()
    assert status == 0 and "error" not in answer, f"I4: it was not killed, yet ended with {answer}"
    return False


def fresh(base: Path, name: str) -> Path:
    """An empty directory."""
    directory = base / f"{name}-{time.monotonic_ns()}"
    directory.mkdir(parents=True)
    return directory

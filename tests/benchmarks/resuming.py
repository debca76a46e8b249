"""Continuing: what a reused call costs, and how soon a resumed execution does something new."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.benchmarks import flows, kernels
from tests.benchmarks.measure import Row, Samples, scratch, timed

from kitaru.runtime.kernel import Kernel


def reused() -> Iterator[Row]:
    """Reused calls on resume, from the bulk query to the last reused value."""
    for count in (1_000, 10_000):
        ours, raw = Samples(), Samples()
        for _ in range(5):
            with scratch() as directory:
                exec_id = die_after(directory, count)
                with kernels.store(directory, "full") as kernel:
                    marks = _Marks(kernel)
                    flows.hooks["reused"] = marks.reused
                    kernels.resume(exec_id).wait()
                    del flows.hooks["reused"]
                ours.add((marks.end - marks.begun) / count)
                timed(raw, lambda: _read_raw(directory))
        yield Row(
            f"reused call, {count:,} recorded",
            "us",
            ours.median * 1e6,
            max(ours.values) * 1e6,
            10,
            "at most 10 us; p90 is the worst of 5",
            raw.median / count * 1e6,
            max(raw.values) / count * 1e6,
            "us: read, check digest, parse",
        )


class _Marks:
    """When the bulk query began, and when the flow had its last reused value."""

    def __init__(self, kernel: Kernel) -> None:
        self.begun = self.end = 0.0
        read = kernel.journal.entries

        def entries(*args: Any, **kwargs: Any) -> Any:
            self.begun = self.begun or time.perf_counter()
            return read(*args, **kwargs)

        kernel.journal.entries = entries  # type: ignore[method-assign]

    def reused(self, count: int) -> None:
        self.end = time.perf_counter()


def _read_raw(directory: Path) -> None:
    import apsw

    connection = apsw.Connection(str(directory / "kitaru.db"))
    for digest, data, inputs_digest, inputs in connection.execute(
        "SELECT digest, data, inputs_digest, inputs FROM entries WHERE data IS NOT NULL ORDER BY exec_no, seq"
    ):
        assert hashlib.sha256(data).digest() == digest
        json.loads(data)
    connection.close()


def die_after(directory: Path, count: int, report: str = "") -> str:
    """Run a process that records ``count`` calls and is killed then; gives the execution's id."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.resuming", str(directory), str(count), report],
        env={**os.environ, "KITARU_BENCH_DIE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == -9, done.stderr
    return done.stdout.strip()


def _die(directory: Path, count: int, report: str) -> None:
    with kernels.store(directory, "process"):
        handle = kernels.start(flows.recorded, count, report)
        print(handle.exec_id, flush=True)
        handle.wait()


if __name__ == "__main__":
    _die(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

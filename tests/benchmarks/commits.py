"""What a commit costs: sequential checkpoints, one-checkpoint flows, 20,000 checkpoints, large results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks import flows, kernels
from tests.benchmarks.measure import RawStore, Row, Samples, scratch, timed

_CALLS = {"full": 1_500, "process": 6_000}
_BLOCK = 25  # calls between two blocks of raw commits: the disk drifts, so both are measured at the same time


def sequential(durability: str) -> Iterator[Row]:
    """One checkpoint after another; raw commits in between."""
    with scratch() as directory, kernels.store(directory, durability) as kernel:
        warm = kernels.start(flows.one, flows.ARGUMENT)
        warm.wait()
        raw_store = RawStore(directory, durability, kernels.row_bytes(kernel, warm.exec_id))
        ours, raw = Samples(), Samples()

        def measured(number: int) -> None:
            timed(ours, lambda: flows.small(flows.ARGUMENT))
            if number % _BLOCK == 0:
                raw_store.timed(raw, _BLOCK)

        flows.hooks["sequential"] = measured
        kernels.start(flows.sequential, _CALLS[durability]).wait()
        raw_store.close()
    if durability == "full":
        bar, rule = max(1.4 * raw.median, raw.median + 60e-6), "max(1.4 x raw, raw + 60 us)"
    else:
        bar, rule = max(60e-6, 3 * raw.median), "max(60 us, 3 x raw)"
    yield Row(
        f"sequential checkpoint, {durability}",
        "us",
        ours.median * 1e6,
        ours.p90 * 1e6,
        bar * 1e6,
        rule,
        raw.median * 1e6,
        raw.p90 * 1e6,
        "us per commit",
    )


def one_checkpoint_flow() -> Iterator[Row]:
    """A flow of one checkpoint, run and awaited."""
    with scratch() as directory, kernels.store(directory, "full") as kernel:
        warm = kernels.start(flows.one, flows.ARGUMENT)
        warm.wait()
        raw_store = RawStore(directory, "full", kernels.row_bytes(kernel, warm.exec_id))
        ours, raw = Samples(), Samples()
        for _ in range(300):
            timed(ours, lambda: kernels.start(flows.one, flows.ARGUMENT).wait())
            raw_store.timed(raw, 5)
        raw_store.close()
    yield Row(
        "one-checkpoint flow, full",
        "us",
        ours.median * 1e6,
        ours.p90 * 1e6,
        5 * raw.median * 1e6,
        "5 x raw",
        raw.median * 1e6,
        raw.p90 * 1e6,
        "us per commit",
    )


def large_results() -> Iterator[Row]:
    """50 results of 1 MB."""
    with scratch() as directory, kernels.store(directory, "process"):
        kernels.start(flows.one, flows.ARGUMENT).wait()
        ours, raw = Samples(), Samples()
        flows.hooks["large"] = lambda microseconds: ours.add(50 / (microseconds / 1e6))
        for turn in range(5):
            kernels.start(flows.large_results, 50).wait()
            begun = time.perf_counter()
            for number in range(50):
                path = directory / f"raw-{turn}-{number}"
                path.write_bytes(number.to_bytes(4, "big") * 250_000)
            raw.add(50 / (time.perf_counter() - begun))
            # Equal content is stored once: the next turn must write again.
            for file in (directory / "artifacts").rglob("*"):
                if file.is_file():
                    file.unlink()
    yield Row(
        "50 results of 1 MB, process",
        "MB/s",
        ours.median,
        min(ours.values),
        300,
        "at least 300 MB/s; p90 is the worst of 5",
        raw.median,
        min(raw.values),
        "MB/s plain files",
        at_least=True,
    )


def many() -> Iterator[Row]:
    """20,000 checkpoints in one flow, in a process of its own for its memory's sake."""
    with scratch() as directory:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.commits", str(directory)],
            check=True,
            capture_output=True,
            text=True,
        )
    found = json.loads(done.stdout)
    yield Row(
        "20,000 checkpoints: last 2,000",
        "us",
        found["last"],
        found["last_p90"],
        1.15 * found["first"],
        "flat: within 15% of the first 2,000",
        found["first"],
        found["first_p90"],
        "us, first 2,000",
    )
    yield Row("20,000 checkpoints: memory growth", "bytes", found["growth"], None, 1024, "below 1 KB per checkpoint")


def _many(directory: Path) -> dict[str, float]:
    ours = Samples()
    resident: dict[int, int] = {}

    def measured(number: int) -> None:
        timed(ours, lambda: flows.numbered(f"{number:0100}"))
        if number in (2_000, 19_999):
            resident[number] = _resident_bytes()

    flows.hooks["sequential"] = measured
    with kernels.store(directory, "process"):
        kernels.start(flows.sequential, 20_000).wait()
    first, last = Samples(ours.values[100:2_000]), Samples(ours.values[-2_000:])
    return {
        "first": first.median * 1e6,
        "first_p90": first.p90 * 1e6,
        "last": last.median * 1e6,
        "last_p90": last.p90 * 1e6,
        "growth": (resident[19_999] - resident[2_000]) / 18_000,
    }


def _resident_bytes() -> int:
    import resource

    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes, the highest so far


if __name__ == "__main__":
    print(json.dumps(_many(Path(sys.argv[1]))))

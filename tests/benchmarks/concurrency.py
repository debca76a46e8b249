"""200 checkpoints of 20 ms at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.benchmarks import flows, kernels
from tests.benchmarks.measure import RawStore, Row, Samples, scratch

from kitaru.flows import FlowDefinition


def concurrent() -> Iterator[Row]:
    """``asyncio.gather`` over async checkpoints, and ``.submit`` with a pool of 200."""
    yield _measure("200 x 20 ms, async gather", "together", flows.together)
    yield _measure("200 x 20 ms, .submit", "submitted", flows.submitted)


def _measure(figure: str, hook: str, flow: FlowDefinition[Any, Any]) -> Row:
    ours, raw = Samples(), Samples()
    flows.hooks[hook] = lambda microseconds: ours.add(microseconds / 1e6)
    with scratch() as directory, kernels.store(directory, "full"):
        raw_store = RawStore(directory, "full", 500)
        kernels.start(flow, 20).wait()
        ours.values.clear()
        for _ in range(15):
            kernels.start(flow, 200).wait()
            raw_store.timed(raw, 20)
        raw_store.close()
    return Row(
        figure,
        "ms",
        ours.median * 1e3,
        ours.p90 * 1e3,
        80,
        "at most 80 ms; full",
        raw.median * 1e3,
        raw.p90 * 1e3,
        "ms per commit",
    )

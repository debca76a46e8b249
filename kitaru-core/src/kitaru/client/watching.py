"""Looking at an execution while it runs: its status, and the calls that changed since the last look."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kitaru.journal.records import ExecutionRecord, WaitRecord
from kitaru.runtime import outcome
from kitaru.statuses import ExecutionStatus
from kitaru.timeline import FoldedCall, Timeline

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel

_FIRST_PAUSE_SECONDS = 0.005
DRIVEN = (ExecutionStatus.RUNNING, ExecutionStatus.PENDING)


@dataclass(slots=True)
class Progress:
    """One look. ``changed`` holds the calls with news since the previous look, ``timeline`` all of them.

    ``asked``: waits that were opened since the previous look, of the execution or of its children.
    """

    status: ExecutionStatus
    record: ExecutionRecord
    timeline: Timeline
    changed: list[FoldedCall]
    asked: list[WaitRecord]

    @property
    def last(self) -> bool:
        """Whether nobody drives the execution any more."""
        return self.status not in DRIVEN


def watch(kernel: Kernel, exec_id: str, interval: float) -> Iterator[Progress]:
    """See ``Executions.watch``."""
    timeline = Timeline()
    pause = min(interval, _FIRST_PAUSE_SECONDS)
    known: set[str] = set()
    while True:
        # The record first: an execution that is over has no entries after those that are read now.
        record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
        changed = timeline.add(kernel.journal.entries(exec_id, after=timeline.seq))
        asked = []
        if record.open_waits or timeline.children:
            asked = [wait for wait in outcome.asked_for(kernel, record) if wait.wait_id not in known]
            known.update(wait.wait_id for wait in asked)
        progress = Progress(status, record, timeline, changed, asked)
        yield progress
        if progress.last:
            return
        time.sleep(pause)
        pause = min(interval, pause * 2)  # a flow that ends at once is not kept waiting for a whole interval

"""Checks of open executions against the code as it is now, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from kitaru.errors import KitaruRuntimeError, KitaruStateError, KitaruTimeoutError, KitaruUsageError
from kitaru.journal.records import ExecutionRecord
from kitaru.runtime import outcome
from kitaru.runtime.history import fold_calls
from kitaru.runtime.replay import invocation_ids
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.models import CheckReport
    from kitaru.runtime.kernel import Kernel

#: Statuses of executions that somebody may still continue without being asked twice: what `kitaru check` looks at.
OPEN = (ExecutionStatus.INTERRUPTED, ExecutionStatus.WAITING, ExecutionStatus.FAILED, ExecutionStatus.PENDING)
TIMEOUT_SECONDS = 60.0
_SAID_MAX = 2_000


def check(kernel: Kernel, exec_id: str, timeout: float) -> CheckReport:
    """Check one execution in a process of its own; see ``Executions.check``.

    A process may stand in for one script and one state of each module only, a flow's code may change what it likes in
    it, and this process may hold older code than the files do.
    """
    from kitaru.models import CheckReport

    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise KitaruUsageError(f"timeout={timeout!r}: must be a number of seconds above 0.")
    _require_unfinished(kernel, exec_id)
    if kernel.journal.url.startswith("memory:"):  # no other process can read it
        return check_here(kernel, exec_id)
    environment = {**os.environ, "KITARU_JOURNAL_URL": kernel.journal.address}
    command = [sys.executable, "-P", "-m", "kitaru.client.check_worker", exec_id]
    try:
        done = subprocess.run(command, capture_output=True, timeout=timeout, env=environment, check=False)
    except subprocess.TimeoutExpired as error:
        raise KitaruTimeoutError(
            f"the check of execution {exec_id} was not done within {timeout} s: its flow's own code, which runs for "
            "it, takes longer. Give it more with timeout= (`kitaru check --timeout`)."
        ) from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()[-_SAID_MAX:]
        raise KitaruRuntimeError(
            f"the process that checked execution {exec_id} ended with exit code {done.returncode} before it could say "
            f"what it found: {said or 'it said nothing'}"
        )
    return CheckReport.model_validate_json(done.stdout)


def check_here(kernel: Kernel, exec_id: str) -> CheckReport:
    """Check one execution in this process."""
    from kitaru.models import CheckDifference, CheckReport
    from kitaru.runtime.dry_run import dry_run

    record, status = _require_unfinished(kernel, exec_id)
    found = dry_run(kernel, record)
    place = found.place
    if found.key is not None:
        names = invocation_ids(fold_calls(kernel.journal.entries(exec_id)))
        place = names.get(found.key, found.key)
    return CheckReport(
        exec_id=exec_id,
        flow_name=record.flow_name,
        status=status,
        verdict=found.verdict,
        message=found.message,
        place=place,
        differences=[
            CheckDifference(argument=one.argument, recorded=one.recorded, now=one.now) for one in found.differences
        ],
    )


def _require_unfinished(kernel: Kernel, exec_id: str) -> tuple[ExecutionRecord, ExecutionStatus]:
    record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    if status is ExecutionStatus.COMPLETED:
        raise KitaruStateError(f"execution {exec_id} is completed: nothing of it would run again.")
    return record, status

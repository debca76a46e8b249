"""The demo as it happens: a worker process, its end by SIGKILL, and a second process that continues."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from kitaru.client.watching import Progress
from kitaru.errors import KitaruRuntimeError, KitaruUsageError
from kitaru.statuses import CallStatus, ExecutionStatus

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.demo.flow import Folder
    from kitaru.models import CheckpointCall, Execution

TARGET = "kitaru.demo.flow:research"
#: The call that takes time, and so the one to be killed in.
_SLOW = "extract"
_AT_ONCE = 4  # `max_concurrency` of the flow
_START_SECONDS_MAX = 60.0
_POLL_SECONDS = 0.02

Tell = Callable[[Progress], None]


@dataclass(slots=True)
class Row:
    """One call in the timeline: ``fate`` is ``reused``, ``ran`` or ``ran again`` (it was cut off by the kill)."""

    call: str
    fate: str
    seconds: float
    started: float  # seconds since the execution began
    process: int  # 1 before the kill, 2 after it


@dataclass(slots=True)
class Story:
    """What happened. ``saved_seconds`` is what the reused calls took, and did not take again."""

    exec_id: str
    killed_pid: int
    status_after_kill: str
    resumed_pid: int
    status: str
    report: str
    rows: list[Row] = field(default_factory=list)

    @property
    def reused(self) -> list[Row]:
        return [row for row in self.rows if row.fate == "reused"]

    @property
    def saved_seconds(self) -> float:
        return sum(row.seconds for row in self.reused)


def start_worker(arguments: list[str]) -> subprocess.Popen[bytes]:
    """A process of its own that drives an execution through the command line, as a user would."""
    command = [sys.executable, "-P", "-m", "kitaru.cli.main", *arguments, "--output", "json"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def wait_for_execution(client: KitaruClient, key: str, worker: subprocess.Popen[bytes]) -> str:
    """The id of the execution that the worker creates under an idempotency key.

    Raises KitaruRuntimeError with what the worker said when it ends, or does not start in time.
    """
    deadline = time.monotonic() + _START_SECONDS_MAX
    while time.monotonic() < deadline:
        exec_id = client.executions.find("research", key)
        if exec_id is not None:
            return exec_id
        if worker.poll() is not None:
            raise KitaruRuntimeError(f"the demo's worker process ended before its flow began: {_said(worker)}")
        time.sleep(_POLL_SECONDS)
    worker.kill()
    raise KitaruRuntimeError(f"the demo's worker process did not start its flow within {_START_SECONDS_MAX:.0f} s.")


def kill_part_way(client: KitaruClient, exec_id: str, worker: subprocess.Popen[bytes], files: int, tell: Tell) -> None:
    """SIGKILL the worker while it extracts, once half of the files are done (few files: as soon as it extracts).

    Raises KitaruRuntimeError when its flow ends before that.
    """
    enough = files // 2 if files > _AT_ONCE else 0
    for look in client.executions.watch(exec_id, interval=_POLL_SECONDS):
        tell(look)
        slow = [call.status for call in look.timeline.calls.values() if call.name == _SLOW]
        if slow.count(CallStatus.COMPLETED) >= enough and CallStatus.RUNNING in slow and not look.last:
            worker.kill()
            worker.communicate()
            return
    raise KitaruRuntimeError(f"the demo's flow ended before it could be killed: {_said(worker)}")


def resume(client: KitaruClient, exec_id: str, tell: Tell) -> tuple[int, Execution]:
    """Continue the execution in a new process, to its end; gives that process's id and the last snapshot."""
    worker = start_worker(["executions", "resume", exec_id])
    while client.executions.status(exec_id) is ExecutionStatus.INTERRUPTED and worker.poll() is None:
        time.sleep(_POLL_SECONDS)
    for look in client.executions.watch(exec_id, interval=_POLL_SECONDS):
        tell(look)
    said = _said(worker)
    execution = client.executions.get(exec_id)
    if execution.status is not ExecutionStatus.COMPLETED:
        raise KitaruRuntimeError(f"the demo's execution {exec_id} is {execution.status}: {said}")
    return worker.pid, execution


def rows(before: Execution, after: Execution) -> list[Row]:
    """The timeline, read from the journal: what the second process reused is what it did not run."""
    recorded = {call.call_id: call for call in before.checkpoints}
    origin = after.started_at
    found = []
    for call in after.checkpoints:
        earlier = recorded.get(call.call_id)
        if earlier is not None and earlier.status is CallStatus.COMPLETED and earlier.ended_at == call.ended_at:
            fate, process = "reused", 1
        else:
            fate, process = ("ran" if earlier is None else "ran again"), 2
        begun = (
            (call.started_at - origin).total_seconds() if call.started_at is not None and origin is not None else 0.0
        )
        found.append(Row(call.invocation_id, fate, _seconds(call), begun, process))
    return found


def check_folder(folder: str | None) -> Folder:
    """What there is to read. Raises KitaruUsageError when there are none."""
    from kitaru.demo.flow import find_files

    try:
        found = find_files(folder)
    except OSError as error:
        raise KitaruUsageError(f"the demo cannot read that folder: {error}") from error
    if not found.files:
        reasons = "; ".join(f"{Path(path).name}: {reason}" for path, reason in list(found.skipped.items())[:3])
        raise KitaruUsageError(
            f"there is no text file to read in {folder or 'the standard library of this Python'}"
            f"{f' ({reasons})' if reasons else ''}. Name a folder with text files: kitaru demo FOLDER."
        )
    return found


def _seconds(call: CheckpointCall) -> float:
    if call.started_at is None or call.ended_at is None:
        return 0.0
    return (call.ended_at - call.started_at).total_seconds()


def _said(worker: subprocess.Popen[bytes]) -> str:
    """What a worker wrote to stderr, after its end."""
    _, stderr = worker.communicate()
    return (stderr or b"").decode(errors="replace").strip()

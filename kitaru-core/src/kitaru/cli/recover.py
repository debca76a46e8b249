"""``kitaru recover``: continue what nobody drives any more."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, exit_with_error, guarded, output_option, print_event, print_items
from kitaru.errors import KitaruUsageError
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.client import KitaruClient

_PAUSE_SECONDS = 0.1
_PARALLEL_MAX = 8
#: An execution that could not be continued is left alone for this long: its code may be put right meanwhile.
_REFUSED_SECONDS = 60.0
# Exit codes of a worker, beside 0 (driven to an end) and what a killed process has.
SKIPPED, REFUSED, PARKED, HANDED_OVER = 10, 11, 12, 13


@click.command()
@click.option("--watch", is_flag=True, help="Keep looking, until Ctrl-C.")
@click.option("--interval", type=float, default=2.0, show_default=True, help="Seconds between two looks of --watch.")
@click.option("--max-parallel", type=int, default=_PARALLEL_MAX, show_default=True, help="Executions driven at once.")
@output_option
def recover(watch: bool, interval: float, max_parallel: int, output: str) -> None:
    """Continue executions whose process is gone, and suspended ones whose timer is due.

    Each one is driven by a process of its own, so that a flow that crashes takes no other one with it; one that has
    taken too many processes down is parked as `failed` (`executions retry` continues it). What another process is
    faster to take is skipped. Without --watch the command ends when all have ended, with exit code 1 if one of them
    failed or could not be continued.
    """
    rounds = guarded("recover", output, lambda: _Recovering.checked(interval, max_parallel, output, watch))
    before = {number: signal.signal(number, rounds.stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        guarded("recover", output, lambda: rounds.go(interval))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    rounds.report()


@dataclass
class _Recovering:
    """The recovery in progress: worker processes by execution id, and what became of each execution."""

    client: KitaruClient
    output: str
    parallel_max: int
    watch: bool
    workers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ended: list[dict[str, Any]] = field(default_factory=list)
    retry_at: dict[str, float] = field(default_factory=dict)
    stopping: bool = False

    @classmethod
    def checked(cls, interval: float, parallel_max: int, output: str, watch: bool) -> _Recovering:
        from kitaru.client import KitaruClient

        if not interval > 0:
            raise KitaruUsageError(f"--interval must be above 0; got {interval}.")
        if parallel_max < 1:
            raise KitaruUsageError(f"--max-parallel must be 1 or more; got {parallel_max}.")
        return cls(KitaruClient(), output, parallel_max, watch)

    def go(self, interval: float) -> None:
        """Work off what is due now; with ``--watch`` look again every ``interval`` seconds until stopped."""
        todo = self.client.recoverable()
        look_at = time.monotonic() + interval
        while not self.stopping and (todo or self.workers or self.watch):
            todo = [one for one in todo if not self._start(one)]
            self._reap()
            if self.watch and time.monotonic() >= look_at:
                todo = self.client.recoverable()
                look_at = time.monotonic() + interval
            time.sleep(_PAUSE_SECONDS)
        while self.workers:  # stopped: they got the signal too, and let go at their next checkpoint
            self._reap()
            time.sleep(_PAUSE_SECONDS)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """Pass the first signal on to the workers and wait for them; a second one kills them."""
        for worker in list(self.workers.values()):
            if self.stopping:
                worker.kill()
            else:
                worker.send_signal(signal.SIGINT)
        self.stopping = True

    def _start(self, exec_id: str) -> bool:
        """Start a worker for an execution; False when it has to wait for a free place."""
        if exec_id in self.workers or time.monotonic() < self.retry_at.get(exec_id, 0.0):
            return True
        if len(self.workers) >= self.parallel_max:
            return False
        command = [sys.executable, "-P", "-m", "kitaru.cli.recover_worker", exec_id]
        # A session of its own: Ctrl-C on the terminal reaches workers once, through `stop`. What flows print goes to
        # our stderr (and to their logs); the worker's stdout is its last word.
        worker = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        self.workers[exec_id] = worker
        return True

    def _reap(self) -> None:
        for exec_id, worker in list(self.workers.items()):
            if worker.poll() is None:
                continue
            del self.workers[exec_id]
            assert worker.stdout is not None
            said = worker.stdout.read().decode(errors="replace").strip()
            worker.stdout.close()
            self._note(exec_id, worker.returncode, said)

    def _note(self, exec_id: str, code: int, said: str) -> None:
        status = self.client.executions.status(exec_id)
        result = "resumed"
        if code == SKIPPED:
            result = "skipped"
        elif code == REFUSED:
            result = "refused"
            self.retry_at[exec_id] = time.monotonic() + _REFUSED_SECONDS
        elif code == PARKED:
            result = "parked"
        elif code == HANDED_OVER:
            result = "started"  # by its stack's orchestrator, in another place: nobody waits for it here
        elif status is ExecutionStatus.INTERRUPTED and not self.stopping:
            result = "lost"  # the worker died: the next look tries again, until the execution is parked
        reason = said or None
        row = {"exec_id": exec_id, "result": result, "status": status.value, "reason": reason}
        if not self.watch:
            self.ended.append(row)
        elif self.output == "json":
            print_event("recover", result, row)
        if self.output == "text":
            click.echo(f"  {result:<8} {exec_id}  {status.value}" + (f"  {clean(reason)}" if reason else ""))

    def report(self) -> None:
        """The last word, and the exit code. With ``--watch`` there is no end to report: JSON came as one event each."""
        if self.output == "json" and not self.watch:
            print_items("recover", self.ended)
        elif not self.ended and not self.watch:
            click.echo("Nothing to recover.")
        if self.stopping:
            exit_with_error("recover", "Interrupted.", output=self.output, error_type="KeyboardInterrupt", code=130)
        bad = [row for row in self.ended if row["result"] in ("refused", "lost", "parked") or row["status"] == "failed"]
        if bad:
            raise SystemExit(1)

"""The battery's side of :mod:`tests.crash.worker`: start processes, kill them, hear how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from tests.crash.worker import Order, encode

ROOT = Path(__file__).resolve().parents[2]
WAIT_SECONDS = 60.0


class Process:
    """One process that performs an order."""

    def __init__(self, order: Order, pid: int) -> None:
        self.order = order
        self.pid = pid
        self.status: int | None = None
        self.ended = threading.Event()

    def wait(self, timeout: float = WAIT_SECONDS) -> int:
        """Its exit status; negative: the signal that killed it."""
        if not self.ended.wait(timeout):
            self.kill()
            raise AssertionError(f"the process was stuck for {timeout} s: {self.order}")
        assert self.status is not None
        return self.status

    def signal(self, number: int) -> None:
        """Send a signal, if it is still there."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def stop(self) -> None:
        """Stop it (SIGSTOP), and return when it stands still: the signal alone only says that it is to."""
        self.signal(signal.SIGSTOP)
        deadline = time.monotonic() + WAIT_SECONDS
        while not self.ended.is_set() and any(state not in "TXZ" for state in _thread_states(self.pid)):
            assert time.monotonic() < deadline, "it does not stop"

    def kill(self) -> None:
        self.signal(signal.SIGKILL)

    def answer(self) -> dict[str, Any]:
        """What it left behind when it was done."""
        found: dict[str, Any] = json.loads((Path(self.order.directory) / self.order.answer).read_text())
        assert "crashed" not in found, found["crashed"]
        return found


def _thread_states(pid: int) -> list[str]:
    """The state letters of a process's threads; none when it is gone."""
    states = []
    for task in Path(f"/proc/{pid}/task").glob("*/stat"):
        with contextlib.suppress(OSError):
            states.append(task.read_text().rpartition(")")[2].split()[0])
    return states


class Forks:
    """A fork server of its own process. Processes are started one after another, from one thread."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.crash.worker"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._started: list[Process] = []
        self._waiting: list[Process] = []
        self._known: dict[int, Process] = {}
        self._changed = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def start(self, order: Order) -> Process:
        process = Process(order, 0)
        (Path(order.directory) / order.answer).unlink(missing_ok=True)
        assert self._server.stdin is not None
        with self._changed:
            self._waiting.append(process)
            self._server.stdin.write(encode(order).encode() + b"\n")
            self._server.stdin.flush()
            assert self._changed.wait_for(lambda: process.pid != 0, WAIT_SECONDS), "the fork server does not answer"
        return process

    def run(self, order: Order) -> Process:
        """Start and wait for the end."""
        process = self.start(order)
        process.wait()
        return process

    def close(self) -> None:
        for process in list(self._known.values()):
            process.kill()
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(WAIT_SECONDS)
        self._listener.join(WAIT_SECONDS)
        self._server.stdout.close()

    def _listen(self) -> None:
        assert self._server.stdout is not None
        for line in self._server.stdout:
            message = json.loads(line)
            with self._changed:
                if "status" in message:
                    ended = self._known.pop(message["pid"])
                    ended.status = message["status"]
                    ended.ended.set()
                else:
                    begun = self._waiting.pop(0)
                    begun.pid = message["pid"]
                    self._known[begun.pid] = begun
                    self._changed.notify_all()

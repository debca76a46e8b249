"""Acme's orchestrator: every execution, and every isolated call, in a process of its own."""

import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator
from typing import BinaryIO

from kitaru.errors import KitaruBackendError
from kitaru.stack.components import IsolatedCall, OrchestratorCapability, OrchestratorStatus

_EXECUTION = """
import sys; from kitaru.stack import start_execution; start_execution(sys.argv[1], journal_url=sys.argv[2])
"""
_CALL = """
import sys; from kitaru.stack import serve_call
with open(sys.argv[1], "rb") as request: answer = serve_call(request.read())
with open(sys.argv[2] + ".partial", "wb") as file: file.write(answer)
import os; os.rename(sys.argv[2] + ".partial", sys.argv[2])
"""


class AcmeOrchestrator:
    def __init__(self, config: None) -> None:
        self.processes: dict[str, list[subprocess.Popen[bytes]]] = {}
        self._printed: dict[str, int] = {}

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        return frozenset({OrchestratorCapability.ISOLATED})

    def start(self, exec_id: str, *, journal_url: str) -> None:
        if exec_id not in self._printed:
            descriptor, path = tempfile.mkstemp()
            os.unlink(path)
            self._printed[exec_id] = descriptor
            weakref.finalize(self, os.close, descriptor)
        command = [sys.executable, "-c", _EXECUTION, exec_id, journal_url]
        printed = self._printed[exec_id]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=printed, stderr=printed)
        self.processes.setdefault(exec_id, []).append(process)

    def status(self, exec_id: str) -> OrchestratorStatus:
        if exec_id not in self.processes:
            return OrchestratorStatus.UNKNOWN
        code = self.processes[exec_id][-1].poll()
        if code is None:
            return OrchestratorStatus.RUNNING
        return OrchestratorStatus.COMPLETED if code == 0 else OrchestratorStatus.FAILED

    def cancel(self, exec_id: str) -> None:
        for process in self.processes.get(exec_id, ()):
            process.kill()
            process.wait()

    def logs(self, exec_id: str) -> Iterator[str]:
        printed = self._printed.get(exec_id)
        if printed is not None:
            # Not by seeking: the process writes on at the place where this file stands.
            text = os.pread(printed, os.fstat(printed).st_size, 0)
            yield from text.decode(errors="replace").splitlines()

    def run_call(self, call: IsolatedCall) -> bytes | None:
        with tempfile.TemporaryDirectory() as folder:
            request, answer = os.path.join(folder, "request"), os.path.join(folder, "answer")
            with open(request, "wb") as file:
                file.write(call.request)
            process = subprocess.Popen(
                [sys.executable, "-c", _CALL, request, answer],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
            readers = [
                threading.Thread(target=_tell, args=(call, "stdout", process.stdout)),
                threading.Thread(target=_tell, args=(call, "stderr", process.stderr)),
            ]
            for reader in readers:
                reader.start()
            stopped = False
            while not stopped and process.poll() is None:
                stopped = call.stopped()
                try:
                    process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            if stopped:
                process.kill()
            process.wait()
            for reader in readers:
                reader.join()
            if stopped:
                return None
            if not os.path.exists(answer):
                raise KitaruBackendError(f"Acme's process died with {process.returncode} before it had a result.")
            with open(answer, "rb") as file:
                return file.read()


def _tell(call: IsolatedCall, stream: str, source: BinaryIO) -> None:
    with source:
        for line in source:
            call.output(stream, line.decode(errors="replace"))

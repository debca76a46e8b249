"""Acme's orchestrator: every execution in a process of its own."""

import subprocess
import sys
from collections.abc import Iterator

from kitaru.stack.components import OrchestratorCapability, OrchestratorStatus

_CODE = "import sys; from kitaru.stack import start_execution; start_execution(sys.argv[1], journal_url=sys.argv[2])"


class AcmeOrchestrator:
    def __init__(self, config: None) -> None:
        self.processes: dict[str, list[subprocess.Popen[bytes]]] = {}

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        return frozenset()

    def start(self, exec_id: str, *, journal_url: str) -> None:
        command = [sys.executable, "-c", _CODE, exec_id, journal_url]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
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
            process.terminate()

    def logs(self, exec_id: str) -> Iterator[str]:
        return iter(())

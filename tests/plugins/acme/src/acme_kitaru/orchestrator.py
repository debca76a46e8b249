"""Acme's orchestrator: every execution in a process of its own."""

import subprocess
import sys

from kitaru.stack.components import OrchestratorCapability

_CODE = "import sys; from kitaru.stack import start_execution; start_execution(sys.argv[1], journal_url=sys.argv[2])"


class AcmeOrchestrator:
    def __init__(self, config: None) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        return frozenset()

    def start(self, exec_id: str, *, journal_url: str) -> None:
        command = [sys.executable, "-c", _CODE, exec_id, journal_url]
        self.processes.append(subprocess.Popen(command, stderr=subprocess.DEVNULL))

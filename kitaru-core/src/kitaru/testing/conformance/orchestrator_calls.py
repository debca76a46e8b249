"""What every orchestrator that runs single calls must do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kitaru.errors import KitaruBackendError
from kitaru.runtime.kernel import Kernel
from kitaru.runtime.run import Run
from kitaru.stack.components import IsolatedCall, IsolatingOrchestrator, Orchestrator, OrchestratorCapability
from kitaru.testing.conformance import sample_flow

_END_SECONDS = 60.0
_LARGE_BYTES = 20 << 20


class _Calls:
    """Stands in for a stack: hands isolated calls to the orchestrator under test, and keeps what they were."""

    def __init__(self, orchestrator: IsolatingOrchestrator) -> None:
        self._orchestrator = orchestrator
        self.calls: list[IsolatedCall] = []
        self.printed: list[tuple[str, str]] = []

    def require(self, record: Any) -> None: ...

    def elsewhere(self, record: Any) -> bool:  # noqa: ARG002
        return False

    def start(self, record: Any) -> None: ...

    def starting(self, record: Any) -> bool:  # noqa: ARG002
        return False

    def require_isolation(self, record: Any, name: str) -> None: ...

    def run_call(
        self,
        record: Any,
        call_id: str,
        name: str,
        request: bytes,
        output: Callable[[str, str], None],
        stopped: Callable[[], bool],
    ) -> bytes | None:
        def told(stream: str, text: str) -> None:
            self.printed.append((stream, text))
            output(stream, text)

        call = IsolatedCall(record.exec_id, call_id, name, request, told, stopped)
        self.calls.append(call)
        return self._orchestrator.run_call(call)


class OrchestratorCalls:
    """Part of ``OrchestratorConformance``."""

    @pytest.fixture
    def calls(self, orchestrator: Orchestrator, conformance_kernel: Kernel) -> _Calls:
        """The orchestrator under test, where flows of this test have their isolated calls run."""
        if OrchestratorCapability.ISOLATED not in orchestrator.capabilities:
            pytest.skip("this orchestrator runs no single calls")
        assert isinstance(orchestrator, IsolatingOrchestrator)
        made = _Calls(orchestrator)
        conformance_kernel.places = made
        return made

    @staticmethod
    def isolate(kernel: Kernel, what: str, data: bytes, folder: Path) -> Run:
        """A flow with one isolated call, driven by this process; not waited for."""
        launch = kernel.create(sample_flow.isolating.spec, (what, data, str(folder)), {})
        return kernel.start(launch.record.exec_id)

    def test_runs_a_call_in_another_process(self, conformance_kernel: Kernel, calls: _Calls, tmp_path: Path) -> None:
        run = self.isolate(conformance_kernel, "print", b"abc", tmp_path)
        assert run.done.wait(_END_SECONDS)
        assert run.error is None
        pid, data = run.value
        assert pid != os.getpid()
        assert data == b"cba"
        assert ("stdout", "said in the process") in [(stream, text.rstrip()) for stream, text in calls.printed]
        assert ("stderr", "complained in the process") in [(stream, text.rstrip()) for stream, text in calls.printed]

    def test_carries_large_requests_and_answers(
        self, conformance_kernel: Kernel, calls: _Calls, tmp_path: Path
    ) -> None:
        data = os.urandom(1 << 16) * (_LARGE_BYTES >> 16)
        run = self.isolate(conformance_kernel, "nothing", data, tmp_path)
        assert run.done.wait(_END_SECONDS)
        assert run.error is None
        assert run.value[1] == data[::-1]
        assert len(calls.calls[0].request) > _LARGE_BYTES

    def test_an_exception_of_the_body_is_an_answer(
        self, conformance_kernel: Kernel, calls: _Calls, tmp_path: Path
    ) -> None:
        run = self.isolate(conformance_kernel, "raise", b"", tmp_path)
        assert run.done.wait(_END_SECONDS)
        assert isinstance(run.error, LookupError)
        assert "from the process" in str(run.error)
        assert len(calls.calls) == 1

    @pytest.mark.parametrize("what", ["exit", "kill"])
    def test_a_process_that_dies_is_said(
        self, conformance_kernel: Kernel, orchestrator: Any, calls: _Calls, tmp_path: Path, what: str
    ) -> None:
        run = self.isolate(conformance_kernel, what, b"", tmp_path)
        assert run.done.wait(_END_SECONDS)
        assert run.error is not None
        assert "died" in str(run.error)
        (call,) = calls.calls
        with pytest.raises(KitaruBackendError):
            orchestrator.run_call(call)

    def test_a_call_that_is_stopped_ends(
        self, conformance_kernel: Kernel, orchestrator: Any, calls: _Calls, tmp_path: Path
    ) -> None:
        run = self.isolate(conformance_kernel, "stay", b"", tmp_path)
        try:
            self.wait_for_file(tmp_path / "running")
            conformance_kernel.cancel(run.exec_id)
            assert run.done.wait(_END_SECONDS)
            assert run.status == "cancelled"
            pid = int((tmp_path / "running").read_text())
            self.wait_gone(pid)
        finally:
            (tmp_path / "released").touch()
        (call,) = calls.calls
        answers: list[Any] = []
        again = IsolatedCall(call.exec_id, call.call_id, call.name, call.request, lambda *_: None, lambda: True)
        asking = threading.Thread(target=lambda: answers.append(orchestrator.run_call(again)), daemon=True)
        asking.start()
        asking.join(_END_SECONDS)
        assert len(answers) == 1, "it asks `stopped` before long"

    @staticmethod
    def wait_for_file(path: Path) -> None:
        """Wait until another process has made a file."""
        deadline = time.monotonic() + _END_SECONDS
        while not path.exists():
            assert time.monotonic() < deadline, f"{path} never came"
            time.sleep(0.01)

    @staticmethod
    def wait_gone(pid: int) -> None:
        """Wait until a process of this machine has ended. Override where the process is on another one."""
        deadline = time.monotonic() + _END_SECONDS
        while time.monotonic() < deadline:
            try:
                os.kill(pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.01)
        raise AssertionError(f"process {pid} still runs")

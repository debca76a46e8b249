"""What every orchestrator must do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kitaru.errors import KitaruError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.stack.components import Orchestrator, OrchestratorCapability, OrchestratorStatus
from kitaru.testing.conformance import sample_flow
from kitaru.testing.conformance.orchestrator_calls import OrchestratorCalls

_END_SECONDS = 60.0


class OrchestratorConformance(OrchestratorCalls):
    """Needs the fixture ``orchestrator``. Override ``journal_url`` where it cannot reach a file of this machine.

    An orchestrator without the capability ``ISOLATED`` skips what is about single calls.
    """

    @pytest.fixture
    def journal_url(self, tmp_path: Path) -> str:
        """The journal that the executions of these tests are in."""
        return f"sqlite:///{tmp_path / 'conformance.db'}"

    @pytest.fixture
    def conformance_kernel(self, journal_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kernel]:
        """A kernel on that journal, whose artifacts and logs lie in the test's own directory."""
        monkeypatch.setenv("KITARU_CONFIG_PATH", str(tmp_path / "conformance-config"))
        yield assembly.open_kernel(journal_url=journal_url)
        sample_flow.gate.set()
        assembly.reset()

    @staticmethod
    def create(kernel: Kernel, orchestrator: Orchestrator, number: int) -> str:
        """A new execution of the sample flow, as ``.run()`` would create it for this orchestrator."""
        owned = OrchestratorCapability.IN_PROCESS in orchestrator.capabilities
        return kernel.create(sample_flow.sample.spec, (number,), {}, owned=owned).record.exec_id

    @staticmethod
    def wait_end(kernel: Kernel, exec_id: str) -> None:
        """Wait until the journal says that the execution has completed."""
        deadline = time.monotonic() + _END_SECONDS
        while (status := kernel.journal.get(exec_id).status) not in ("completed", "failed", "cancelled"):
            assert time.monotonic() < deadline, f"execution {exec_id} is still {status}"
            time.sleep(0.01)
        assert status == "completed", kernel.journal.get(exec_id).failure

    def test_fits_the_protocol(self, orchestrator: Orchestrator) -> None:
        assert isinstance(orchestrator, Orchestrator)
        assert isinstance(orchestrator.capabilities, frozenset)
        assert orchestrator.capabilities <= frozenset(OrchestratorCapability)

    def test_starts_an_execution_that_runs_to_its_end(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        exec_id = self.create(conformance_kernel, orchestrator, 3)
        orchestrator.start(exec_id, journal_url=journal_url)
        self.wait_end(conformance_kernel, exec_id)
        result = conformance_kernel.journal.get(exec_id).result
        assert result is not None
        assert conformance_kernel.decode(result) == 12

    def test_starts_one_that_nobody_owns_yet(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        exec_id = conformance_kernel.create(sample_flow.sample.spec, (5,), {}, owned=False).record.exec_id
        orchestrator.start(exec_id, journal_url=journal_url)
        self.wait_end(conformance_kernel, exec_id)

    def test_returns_before_the_execution_ends(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        sample_flow.gate.clear()
        exec_id = self.create(conformance_kernel, orchestrator, 1)
        # Where the kernel runs in this process, a start that waited for the end would never return.
        starter = threading.Thread(target=orchestrator.start, args=(exec_id,), kwargs={"journal_url": journal_url})
        starter.start()
        starter.join(timeout=_END_SECONDS)
        returned = not starter.is_alive()
        sample_flow.gate.set()
        starter.join()
        assert returned
        self.wait_end(conformance_kernel, exec_id)

    def test_what_has_ended_does_not_run_again(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        exec_id = self.create(conformance_kernel, orchestrator, 2)
        orchestrator.start(exec_id, journal_url=journal_url)
        self.wait_end(conformance_kernel, exec_id)
        with contextlib.suppress(KitaruError):
            orchestrator.start(exec_id, journal_url=journal_url)
        entries = conformance_kernel.journal.entries(exec_id)
        assert len([one for one in entries if one.kind is EntryKind.COMPLETED]) == 2

    def test_says_how_an_execution_is(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        exec_id = self.create(conformance_kernel, orchestrator, 2)
        assert isinstance(orchestrator.status(exec_id), OrchestratorStatus), "one that was never started"
        orchestrator.start(exec_id, journal_url=journal_url)
        assert isinstance(orchestrator.status(exec_id), OrchestratorStatus)
        self.wait_end(conformance_kernel, exec_id)
        deadline = time.monotonic() + _END_SECONDS
        while (status := orchestrator.status(exec_id)) not in (
            OrchestratorStatus.COMPLETED,
            OrchestratorStatus.UNKNOWN,
        ):
            assert time.monotonic() < deadline, f"it has ended, but its place says {status}"
            time.sleep(0.01)

    def test_knows_nothing_of_a_stranger(self, orchestrator: Orchestrator) -> None:
        stranger = "00000000-0000-4000-8000-000000000000"
        assert orchestrator.status(stranger) is OrchestratorStatus.UNKNOWN
        assert list(orchestrator.logs(stranger)) == []
        orchestrator.cancel(stranger)

    def test_cancel_ends_what_runs(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str, tmp_path: Path
    ) -> None:
        here = OrchestratorCapability.IN_PROCESS in orchestrator.capabilities
        created = conformance_kernel.create(sample_flow.staying.spec, (str(tmp_path),), {}, owned=here)
        exec_id = created.record.exec_id
        orchestrator.start(exec_id, journal_url=journal_url)
        try:
            self._until((tmp_path / "running").exists)
            conformance_kernel.cancel(exec_id)
            orchestrator.cancel(exec_id)
            if here:  # the kernel stops before the next call by itself
                (tmp_path / "released").touch()
            self._until(lambda: orchestrator.status(exec_id) is not OrchestratorStatus.RUNNING)
            # Whoever owned it is gone now: asked once more, the journal ends it.
            self._until(lambda: self._cancelled(conformance_kernel, exec_id))
            orchestrator.cancel(exec_id)
        finally:
            (tmp_path / "released").touch()

    @staticmethod
    def _cancelled(kernel: Kernel, exec_id: str) -> bool:
        status = kernel.journal.get(exec_id).status
        if status == "running":
            with contextlib.suppress(KitaruError):  # it has ended in this very moment
                kernel.cancel(exec_id)
        assert status in ("running", "cancelled")
        return status == "cancelled"

    def test_its_own_lines_are_text(
        self, conformance_kernel: Kernel, orchestrator: Orchestrator, journal_url: str
    ) -> None:
        exec_id = self.create(conformance_kernel, orchestrator, 2)
        orchestrator.start(exec_id, journal_url=journal_url)
        self.wait_end(conformance_kernel, exec_id)
        for line in orchestrator.logs(exec_id):
            assert isinstance(line, str)
            assert "\n" not in line.rstrip("\r\n")

    @staticmethod
    def _until(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _END_SECONDS
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

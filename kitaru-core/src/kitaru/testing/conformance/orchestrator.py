"""What every orchestrator must do."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kitaru.errors import KitaruError
from kitaru.journal.records import EntryKind
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.stack.components import Orchestrator, OrchestratorCapability
from kitaru.testing.conformance import sample_flow

_END_SECONDS = 60.0


class OrchestratorConformance:
    """Needs the fixture ``orchestrator``. Override ``journal_url`` where it cannot reach a file of this machine."""

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

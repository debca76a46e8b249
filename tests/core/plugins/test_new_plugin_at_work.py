"""A stack of the plugin that ``kitaru plugins new`` writes: flows really run on it, in processes of their own."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.sites import Site

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.plugins.manager import forget_plugins, plugin_manager
from kitaru.plugins.new_project import write_project
from kitaru.stack import assembly
from kitaru.stack.components import OrchestratorStatus

LARGE_BYTES = 200_000
BOUND_SECONDS = 60.0


@pytest.fixture
def stack(tmp_path: Path, own_store: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stack `my-shelf`, made as the plugin's stack type says, for this process and those that it starts."""
    project = write_project("shelf", tmp_path / "project", plugin_manager())
    site = Site(tmp_path / "site")
    site.add_project(project.directory)
    monkeypatch.syspath_prepend(str(site.folder))
    root = str(Path(__file__).parents[3])
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, [str(site.folder), root, os.environ.get("PYTHONPATH")]))
    )
    forget_plugins()
    KitaruClient().stacks.create("my-shelf", "shelf", activate=False, artifact_store=f"shelf://{tmp_path}/shelf")
    yield
    forget_plugins()
    for name in [name for name in sys.modules if name.partition(".")[0] == "shelf_kitaru"]:
        del sys.modules[name]


@checkpoint
def large(letter: str) -> bytes:
    print(f"making {letter}")
    return letter.encode() * LARGE_BYTES


@checkpoint
def length(data: bytes, number: int) -> int:
    return len(data) + number


@flow
def sizes(letter: str) -> tuple[int, int]:
    return os.getpid(), length(large(letter), kitaru.wait(name="number", schema=int, timeout=0))


@checkpoint
def stay(folder: str) -> None:
    Path(folder, "running.partial").write_text(str(os.getpid()))
    Path(folder, "running.partial").rename(Path(folder, "running"))
    deadline = time.monotonic() + BOUND_SECONDS
    while not Path(folder, "released").exists() and time.monotonic() < deadline:
        time.sleep(0.01)


@flow
def staying(folder: str) -> int:
    stay(folder)
    return os.getpid()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def orchestrator() -> Any:
    return assembly.assembled(assembly.open_kernel()).stacks.select("my-shelf").orchestrator


def test_a_flow_runs_waits_and_goes_on_in_other_processes(stack: None, tmp_path: Path) -> None:
    executions = KitaruClient().executions
    exec_id = sizes.run("a", stack="my-shelf").exec_id
    until(lambda: executions.status(exec_id) == "waiting")
    until(lambda: orchestrator().status(exec_id) is OrchestratorStatus.COMPLETED)
    executions.input(exec_id, value=7)
    until(lambda: executions.status(exec_id).finished)
    pid, size = executions.result(exec_id)
    assert pid != os.getpid() and size == LARGE_BYTES + 7
    kept = [path for path in (tmp_path / "shelf" / "values").rglob("*") if path.is_file()]
    assert any(path.read_bytes().count(b"a") >= LARGE_BYTES for path in kept), "large values are on the shelf"
    assert not list((tmp_path / "shelf" / "unfinished").iterdir())
    until(lambda: "making a" in [line.message for line in executions.logs(exec_id)])


def test_an_execution_is_cancelled_with_its_process(stack: None, tmp_path: Path) -> None:
    executions = KitaruClient().executions
    exec_id = staying.run(str(tmp_path), stack="my-shelf").exec_id
    until((tmp_path / "running").exists)
    executions.cancel(exec_id)
    until(lambda: orchestrator().status(exec_id) is OrchestratorStatus.CANCELLED)
    assert executions.status(exec_id) == "cancelled"


def test_a_process_that_is_killed_is_noticed_and_another_one_continues(stack: None, tmp_path: Path) -> None:
    executions = KitaruClient().executions
    exec_id = staying.run(str(tmp_path), stack="my-shelf").exec_id
    until((tmp_path / "running").exists)
    killed = int((tmp_path / "running").read_text())
    os.kill(killed, signal.SIGKILL)
    until(lambda: executions.status(exec_id) == "interrupted")
    until(lambda: orchestrator().status(exec_id) is OrchestratorStatus.FAILED)
    (tmp_path / "released").touch()
    executions.resume(exec_id)
    until(lambda: executions.status(exec_id).finished)
    assert executions.result(exec_id) not in (killed, os.getpid())

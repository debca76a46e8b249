"""Flows in real programs: killed, continued by another process, interrupted by Ctrl-C, found again by their file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = """
    import os, sys, time
    from dataclasses import dataclass
    import kitaru
    from kitaru import checkpoint, flow

    @dataclass
    class Paper:
        title: str

    @checkpoint
    def work(n: int) -> Paper:
        with open("effects", "a") as file:
            file.write(f"{n}\\n")
        while os.path.exists(f"hold-{n}"):
            time.sleep(0.005)
        return Paper(f"paper {n}")

    @checkpoint
    def join(papers: list[Paper]) -> str:
        return ", ".join(paper.title for paper in papers)

    @flow
    def papers(count: int) -> str:
        return join([work(n) for n in range(count)])

    if __name__ == "__main__":
        handle = papers.run(3, idempotency_key=sys.argv[2] if len(sys.argv) > 2 else None)
        print(handle.exec_id, flush=True)
        if sys.argv[1] == "wait":
            print(handle.wait())
        elif sys.argv[1] == "sleep":
            time.sleep(60)
"""

RESUME = """
    import sys
    from kitaru.stack import assembly
    from kitaru import FlowHandle
    kernel = assembly.open_kernel()
    print(FlowHandle(kernel, sys.argv[1], kernel.resume(sys.argv[1])).wait())
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "project" / "papers.py"
    file.parent.mkdir()
    file.write_text(textwrap.dedent(SCRIPT))
    return file


def start(*command: str | Path, cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *command], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def effects(project: Path) -> list[str]:
    file = project / "effects"
    return file.read_text().split() if file.exists() else []


def started(process: subprocess.Popen[str]) -> str:
    """The execution's id, once the program has printed it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = process.communicate(timeout=30)
    return out.strip(), err


def resume(exec_id: str, cwd: Path) -> str:
    code = textwrap.dedent(RESUME)
    done = subprocess.run([sys.executable, "-c", code, exec_id], cwd=cwd, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_killed_program_is_continued_by_another_process_from_another_directory(script: Path, tmp_path: Path) -> None:
    project = script.parent
    (project / "hold-2").touch()
    process = start(script, "wait", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1", "2"])
    process.kill()
    finish(process)
    (project / "hold-2").unlink()
    assert resume(exec_id, tmp_path) == "paper 0, paper 1, paper 2"
    assert effects(project) == ["0", "1", "2"], "recorded calls did not run again, and 2 runs in the other directory"
    assert effects(tmp_path) == ["2"]


def test_the_same_program_run_again_with_its_key_continues(script: Path) -> None:
    project = script.parent
    (project / "hold-1").touch()
    process = start(script, "wait", "key", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    process.kill()
    finish(process)
    (project / "hold-1").unlink()
    again = start(script, "wait", "key", cwd=project)
    assert started(again) == exec_id
    assert finish(again)[0] == "paper 0, paper 1, paper 2"
    assert effects(project) == ["0", "1", "1", "2"]


def test_a_program_that_ends_waits_for_its_flows(script: Path) -> None:
    process = start(script, "just start", cwd=script.parent)
    started(process)
    finish(process)
    assert process.returncode == 0
    assert effects(script.parent) == ["0", "1", "2"]


@pytest.mark.parametrize("mode", ["wait", "sleep"])
def test_ctrl_c_stops_before_the_next_checkpoint_and_leaves_it_interrupted(script: Path, mode: str) -> None:
    project = script.parent
    (project / "hold-1").touch()
    process = start(script, mode, cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    (project / "hold-1").unlink()
    _, err = finish(process)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err
    assert effects(project) == ["0", "1"], "the body that ran was finished and recorded, the next one not begun"
    assert resume(exec_id, project) == "paper 0, paper 1, paper 2"
    assert effects(project) == ["0", "1", "2"]


def test_ctrl_c_while_an_ended_program_waits_for_its_flows(script: Path) -> None:
    project = script.parent
    (project / "hold-1").touch()
    process = start(script, "just start", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    time.sleep(0.3)  # by now the main thread has most likely ended; the outcome is the same if not
    process.send_signal(signal.SIGINT)
    time.sleep(0.1)
    (project / "hold-1").unlink()
    finish(process)
    assert effects(project) == ["0", "1"], "the body that ran was finished and recorded, the next one not begun"
    assert resume(exec_id, project) == "paper 0, paper 1, paper 2"
    assert effects(project) == ["0", "1", "2"]


def test_a_second_ctrl_c_exits_at_once(script: Path) -> None:
    project = script.parent
    (project / "hold-1").touch()
    process = start(script, "wait", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    assert process.poll() is None, "the first one lets the body finish"
    process.send_signal(signal.SIGINT)
    finish(process)
    (project / "hold-1").unlink()
    assert resume(exec_id, project) == "paper 0, paper 1, paper 2"


def test_a_module_run_with_dash_m_is_found_again(tmp_path: Path) -> None:
    package = tmp_path / "project" / "research"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "papers.py").write_text("from . import helper\n" + textwrap.dedent(SCRIPT))
    (package / "helper.py").write_text("")
    (tmp_path / "project" / "hold-2").touch()
    process = start("-m", "research.papers", "wait", cwd=tmp_path / "project")
    exec_id = started(process)
    until(lambda: effects(tmp_path / "project") == ["0", "1", "2"])
    process.kill()
    finish(process)
    assert resume(exec_id, tmp_path) == "paper 0, paper 1, paper 2"


def test_a_script_without_a_guard_is_told_about_it(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    code = textwrap.dedent(SCRIPT).replace('if __name__ == "__main__":', "if True:")
    (project / "papers.py").write_text(code)
    (project / "hold-1").touch()
    process = start(project / "papers.py", "wait", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    process.kill()
    finish(process)
    (project / "hold-1").unlink()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RESUME), exec_id],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode != 0
    assert 'under `if __name__ == "__main__":`' in done.stderr


def test_a_flow_whose_file_is_gone_says_what_to_do_and_stays_resumable(script: Path) -> None:
    project = script.parent
    (project / "hold-1").touch()
    process = start(script, "wait", cwd=project)
    exec_id = started(process)
    until(lambda: effects(project) == ["0", "1"])
    process.kill()
    finish(process)
    (project / "hold-1").unlink()
    moved = script.rename(project / "moved.py")
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(RESUME), exec_id],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert "does not exist any more" in done.stderr
    assert "idempotency_key" in done.stderr or "idempotency key" in done.stderr
    moved.rename(script)
    assert resume(exec_id, project) == "paper 0, paper 1, paper 2"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_refuses_the_parents_connections(script: Path) -> None:
    code = textwrap.dedent("""
        import os, sys
        sys.path.insert(0, ".")
        import papers
        papers.papers.run(1).wait()
        pid = os.fork()
        if pid == 0:
            try:
                papers.papers.run(1)
            except Exception as error:
                print(type(error).__name__, error, flush=True)
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        print(papers.papers.run(2).wait())
    """)
    done = subprocess.run([sys.executable, "-c", code], cwd=script.parent, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    assert "fork" in done.stdout
    assert "paper 0, paper 1" in done.stdout

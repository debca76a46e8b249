"""The README is believed, tried and found true: its programs run, the files it names exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
EXPECTED = ["DURABLE EXECUTION: FIRST PAPER\nDURABLE EXECUTION: SECOND PAPER", "an answer to why; an answer to how"]


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_its_programs_run_and_print_what_they_should(number: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number])
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert EXPECTED[number] in done.stdout


def test_the_first_program_killed_and_run_again_continues(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    crashing = PROGRAMS[0].replace("return paper.upper()", "import os\n    os.kill(os.getpid(), 9)")
    program.write_text(crashing)
    killed = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert killed.returncode == -9
    program.write_text(PROGRAMS[0])
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, timeout=60)
    assert EXPECTED[0] in done.stdout
    assert "searching for" not in done.stdout, "the search was recorded before the kill"


def test_every_file_it_names_exists() -> None:
    named = set(re.findall(r"`((?:tests|docs|examples)/[\w./-]*)`", README)) | set(
        re.findall(r"\]\(([\w./-]+)\)", README)
    )
    assert len(named) > 8
    assert not [name for name in named if not (ROOT / name).exists()]


def test_its_commands_are_the_gates() -> None:
    commands = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
    assert len(commands) == 2
    for name in ("./kitaru-core", "./kitaru-local", "kitaru demo"):
        assert name in commands[0]
    assert "tox" in commands[1]
    gate = ROOT / ".ci" / "run"
    assert gate.stat().st_mode & 0o111
    assert "README.md" in gate.read_text()

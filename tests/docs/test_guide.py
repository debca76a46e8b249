"""Every program in the guide runs as it stands, in a process of its own, and ends well."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide"
PROGRAMS = [
    pytest.param(program, id=f"{page.stem}-{number}")
    for page in sorted(GUIDE.glob("**/*.md"))
    for number, program in enumerate(re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL), 1)
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_it_runs(program: str, tmp_path: Path) -> None:
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip(), "a program of the guide shows what it does"
    for told in re.findall(r"print\(.*\)  # (.+)", program):
        assert told in done.stdout


def test_links_between_pages_lead_somewhere() -> None:
    for page in GUIDE.glob("**/*.md"):
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"

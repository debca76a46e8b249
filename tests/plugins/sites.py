"""Installs distributions into a directory, as pip would, without a network: their metadata and their modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

ACME = Path(__file__).parent / "acme"


class Site:
    """A directory of installed distributions. Processes started through it see them, beside what is there anyway."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(
        self,
        name: str,
        code: str = "",
        *,
        version: str = "1.0",
        requires: Sequence[str] = ("kitaru-core>=0.1,<1",),
        entry_points: Mapping[str, str] | None = None,
    ) -> None:
        """A distribution with one module of its own name; its entry point is called like it, too."""
        module = name.replace("-", "_")
        (self.folder / f"{module}.py").write_text(textwrap.dedent(code))
        self._metadata(name, version, requires, {name: module} if entry_points is None else entry_points)

    def add_project(self, project: Path) -> None:
        """A distribution from its own folder: what its pyproject.toml says, and the packages under src/."""
        table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
        for package in (project / "src").iterdir():
            shutil.copytree(package, self.folder / package.name, ignore=shutil.ignore_patterns("__pycache__"))
        self._metadata(table["name"], table["version"], table["dependencies"], table["entry-points"]["kitaru"])

    def _metadata(self, name: str, version: str, requires: Sequence[str], points: Mapping[str, str]) -> None:
        folder = self.folder / f"{name.replace('-', '_')}-{version}.dist-info"
        folder.mkdir()
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {one}" for one in requires]
        (folder / "METADATA").write_text("\n".join(lines) + "\n")
        (folder / "entry_points.txt").write_text(
            "[kitaru]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        )

    def python(self, code: str, **environment: str) -> str:
        """Run code in a new interpreter; gives what it printed. Fails the test when it fails."""
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            env={**os.environ, "PYTHONPATH": str(self.folder), **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

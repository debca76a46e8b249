"""Wheels, installed outside the checkout, run the main job."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Path]]:
    """A fresh virtual environment, and the built wheels of what a plain `kitaru` consists of."""
    directory = tmp_path_factory.mktemp("wheels")
    subprocess.run([sys.executable, "-m", "venv", directory / "venv"], check=True)
    pip = [directory / "venv" / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    built = directory / "dist"
    sources = [ROOT / "kitaru-core", ROOT / "kitaru-local", ROOT]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", built, *sources], check=True)
    found = sorted(built.glob("*.whl"))
    subprocess.run([*pip, "install", *found], check=True)
    return directory / "venv" / "bin", found


@pytest.mark.timeout(300)
def test_the_demo_runs_from_wheels_outside_the_checkout(wheels: tuple[Path, list[Path]], tmp_path: Path) -> None:
    programs, found = wheels
    assert [wheel.name.split("-")[0] for wheel in found] == ["kitaru", "kitaru_core", "kitaru_local"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment["KITARU_CONFIG_PATH"] = str(tmp_path / "config")
    done = subprocess.run(
        [programs / "kitaru", "demo"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for part in ("SIGKILL", "interrupted", "reused", "completed"):
        assert part in done.stdout
    shown = subprocess.run(
        [programs / "kitaru", "demo", "--show"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "@flow" in shown.stdout


def test_a_new_plugin_can_be_begun_from_wheels(wheels: tuple[Path, list[Path]], tmp_path: Path) -> None:
    programs, _ = wheels
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([programs / "kitaru", "plugins", "new", "shelf"], cwd=tmp_path, env=environment, check=True)
    template = ROOT / "kitaru-core" / "src" / "kitaru" / "plugins" / "template"
    written = [path for path in (tmp_path / "shelf-kitaru").rglob("*") if path.is_file()]
    assert len(written) == len(list(template.rglob("*.template")))


def test_the_root_wheel_holds_no_code_and_all_are_typed(wheels: tuple[Path, list[Path]]) -> None:
    _, found = wheels
    for wheel in found:
        names = zipfile.ZipFile(wheel).namelist()
        code = [name for name in names if name.endswith(".py")]
        if wheel.name.startswith("kitaru-"):
            assert not code
        else:
            assert any(name.endswith("/py.typed") for name in names)
        assert any("LICENSE" in name for name in names)

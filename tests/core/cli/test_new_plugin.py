"""``kitaru plugins new``: names that cannot be, places that cannot be, and that it is all or nothing.

That what it writes works is shown in ``tests/docs/test_plugins.py``, which follows the tutorial.
"""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from kitaru.cli.main import cli
from kitaru.errors import KitaruStateError
from kitaru.plugins import new_project
from kitaru.plugins.manager import plugin_manager


def new(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["plugins", "new", *arguments])


def everything(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def test_it_says_what_it_wrote_and_what_comes_next(tmp_path: Path) -> None:
    result = new("blue-shelf")
    project = tmp_path / "blue-shelf-kitaru"
    assert result.exit_code == 0 and str(project) in result.stdout
    for step in (f"cd {project}", "pip install -e '.[test]'", "kitaru plugins list", "pytest"):
        assert f": {step}\n" in result.stdout
    table = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert table["name"] == "blue-shelf-kitaru"
    assert table["entry-points"] == {"kitaru": {"blue-shelf": "blue_shelf_kitaru.plugin"}}


def test_the_json_names_every_file(tmp_path: Path) -> None:
    result = new("blue-shelf", "--directory", "here", "--output", "json")
    item = json.loads(result.stdout)["item"]
    assert json.loads(result.stdout)["command"] == "plugins.new"
    project = tmp_path / "here"
    assert item.pop("files") == sorted(
        path.relative_to(project).as_posix() for path in everything(project) if path.is_file()
    )
    assert item == {
        "name": "blue-shelf",
        "distribution": "blue-shelf-kitaru",
        "package": "blue_shelf_kitaru",
        "directory": str(project),
        "interface": ">=0.1,<1",
    }
    requirements = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
    assert "kitaru-core>=0.1,<1" in requirements


def test_it_leaves_no_name_unfilled_and_is_as_readable_as_other_files(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert new("blue-shelf").exit_code == 0
    project = tmp_path / "blue-shelf-kitaru"
    assert stat.S_IMODE(project.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)
    for path in everything(project):
        if path.is_file():
            text = path.read_text()
            assert "$" not in text.replace("$ ", "").replace("${{ matrix", ""), path
            assert path.suffix != ".py" or max(map(len, text.splitlines()), default=0) <= 120, path


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("../x", "`x`"),
        ("a/b", "`a-b`"),
        ("1abc", "`abc`"),
        ("Blue_Shelf", "`blue-shelf`"),
        ("blue--shelf", "`blue-shelf`"),
        ("shelf-", "`shelf`"),
        (".", "no name for a plugin"),
        ("", "no name for a plugin"),
        ("a" * 41, "up to 40"),
        ("über", "no name for a plugin"),
        ("a\nb", "no name for a plugin"),
        ("a b", "`a-b`"),
        ("$name", "`name`"),
        ("class", "word of the Python language"),
        ("kitaru", "goes without `kitaru`"),
        ("kitaru-shelf", "`kitaru plugins new shelf`"),
        ("shelf-kitaru", "`kitaru plugins new shelf`"),
        ("local", "kitaru-local uses it"),
        ("file", "kitaru-local uses it"),
        ("s3", "kitaru-aws uses it"),
        ("core", "kitaru-core uses it"),
        ("otel", "kitaru-core uses it"),
    ],
)
def test_a_name_that_cannot_be_says_why_and_writes_nothing(tmp_path: Path, name: str, told: str) -> None:
    result = new("--output", "json", "--", name)
    assert result.exit_code == 1
    error = json.loads(result.stderr)["error"]
    assert told in error["message"] and error["type"] in ("KitaruUsageError", "KitaruStateError")
    assert everything(tmp_path) == []
    assert told in new("--", name).stderr


def test_the_name_of_a_plugin_that_does_not_work_is_taken_too(tmp_path: Path) -> None:
    class Broken:
        def plugins(self) -> list[Any]:
            (one,) = (plugin for plugin in plugin_manager().plugins() if plugin.name == "core")
            return [type("Info", (), {"name": "shelf", "distribution": "broken-shelf", "supplies": ()})(), one]

    with pytest.raises(KitaruStateError, match="broken-shelf uses it"):
        new_project.write_project("shelf", None, Broken())  # type: ignore[arg-type]


def test_a_package_that_is_installed_is_not_shadowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "site" / "shelf_kitaru").mkdir(parents=True)
    (tmp_path / "site" / "shelf_kitaru" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    result = new("shelf")
    assert result.exit_code == 1 and "`shelf_kitaru` is installed already" in result.stderr


@pytest.mark.parametrize("what", ["directory", "file", "dangling"])
def test_what_exists_is_left_as_it_is(tmp_path: Path, what: str) -> None:
    place = tmp_path / "shelf-kitaru"
    if what == "directory":
        place.mkdir()
        (place / "mine").write_text("mine")
    elif what == "file":
        place.write_text("mine")
    else:
        place.symlink_to(tmp_path / "nowhere")
    before = everything(tmp_path)
    result = new("shelf")
    assert result.exit_code == 1 and "exists already" in result.stderr and "--directory" in result.stderr
    assert everything(tmp_path) == before


def test_a_directory_without_a_parent(tmp_path: Path) -> None:
    result = new("shelf", "--directory", "no/such/place")
    assert result.exit_code == 1 and f"{tmp_path}/no/such" in result.stderr and "mkdir -p" in result.stderr
    assert everything(tmp_path) == []


@pytest.mark.parametrize("failing", ["write_text", "rename"])
def test_a_disk_that_fails_in_the_middle_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    real, calls = Path.write_text, []

    def write_text(path: Path, *arguments: Any, **options: Any) -> int:
        calls.append(path)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        return real(path, *arguments, **options)

    def rename(source: object, target: object) -> None:
        raise OSError(39, "Directory not empty")

    if failing == "write_text":
        monkeypatch.setattr(Path, "write_text", write_text)
    else:
        monkeypatch.setattr(os, "rename", rename)
    result = new("shelf")
    assert result.exit_code == 1 and "cannot be written" in result.stderr
    assert "No space left" in result.stderr or "not empty" in result.stderr
    assert everything(tmp_path) == []

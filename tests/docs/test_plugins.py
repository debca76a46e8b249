"""``docs/plugins/``: the tutorial is followed to the letter, and the reference is compared with the interface."""

from __future__ import annotations

import inspect
import os
import re
import site
import subprocess
import venv
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
from tests.plugins.sites import Site

from kitaru.plugins import hookspecs
from kitaru.plugins.declarations import COMPONENT_KINDS, FIELD_RULES
from kitaru.plugins.register import Register
from kitaru.testing import conformance

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "plugins"
TUTORIAL = (PAGES / "tutorial.md").read_text()
REFERENCE = (PAGES / "reference.md").read_text()
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", flags=re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^### `(.+)`$", flags=re.MULTILINE)


# -- the tutorial ---------------------------------------------------------------------------------------------------


class Follower:
    """Somebody who does what the tutorial says, in an environment of their own that sees the packages of this one."""

    def __init__(self, home: Path) -> None:
        self.home = self.folder = home
        venv.create(home / "venv", with_pip=True)
        (own,) = (home / "venv" / "lib").glob("python*/site-packages")
        here = [folder for folder in site.getsitepackages() if Path(folder).is_dir()]
        lines = "".join(f"import site; site.addsitedir({folder!r})\n" for folder in here)
        (own / "environment.pth").write_text(lines)
        for command, module in (("kitaru", "kitaru.cli.main"), ("pytest", "pytest")):
            script = home / "venv" / "bin" / command
            script.write_text(f'#!/bin/sh\nexec "{home}/venv/bin/python" -P -m {module} "$@"\n')
            script.chmod(0o755)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "PIP"))},
            "PATH": f"{home}/venv/bin{os.pathsep}{os.environ['PATH']}",
            "KITARU_CONFIG_PATH": str(home / "config"),
            "COLUMNS": "200",
            # Everything a plugin needs is there: neither a network nor an environment to build in.
            "PIP_NO_INDEX": "1",
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "false",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }

    def take(self, language: str, block: str) -> None:
        """Do what one block says."""
        if language == "console":
            self._type(block)
            return
        first, _, rest = block.partition("\n")
        if language == "diff":
            self._edit(first.removeprefix("# "), rest)
        elif first.startswith("# part of "):
            assert rest in (self.folder / first.removeprefix("# part of ")).read_text(), first
        else:
            assert language == "python" and first.startswith("# "), first
            (self.folder / first.removeprefix("# ")).write_text(rest)

    def _type(self, block: str) -> None:
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, expected = step.partition("\n")
            where = self.home / "where"
            done = subprocess.run(
                ["bash", "-c", f"{command}\ncode=$?; pwd > {where}; exit $code"],
                cwd=self.folder,
                env=self.environment,
                capture_output=True,
                text=True,
                timeout=120,
            )
            assert done.returncode == 0, f"$ {command}\n{done.stdout}\n{done.stderr}"
            self.folder = Path(where.read_text().strip())
            printed = " ".join(done.stdout.split())
            for line in expected.splitlines():
                pattern = ".*".join(re.escape(" ".join(part.split())) for part in line.split("..."))
                assert re.search(pattern, printed), f"$ {command}\n{line}\n{done.stdout}\n{done.stderr}"

    def _edit(self, path: str, change: str) -> None:
        lines = change.splitlines(keepends=True)
        before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
        text = (self.folder / path).read_text()
        assert text.count(before) == 1, f"{path} does not have, once:\n{before}"
        (self.folder / path).write_text(text.replace(before, after))


@pytest.mark.timeout(240)
def test_the_tutorial_can_be_followed_to_the_letter(tmp_path: Path) -> None:
    follower = Follower(tmp_path)
    blocks = _BLOCK.findall(TUTORIAL)
    assert {language for language, _ in blocks} == {"console", "python", "toml", "diff"}
    for language, block in blocks:
        follower.take(language, block)


def test_the_tutorial_names_every_kind_and_its_tests() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(\w+)` \| `(\w+)` \| `(\w+)` \|$", TUTORIAL, flags=re.MULTILINE)
    assert [row[0] for row in rows] == list(COMPONENT_KINDS)
    for kind, protocol, tests, fixture in rows:
        assert tests in conformance.__all__ and tests == f"{protocol}Conformance"
        assert fixture == kind


# -- the reference --------------------------------------------------------------------------------------------------


def interface() -> Iterator[tuple[str, Callable[..., object]]]:
    """Every hook and every method of the registrar, by what its heading begins with."""
    for name, function in vars(hookspecs).items():
        if name.startswith("kitaru_"):
            yield name, function
    for name, function in vars(Register).items():
        if inspect.isfunction(function) and not name.startswith("_"):
            yield f"register.{name}", function


def parameters(function: Callable[..., object]) -> list[inspect.Parameter]:
    return [
        one.replace(annotation=inspect.Parameter.empty)
        for one in inspect.signature(function).parameters.values()
        if one.name != "self"
    ]


def test_the_reference_has_every_hook_and_method_with_its_parameters() -> None:
    headings = [f"{name}{inspect.Signature(parameters(function))}" for name, function in interface()]
    assert _HEADING.findall(REFERENCE) == headings


@pytest.mark.parametrize(("name", "function"), [pytest.param(*one, id=one[0]) for one in interface()])
def test_the_reference_explains_every_parameter(name: str, function: Callable[..., object]) -> None:
    (section,) = (part for part in re.split(r"^### `", REFERENCE, flags=re.MULTILINE) if part.startswith(f"{name}("))
    explained = re.findall(r"^- `(\w+)`: ", section, flags=re.MULTILINE)
    assert explained == [one.name for one in parameters(function)]
    assert inspect.getdoc(function), "its docstring is the contract"


def test_the_reference_names_every_kind_and_rule() -> None:
    for name in COMPONENT_KINDS:
        assert f"`{name}`" in REFERENCE
    for rule in FIELD_RULES:
        assert f'`"{rule}"`' in REFERENCE


def test_its_example_is_a_plugin() -> None:
    (example,) = (block for language, block in _BLOCK.findall(REFERENCE) if language == "python")
    from kitaru.plugins.declarations import Source

    namespace: dict[str, object] = {}
    exec(example, namespace)
    register = Register(Source("acme", "acme-kitaru", "1.0"))
    namespace["kitaru_register"](register)  # type: ignore[operator]
    assert list(register.declared) == [("uri_scheme", "acme://")]


# -- compatibility --------------------------------------------------------------------------------------------------


def test_the_reason_that_it_shows_is_the_one_that_is_listed(tmp_path: Path) -> None:
    ((_, shown),) = _BLOCK.findall((PAGES / "compatibility.md").read_text())
    installed = Site(tmp_path / "site")
    installed.add(
        "shelf-kitaru", version="0.1.0", requires=["kitaru-core>=7,<8"], entry_points={"shelf": "shelf_kitaru"}
    )
    listed = installed.python("""
        from kitaru.plugins.manager import plugin_manager
        (shelf,) = (one for one in plugin_manager().plugins() if one.name == "shelf")
        print(shelf.reason)
    """)
    assert shown == listed.replace(f"but {version('kitaru-core')} is", "but 0.1.0 is")


# -- all pages ------------------------------------------------------------------------------------------------------


def test_links_lead_somewhere_and_contributors_find_the_pages() -> None:
    for page in [*PAGES.glob("*.md"), ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([\w./-]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for page in PAGES.glob("*.md"):
        assert f"docs/plugins/{page.name}" in contributing

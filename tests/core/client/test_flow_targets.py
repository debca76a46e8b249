"""Flows by name: how files and modules are loaded, and what is said when they cannot be."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kitaru import KitaruClient
from kitaru.client.flow_targets import (
    _load_flow_target,
    _load_module_from_python_path,
    build_started_execution_payload,
    invoke_flow_target,
    resolve_started_execution_details,
)
from kitaru.errors import KitaruUsageError
from kitaru.runtime import entrypoint

PREFIX = "kitaru_flow_"
FLOW = """
from kitaru import checkpoint, flow
{extra}

@checkpoint
def add(a: int, b: int) -> int:
    return a + b

@flow
def total(a: int, b: int = 1) -> int:
    return add(a, b)
"""


@pytest.fixture(autouse=True)
def modules_and_path() -> Iterator[None]:
    """Forget what a test loads."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith("kitaru"):
            del sys.modules[name]


def write(path: Path, extra: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FLOW.format(extra=extra))
    return path


def test_a_file_is_loaded_under_its_own_name_with_its_folder_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "flow_helper_here.py").write_text("VALUE = 7")
    file = write(tmp_path / "sums_here.py", "from flow_helper_here import VALUE")
    module = _load_module_from_python_path(str(file), module_name_prefix=PREFIX)
    assert module.__name__ == "sums_here" and module.VALUE == 7
    assert sys.modules["sums_here"] is module and sys.path[0] == str(tmp_path)


def test_a_file_inside_a_package_keeps_its_dotted_name_so_relative_imports_work(tmp_path: Path) -> None:
    (tmp_path / "some_package").mkdir()
    (tmp_path / "some_package/__init__.py").write_text("")
    (tmp_path / "some_package/part.py").write_text("VALUE = 8")
    file = write(tmp_path / "some_package/sums.py", "from .part import VALUE")
    module = _load_module_from_python_path(str(file), module_name_prefix=PREFIX)
    assert module.__name__ == "some_package.sums" and module.VALUE == 8


def test_a_taken_name_gives_the_file_a_name_that_is_the_same_in_every_process(tmp_path: Path) -> None:
    file = write(tmp_path / "json.py")
    module = _load_module_from_python_path(str(file), module_name_prefix=PREFIX)
    assert module.__name__.startswith(f"{PREFIX}json_")
    import json

    assert hasattr(json, "dumps")
    code = (
        "import json, sys\nfrom kitaru.client.flow_targets import _load_flow_target\n"
        f"print(type(_load_flow_target({str(file)!r} + ':total', module_name_prefix={PREFIX!r})).__name__)\n"
        "print([name for name in sys.modules if name.startswith('kitaru_flow_')][0])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    ).stdout.split()
    assert out == ["FlowDefinition", module.__name__]


def test_an_unchanged_file_is_not_run_again_and_a_changed_one_is(tmp_path: Path) -> None:
    file = write(tmp_path / "changing_here.py", "VALUE = 1")
    first = _load_module_from_python_path(str(file), module_name_prefix=PREFIX)
    assert _load_module_from_python_path(str(file), module_name_prefix=PREFIX) is first
    write(file, "VALUE = 22")
    again = _load_module_from_python_path(str(file), module_name_prefix=PREFIX)
    assert again is not first and again.VALUE == 22 and sys.modules["changing_here"] is again


def test_a_module_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    file = write(tmp_path / "failing_here.py", "raise ZeroDivisionError('at import')")
    with pytest.raises(KitaruUsageError, match=r"Unable to import flow module .*at import") as raised:
        _load_flow_target(f"{file}:total", module_name_prefix=PREFIX)
    assert isinstance(raised.value.__cause__, ZeroDivisionError)
    assert "failing_here" not in sys.modules
    write(file)
    assert _load_flow_target(f"{file}:total", module_name_prefix=PREFIX) is not None


@pytest.mark.parametrize("target", ["", "x", ":x", "x:", " : ", "no colon"])
def test_the_format_of_a_target(target: str) -> None:
    with pytest.raises(ValueError, match="<module_or_file>:<flow_name>"):
        _load_flow_target(target, module_name_prefix=PREFIX)


def test_what_is_wrong_with_a_target_is_said(tmp_path: Path) -> None:
    file = write(tmp_path / "good_here.py")

    def said(target: str) -> str:
        with pytest.raises(ValueError) as raised:
            _load_flow_target(target, module_name_prefix=PREFIX)
        return str(raised.value)

    assert "Flow module path does not exist" in said(f"{tmp_path}/none.py:total")
    assert "no_such_module_anywhere" in said("no_such_module_anywhere:total")
    assert "no attribute `other`" in said(f"{file}:other") and "total" in said(f"{file}:other")
    assert "not a flow object created by `@flow`" in said(f"{file}:add")
    (tmp_path / "text.txt").write_text("")
    with pytest.raises(ValueError, match=r"not a \.py file"):
        _load_module_from_python_path(str(tmp_path / "text.txt"), module_name_prefix=PREFIX)


def test_a_module_that_exits_or_starts_a_flow_while_it_is_loaded_is_refused(tmp_path: Path) -> None:
    exiting = write(tmp_path / "exiting_here.py", "raise SystemExit('bye')")
    with pytest.raises(KitaruUsageError, match="bye"):
        _load_flow_target(f"{exiting}:total", module_name_prefix=PREFIX)
    starting = write(tmp_path / "starting_here.py")
    starting.write_text(starting.read_text() + "\ntotal.run(1)\n")
    with pytest.raises(KitaruUsageError, match="__main__"):
        _load_flow_target(f"{starting}:total", module_name_prefix=PREFIX)
    assert KitaruClient().executions.list() == []


def test_a_started_flow_and_what_is_told_of_it(tmp_path: Path) -> None:
    file = write(tmp_path / "invoked_here.py")
    started = invoke_flow_target(target=f"{file}:total", args={"a": 2}, stack=None, module_name_prefix=PREFIX)
    assert started.handle.wait() == 3
    client = KitaruClient()
    details = resolve_started_execution_details(exec_id=started.handle.exec_id, client=client)
    assert details.warning is None and details.execution is not None
    payload = build_started_execution_payload(target="t", details=details)
    assert set(payload) == {"exec_id", "target", "execution", "warning"}
    assert payload["execution"]["status"] == "completed"
    missing = resolve_started_execution_details(exec_id="nope", client=client)
    assert missing.execution is None and "details are not available yet" in str(missing.warning)
    assert build_started_execution_payload(target="t", details=missing)["execution"] is None


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([1], "must be a JSON object"),
        ({}, "missing a required argument: 'a'"),
        ({"a": 1, "zzz": 2}, "unexpected keyword argument 'zzz'"),
    ],
)
def test_arguments_that_do_not_fit_start_nothing(tmp_path: Path, args: Any, said: str) -> None:
    file = write(tmp_path / "unfit_here.py")
    with pytest.raises(ValueError, match=said):
        invoke_flow_target(target=f"{file}:total", args=args, stack=None, module_name_prefix=PREFIX)
    assert KitaruClient().executions.list() == []


def test_a_foreign_object_with_run_must_give_a_handle(tmp_path: Path) -> None:
    (tmp_path / "foreign_here.py").write_text(
        textwrap.dedent("""
        class Foreign:
            def run(self, **kwargs):
                return kwargs
        target = Foreign()
        """)
    )
    with pytest.raises(ValueError, match="no handle with an exec_id"):
        invoke_flow_target(target=f"{tmp_path}/foreign_here.py:target", args=None, stack="s", module_name_prefix=PREFIX)


def test_the_recorded_entrypoint_is_found_ahead_of_an_installed_module_of_that_name(tmp_path: Path) -> None:
    """A flow file may be called like a module of the standard library that is not loaded yet."""
    file = write(tmp_path / "flows/sched.py")
    code = (
        "import json\nfrom kitaru.client.flow_targets import _load_flow_target\n"
        "from kitaru.runtime import entrypoint\n"
        f"flow = _load_flow_target({str(file)!r} + ':total', module_name_prefix={PREFIX!r})\n"
        "print(json.dumps(entrypoint.describe(flow.spec.function)))"
    )
    described = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    finding = (
        "import json, sys\nfrom kitaru.runtime import entrypoint\n"
        "print(entrypoint.load(json.loads(sys.argv[1])).spec.name, sys.modules['sched'].__file__)"
    )
    found = subprocess.run(
        [sys.executable, "-c", finding, described], capture_output=True, text=True, check=True, cwd="/"
    )
    assert found.stdout.split() == ["total", str(file)]


def test_a_flow_under_a_name_of_its_own_is_found_by_its_file(tmp_path: Path) -> None:
    file = write(tmp_path / "json.py")
    flow: Any = _load_flow_target(f"{file}:total", module_name_prefix=PREFIX)
    described = entrypoint.describe(flow.spec.function)
    del sys.modules[described["module"]]
    assert entrypoint.load(described).spec.name == "total"

"""A stranger's plugin in the life of a flow: its serializer stores values, its observers are told."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.plugins.sites import ACME, Site

SCRIPT = """
import sys, kitaru
from acme_kitaru.types import Tensor

@kitaru.checkpoint
def double(tensor):
    return Tensor([2 * number for number in tensor.numbers])

@kitaru.flow
def tensors(numbers):
    return [double(Tensor(numbers)), double(double(Tensor(numbers)))]

if __name__ == "__main__":
    handle = tensors.run([1.0, 2.5])
    assert handle.wait() == [Tensor([2.0, 5.0]), Tensor([4.0, 10.0])], handle.wait()
    print(handle.exec_id)
"""


@pytest.fixture
def site(tmp_path: Path) -> Site:
    site = Site(tmp_path / "site")
    site.add_project(ACME)
    (site.folder / "tensors.py").write_text(SCRIPT)
    return site


def test_its_serializer_stores_what_nothing_else_can(site: Site) -> None:
    exec_id = site.python("import runpy; runpy.run_module('tensors', run_name='__main__', alter_sys=True)").strip()
    out = site.python(f"""
        import acme_kitaru.types
        from kitaru.stack import assembly
        kernel = assembly.open_kernel()
        outputs = [one.output for one in kernel.journal.entries({exec_id!r}) if one.output is not None]
        print(sorted({{output.codec for output in outputs}}))
        print([kernel.decode(output).numbers for output in outputs])
    """)
    assert out.splitlines() == [
        "['custom:acme_kitaru.types:Tensor']",
        "[[2.0, 5.0], [2.0, 5.0], [4.0, 10.0]]",
    ]


def test_without_the_plugin_its_values_say_what_is_missing(site: Site) -> None:
    exec_id = site.python("import runpy; runpy.run_module('tensors', run_name='__main__', alter_sys=True)").strip()
    code = f"""
        from kitaru.errors import KitaruSerializationError
        from kitaru.stack import assembly
        kernel = assembly.open_kernel()
        entry = next(one for one in kernel.journal.entries({exec_id!r}) if one.output is not None)
        try:
            kernel.decode(entry.output)
        except KitaruSerializationError as error:
            print(error)
    """
    out = site.python(code, KITARU_PLUGINS="local")
    assert "acme_kitaru.types:Tensor" in out and "kitaru plugins list" in out


def test_its_observers_are_told_of_each_event_once(site: Site, tmp_path: Path) -> None:
    observed = tmp_path / "observed"
    exec_id = site.python(
        "import runpy; runpy.run_module('tensors', run_name='__main__', alter_sys=True)", ACME_OBSERVED=str(observed)
    ).strip()
    assert observed.read_text().splitlines() == [
        f"started {exec_id} running",
        "call double completed 1",
        "call double#2 completed 1",
        "call double#3 completed 1",
        f"finished {exec_id} completed 3",
    ]


def test_the_listing_of_the_client_has_the_rows_of_the_design(site: Site) -> None:
    pytest.importorskip("kitaru.client.plugins")
    out = site.python("""
        import json
        from kitaru.client.plugins import list_plugins
        (row,) = [row for row in list_plugins() if row["name"] == "acme"]
        print(json.dumps(row))
    """)
    import json

    row = json.loads(out)
    assert set(row) == {"name", "distribution", "version", "interface", "status", "reason", "supplies"}
    assert row["version"] == "2.3.0"
    assert {"kind": "artifact_store", "name": "acme"} in row["supplies"]

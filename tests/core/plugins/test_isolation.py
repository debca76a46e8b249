"""A broken plugin is listed with its reason and breaks nothing else. Every plugin here is installed and found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.plugins.sites import ACME, Site

ROWS = """
    import dataclasses, json
    from kitaru.plugins.manager import plugin_manager
    print(json.dumps([dataclasses.asdict(one) for one in plugin_manager().plugins()]))
"""

IMPLEMENTS = "from kitaru.plugins import hookimpl\n@hookimpl\n"


def rows(site: Site, **environment: str) -> dict[str, dict[str, Any]]:
    return {row["distribution"]: row for row in json.loads(site.python(ROWS, **environment))}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


def test_our_own_plugins_are_available_and_supply_what_they_say(site: Site) -> None:
    found = rows(site)
    local = found["kitaru-local"]
    assert (local["name"], local["status"], local["reason"]) == ("local", "available", None)
    assert local["interface"] == f"=={local['version']}"
    assert {"kind": "artifact_store", "name": "local"} in local["supplies"]
    schemes = {
        supply["name"]: name
        for name, row in found.items()
        for supply in row["supplies"]
        if supply["kind"] == "uri_scheme"
    }
    assert schemes["s3://"] == "kitaru-aws"
    assert schemes["gs://"] == "kitaru-gcp"
    assert schemes["az://"] == schemes["abfs://"] == "kitaru-azure"


def test_a_strangers_plugin_comes_in_through_its_entry_point(site: Site) -> None:
    site.add_project(ACME)
    acme = rows(site)["acme-kitaru"]
    assert acme["status"] == "available"
    assert acme["interface"] == ">=0.1,<1"
    supplied = {(one["kind"], one["name"]) for one in acme["supplies"]}
    assert {
        ("artifact_store", "acme"),
        ("stack_type", "acme"),
        ("uri_scheme", "acme://"),
        ("command", "acme"),
        ("serializer", "acme_kitaru.types:Tensor"),
        ("observer", "kitaru_checkpoint_finished"),
    } <= supplied


BROKEN = {
    "raises-on-import": ("raise RuntimeError('no driver')", r"importing it failed: RuntimeError: no driver"),
    "syntax-error": ("def broken(:", "importing it failed: SyntaxError"),
    "exits-on-import": ("import sys; sys.exit(3)", "importing it failed: SystemExit: 3"),
    "unknown-hook": (IMPLEMENTS + "def kitaru_execution_startet(execution): ...", "kitaru_execution_startet"),
    "unknown-argument": (IMPLEMENTS + "def kitaru_checkpoint_finished(call, extra): ...", "extra"),
    "no-hook": ("def kitaru_register(register): ...", "mark its functions"),
    "wraps": (
        "from kitaru.plugins import hookimpl\n@hookimpl(wrapper=True)\ndef kitaru_register(register):\n    yield",
        "cannot be wrapped",
    ),
    "registrar-raises": (
        IMPLEMENTS + "def kitaru_register(register):\n    register.uri_scheme('half://', provider='half')\n    1 / 0",
        "kitaru_register failed: ZeroDivisionError",
    ),
    "registrar-exits": (IMPLEMENTS + "def kitaru_register(register): raise SystemExit('bye')", "SystemExit: bye"),
    "unknown-kind": (
        IMPLEMENTS + "def kitaru_register(register): register.component('toaster', 'x', implementation='a:B')",
        "unknown component kind 'toaster'",
    ),
    "bad-path": (
        IMPLEMENTS + "def kitaru_register(register): register.component('log_store', 'x', implementation='a.B')",
        "not a dotted path",
    ),
    "bad-scheme": (
        IMPLEMENTS + "def kitaru_register(register): register.uri_scheme('x', provider='x')",
        "not a URI scheme",
    ),
    "twice": (
        IMPLEMENTS + "def kitaru_register(register):\n    for _ in 'ab': register.command('twice', 'a:b', help='')",
        "registered twice",
    ),
}


def test_every_way_to_be_broken_has_its_reason_and_breaks_nothing_else(site: Site) -> None:
    for name, (code, _) in BROKEN.items():
        site.add(name, code)
    site.add_project(ACME)
    found = rows(site)
    for name, (_, reason) in BROKEN.items():
        assert found[name]["status"] == "unavailable", name
        assert reason in found[name]["reason"], name
        assert found[name]["supplies"] == []
    assert {found[name]["status"] for name in ("kitaru-local", "kitaru-aws", "acme-kitaru")} == {"available"}


def test_half_a_registration_leaves_nothing_behind(site: Site) -> None:
    site.add(*("registrar-raises", BROKEN["registrar-raises"][0]))
    out = site.python("""
        from kitaru.plugins.manager import plugin_manager
        from kitaru.errors import KitaruPluginError
        manager = plugin_manager()
        try:
            manager.provider_of("half://x")
        except KitaruPluginError as error:
            print(error)
        print(manager.observer_hooks())
    """)
    assert "no available plugin supplies the URI scheme `half://`" in out
    assert "registrar-raises" in out


@pytest.mark.parametrize(
    ("requires", "status", "interface"),
    [
        (["kitaru-core>=0.1,<1"], "available", ">=0.1,<1"),
        (["kitaru-core<1,>=0.1"], "available", ">=0.1,<1"),
        (["Kitaru_Core >= 0.1"], "available", ">=0.1"),
        (["kitaru-core (>=0.1)"], "available", ">=0.1"),
        (["kitaru-core==0.1"], "available", "==0.1"),
        (["kitaru-core==0.1.*"], "available", "==0.1.*"),
        (["kitaru-core~=0.1"], "available", "~=0.1"),
        (["kitaru-core>=0.2.dev1"], "unavailable", ">=0.2.dev1"),
        (["kitaru-core>0.1,!=0.1.1"], "unavailable", ">0.1,!=0.1.1"),
        (["kitaru-core[extra]>=0.1"], "available", ">=0.1"),
        (["kitaru-core>=0.1; python_version >= '3.11'"], "available", ">=0.1"),
        (["kitaru-core"], "available", "any"),
        ([], "available", "any"),
        (["kitaru-core>=99"], "unavailable", ">=99"),
        (["kitaru-core>=1.2,<2"], "unavailable", ">=1.2,<2"),
        (["kitaru-core==0.0.1"], "unavailable", "==0.0.1"),
        (["kitaru-core>=99; extra == 'never'"], "available", "any"),
        (["kitaru-core>=ninety"], "unavailable", "unreadable"),
        (["kitaru-core-tools>=99"], "available", "any"),
    ],
)
def test_the_interface_is_checked_before_import(site: Site, requires: list[str], status: str, interface: str) -> None:
    imported = site.folder / "imported"
    code = f"open({str(imported)!r}, 'w')\n" + IMPLEMENTS + "def kitaru_register(register): ..."
    site.add("stranger", code, requires=requires)
    row = rows(site)["stranger"]
    assert (row["status"], row["interface"]) == (status, interface)
    assert imported.exists() == (status == "available")
    if status == "unavailable" and interface != "unreadable":
        assert interface in row["reason"] and "is installed" in row["reason"] and "pip install" in row["reason"]


@pytest.mark.parametrize(
    ("selection", "allowed"), [("off", set()), ("stranger", {"stranger"}), ("local, stranger", {"local", "stranger"})]
)
def test_kitaru_plugins_is_applied_before_import(site: Site, selection: str, allowed: set[str]) -> None:
    imported = site.folder / "imported"
    site.add("stranger", f"open({str(imported)!r}, 'w')\n" + IMPLEMENTS + "def kitaru_register(register): ...")
    found = rows(site, KITARU_PLUGINS=selection)
    assert {row["name"] for row in found.values() if row["status"] == "available"} == {"core", *allowed}
    others = [row for row in found.values() if row["status"] != "available"]
    assert all(row["status"] == "disabled" and f"KITARU_PLUGINS={selection}" in row["reason"] for row in others)
    assert imported.exists() == ("stranger" in allowed)


CLASHES = {
    "flavor": "register.component('artifact_store', 'same', implementation='a:B')",
    "scheme": "register.uri_scheme('same://', provider='p')",
    "command": "register.command('same', 'a:b', help='')",
    "serializer": "register.serializer('a:B', 'c:D')",
    "stack type": "register.stack_type('same', provider='p', display='P', fields={}, components='a:b')",
}


@pytest.mark.parametrize("what", CLASHES)
def test_a_clash_names_both_distributions(site: Site, what: str) -> None:
    for name in ("first-one", "second-one"):
        site.add(name, IMPLEMENTS + f"def kitaru_register(register): {CLASHES[what]}")
    found = rows(site)
    assert found["first-one"]["status"] == "available"
    assert found["second-one"]["status"] == "unavailable"
    assert "first-one and second-one both supply" in found["second-one"]["reason"]


def test_one_stack_type_may_have_several_providers(site: Site) -> None:
    for name in ("first-one", "second-one"):
        declared = f"register.stack_type('same', provider='{name}', display='P', fields={{}}, components='a:b')"
        site.add(name, IMPLEMENTS + f"def kitaru_register(register): {declared}")
    found = rows(site)
    assert found["first-one"]["status"] == found["second-one"]["status"] == "available"


def test_nobody_can_take_over_what_we_supply(site: Site) -> None:
    site.add(
        "aaa-first",
        IMPLEMENTS
        + "def kitaru_register(register): register.component('artifact_store', 'local', implementation='a:B')",
    )
    found = rows(site)
    assert found["kitaru-local"]["status"] == "available"
    assert "kitaru-local and aaa-first" in found["aaa-first"]["reason"]


def test_two_plugins_of_one_name(site: Site) -> None:
    for name in ("first-one", "second-one"):
        site.add(
            name,
            IMPLEMENTS + "def kitaru_register(register): ...",
            entry_points={"same": name.replace("-", "_")},
        )
    found = rows(site)
    assert found["first-one"]["status"] == "available"
    assert "first-one and second-one both name a plugin `same`" in found["second-one"]["reason"]

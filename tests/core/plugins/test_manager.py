"""What the manager answers, and what it costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.plugins.sites import ACME, Site

from kitaru.errors import KitaruPluginError, KitaruUsageError
from kitaru.plugins.manager import PluginManager, plugin_manager


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PluginManager:
    """A manager that finds the stranger's plugin in this process."""
    site = Site(tmp_path / "site")
    site.add_project(ACME)
    monkeypatch.syspath_prepend(str(site.folder))
    for name in [name for name in sys.modules if name.partition(".")[0] == "acme_kitaru"]:
        monkeypatch.delitem(sys.modules, name)
    return PluginManager()


def test_the_process_has_one_manager() -> None:
    assert plugin_manager() is plugin_manager()


def test_a_flavor_is_built_from_checked_settings(acme: PluginManager) -> None:
    store = acme.flavor("artifact_store", "acme").build({"bucket": "papers"})
    store.put("key", b"value")
    assert store.get("key") == b"value"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"bucket": "papers", "tokn": "hunter2"}, ["tokn", "not permitted"]),
        ({"bucket": "NOT hunter2"}, ["bucket", "pattern"]),
        ({}, ["bucket", "required"]),
    ],
)
def test_bad_settings_are_named_and_their_values_are_not(
    acme: PluginManager, settings: dict[str, str], words: list[str]
) -> None:
    with pytest.raises(KitaruUsageError) as raised:
        acme.flavor("artifact_store", "acme").build(settings)
    text = str(raised.value)
    assert all(word in text.lower() for word in [*words, "acme-kitaru 2.3.0"])
    assert "hunter2" not in text


def test_a_flavor_without_settings_takes_none(acme: PluginManager) -> None:
    with pytest.raises(KitaruUsageError, match="takes no settings, but got color"):
        acme.flavor("log_store", "acme").build({"color": "red"})


def test_bad_settings_of_the_local_store() -> None:
    flavor = plugin_manager().flavor("artifact_store", "local")
    for settings in ({}, {"uri": "s3://bucket"}, {"uri": "file:///tmp/x", "other": 1}, {"uri": 3}):
        with pytest.raises(KitaruUsageError, match="artifact_store `local` of plugin `local`"):
            flavor.build(settings)


def test_an_implementation_that_cannot_be_imported_says_what_to_install(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add(
        "needy",
        "from kitaru.plugins import hookimpl\n@hookimpl\ndef kitaru_register(register):\n"
        "    register.component('log_store', 'needy', implementation='needy_sdk:Logs',"
        " install='pip install needy[sdk]')",
    )
    out = site.python("""
        from kitaru.plugins.manager import plugin_manager
        from kitaru.errors import KitaruPluginError
        try:
            plugin_manager().flavor("log_store", "needy").build({})
        except KitaruPluginError as error:
            print(error)
    """)
    assert "log_store `needy` of plugin `needy` (needy 1.0)" in out
    assert "No module named 'needy_sdk'" in out
    assert "pip install needy[sdk]" in out


@pytest.mark.parametrize("name", ["azure-files", "unheard-of"])
def test_what_nobody_supplies(name: str) -> None:
    with pytest.raises(KitaruPluginError, match=f"no available plugin supplies the artifact_store flavor `{name}`"):
        plugin_manager().flavor("artifact_store", name)


@pytest.mark.parametrize(
    ("kind", "name", "extra"),
    [
        ("artifact_store", "s3", "aws"),
        ("artifact_store", "gcs", "gcp"),
        ("artifact_store", "azure-blob", "azure"),
        ("container_registry", "ecr", "aws"),
        ("orchestrator", "vertex", "gcp"),
        ("orchestrator", "local", "local"),
    ],
)
def test_a_missing_package_of_ours_is_named_with_its_command(kind: str, name: str, extra: str) -> None:
    with pytest.raises(KitaruPluginError) as raised:
        PluginManager(found=[]).flavor(kind, name)
    assert f"pip install 'kitaru[{extra}]'" in str(raised.value)


def test_what_several_packages_supply_names_them_all() -> None:
    with pytest.raises(KitaruPluginError, match=r"'kitaru\[aws\]'` or `pip install 'kitaru\[gcp\]'`"):
        PluginManager(found=[]).stack_type("kubernetes")


def test_a_package_that_is_installed_but_does_not_supply_it_yet() -> None:
    with pytest.raises(KitaruPluginError, match=r"kitaru-azure \S+ does not.*pip install -U 'kitaru\[azure\]'"):
        plugin_manager().flavor("orchestrator", "aks")


def test_a_uri_belongs_to_the_provider_of_its_scheme(acme: PluginManager) -> None:
    assert acme.provider_of("s3://bucket/folder") == "aws"
    assert acme.provider_of("gs://bucket") == "gcp"
    assert acme.provider_of("abfss://container@account/x") == "azure"
    assert acme.provider_of("acme://bucket") == "acme"
    with pytest.raises(KitaruPluginError, match="ftp://"):
        acme.provider_of("ftp://host")
    with pytest.raises(KitaruPluginError, match=r"pip install 'kitaru\[aws\]'"):
        PluginManager(found=[]).provider_of("s3://bucket")


def test_a_stack_type_makes_components(acme: PluginManager, tmp_path: Path) -> None:
    from kitaru.stack.components import Component, Place

    made = acme.stack_type("acme").make_components({"artifact_store": "acme://papers"}, Place(tmp_path))
    assert made[0] == Component("artifact_store", "acme", {"bucket": "papers"})


def test_a_command_is_imported_when_it_is_asked_for(acme: PluginManager) -> None:
    (command,) = [one for one in acme.commands() if one.name == "acme"]
    assert command.help == "Say hello from Acme."
    assert "acme_kitaru.cli" not in sys.modules
    from click.testing import CliRunner

    assert CliRunner().invoke(command.load(), ["--name", "you"]).output == "hello you\n"


def test_loading_all_plugins_imports_nothing_behind_them(tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.add_project(ACME)
    loaded = json.loads(
        site.python("""
            import json, sys
            from kitaru.plugins.manager import plugin_manager
            assert [one.status for one in plugin_manager().plugins()] == ["available"] * 6
            print(json.dumps(sorted(sys.modules)))
        """)
    )
    heavy = {"boto3", "botocore", "google.cloud", "azure", "zenml", "fsspec", "pydantic", "click", "rich", "apsw"}
    assert not heavy & set(loaded)
    behind = [name for name in loaded if name.startswith(("kitaru_", "acme_kitaru")) and not name.endswith(".plugin")]
    assert set(behind) <= {"kitaru_aws", "kitaru_azure", "kitaru_gcp", "kitaru_local", "acme_kitaru"}


def test_twenty_plugins_hardly_slow_the_command_line_down(tmp_path: Path) -> None:
    none, twenty = Site(tmp_path / "none"), Site(tmp_path / "twenty")
    for number in range(20):
        twenty.add(
            f"plugin-{number}",
            "from kitaru.plugins import hookimpl\n@hookimpl\ndef kitaru_register(register):\n"
            f"    register.command('command-{number}', 'nothing:here', help='Do {number}.')",
        )
    code = """
        import sys
        from kitaru.cli.main import main
        sys.argv = ["kitaru", "--help"]
        main()
    """
    assert "Do 19." in twenty.python(code)

    def seconds(site: Site) -> float:
        before = time.perf_counter()
        site.python(code)
        return time.perf_counter() - before

    taken = [(seconds(none), seconds(twenty)) for _ in range(7)]
    without, with_twenty = (min(column) for column in zip(*taken, strict=True))
    assert with_twenty < 1.2 * without + 0.02, taken  # measured: 1.04 times; 20 ms for a noisy machine


def test_a_deprecated_hook_works_and_warns_its_author_only(tmp_path: Path) -> None:
    """As ``docs/plugins/compatibility.md`` promises; nothing is deprecated at present."""
    site = Site(tmp_path / "site")
    site.add("old", "from kitaru.plugins import hookimpl\n@hookimpl\ndef kitaru_old(what): ...")
    code = """
        import sys, warnings
        from kitaru.plugins import hookspecs, manager
        from kitaru.plugins.marker import hookspec

        @hookspec(warn_on_impl=DeprecationWarning("kitaru_old is deprecated: use kitaru_new."))
        def kitaru_old(what): ...

        hookspecs.kitaru_old = kitaru_old
        if sys.argv[1:]:
            warnings.simplefilter("always")
        (old,) = (one for one in manager.plugin_manager().plugins() if one.name == "old")
        print(old.status, manager.plugin_manager().observer_hooks())
    """

    def loaded(*arguments: str) -> tuple[str, str]:
        script = textwrap.dedent(code)
        env = {**os.environ, "PYTHONPATH": str(site.folder), "KITARU_PLUGINS": "old"}
        done = subprocess.run([sys.executable, "-c", script, *arguments], env=env, capture_output=True, text=True)
        return done.stdout.strip(), done.stderr

    assert loaded() == ("available {'kitaru_old'}", "")
    told, warned = loaded("as pytest does")
    assert told == "available {'kitaru_old'}"
    assert "DeprecationWarning: kitaru_old is deprecated: use kitaru_new." in warned

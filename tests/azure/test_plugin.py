"""What kitaru-azure declares, and what reading that loads."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from kitaru.plugins.manager import plugin_manager


def test_what_it_supplies() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-azure"]
    assert (info.name, info.status, info.reason) == ("azure", "available", None)
    assert {(one.kind, one.name) for one in info.supplies} == {
        ("artifact_store", "azure-blob"),
        ("container_registry", "acr"),
        ("log_store", "azure-monitor"),
        ("secret_store", "azure-key-vault"),
        ("orchestrator", "azureml"),
        ("stack_type", "azureml"),
        ("uri_scheme", "az://"),
        ("uri_scheme", "abfs://"),
        ("uri_scheme", "abfss://"),
    }
    for scheme in ("az://", "abfs://", "abfss://"):
        assert plugin_manager().provider_of(f"{scheme}box/folder") == "azure"


def test_help_listing_and_rules_load_no_sdk() -> None:
    code = """
        import sys
        from kitaru.cli.main import cli
        from click.testing import CliRunner
        for arguments in (["--help"], ["plugins", "list"], ["stack", "create", "--help"], ["stack", "list"]):
            assert CliRunner().invoke(cli, arguments).exit_code == 0
        assert CliRunner().invoke(cli, ["stack", "create", "x", "--type", "azureml"]).exit_code == 1
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"azure", "requests", "msal"}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")

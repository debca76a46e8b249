"""What kitaru-gcp declares, and what reading that loads."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from kitaru.plugins.manager import plugin_manager


def test_what_it_supplies() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-gcp"]
    assert (info.name, info.status, info.reason) == ("gcp", "available", None)
    assert {(one.kind, one.name) for one in info.supplies} == {
        ("artifact_store", "gcs"),
        ("container_registry", "gar"),
        ("log_store", "cloud-logging"),
        ("secret_store", "gcp-secret-manager"),
        ("orchestrator", "gke"),
        ("orchestrator", "vertex"),
        ("stack_type", "kubernetes"),
        ("stack_type", "vertex"),
        ("uri_scheme", "gs://"),
    }
    assert plugin_manager().provider_of("gs://bucket/folder") == "gcp"


def test_help_listing_and_rules_load_no_sdk() -> None:
    code = """
        import sys
        from kitaru.cli.main import cli
        from click.testing import CliRunner
        for arguments in (["--help"], ["plugins", "list"], ["stack", "create", "--help"], ["stack", "list"]):
            assert CliRunner().invoke(cli, arguments).exit_code == 0
        assert CliRunner().invoke(cli, ["stack", "create", "x", "--type", "vertex"]).exit_code == 1
        loaded = {name.partition(".")[0] for name in sys.modules}
        print(sorted(loaded & {"google", "googleapiclient", "requests", "grpc"}))
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")

"""What kitaru-aws declares, and what reading that loads."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from kitaru.plugins.manager import plugin_manager


def test_what_it_supplies() -> None:
    (info,) = [one for one in plugin_manager().plugins() if one.distribution == "kitaru-aws"]
    assert (info.name, info.status, info.reason) == ("aws", "available", None)
    supplied = {(one.kind, one.name) for one in info.supplies}
    assert supplied == {
        ("artifact_store", "s3"),
        ("container_registry", "ecr"),
        ("log_store", "cloudwatch"),
        ("secret_store", "aws-secrets-manager"),
        ("orchestrator", "eks"),
        ("orchestrator", "sagemaker"),
        ("stack_type", "kubernetes"),
        ("stack_type", "sagemaker"),
        ("uri_scheme", "s3://"),
    }
    assert plugin_manager().provider_of("s3://bucket/folder") == "aws"


def test_help_listing_and_rules_load_no_sdk() -> None:
    code = """
        import sys
        from kitaru.cli.main import cli
        from click.testing import CliRunner
        for arguments in (["--help"], ["plugins", "list"], ["stack", "create", "--help"], ["stack", "list"]):
            assert CliRunner().invoke(cli, arguments).exit_code == 0
        assert CliRunner().invoke(cli, ["stack", "create", "x", "--type", "sagemaker"]).exit_code == 1
        print(sorted({name.partition(".")[0] for name in sys.modules} & {"boto3", "botocore", "s3fs", "fsspec"}))
    """

    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[]\n", "")

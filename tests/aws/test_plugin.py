"""What kitaru-aws declares, and what reading that loads."""

from __future__ import annotations

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

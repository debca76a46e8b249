"""Looks at what a stack on AWS names before the stack is made: real calls, each bounded by its client's timeouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kitaru.stack.credentials import Credentials, Probe, look
from kitaru_aws.config import AwsConfig, EcrConfig, EksConfig, S3Config, SageMakerConfig
from kitaru_aws.container_registry import EcrContainerRegistry
from kitaru_aws.errors import aws_errors
from kitaru_aws.session import client


def verify_eks(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of a `kubernetes` stack on AWS."""
    del credentials  # every component's settings have them
    config = EksConfig(**settings["orchestrator"])
    own = (f"cluster {config.cluster}", lambda: _cluster(config))
    return look(lambda: _sign_in(config), own, *_shared(settings))


def verify_sagemaker(settings: Mapping[str, Mapping[str, Any]], credentials: Credentials) -> list[Probe]:
    """Probes of a `sagemaker` stack."""
    del credentials
    config = SageMakerConfig(**settings["orchestrator"])
    own = (f"execution role {config.execution_role}", lambda: _role(config))
    return look(lambda: _sign_in(config), own, *_shared(settings))


def _shared(settings: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Callable[[], None]]]:
    store = S3Config(**settings["artifact_store"])
    registry = EcrContainerRegistry(EcrConfig(**settings["container_registry"]))
    return [
        (f"artifact store s3://{store.bucket}", lambda: _bucket(store)),
        (f"container registry {registry.uri}", registry.verify),
    ]


def _sign_in(config: AwsConfig) -> None:
    with aws_errors("signing in to AWS"):
        client("sts", AwsConfig(region=config.region, credentials=config.credentials)).get_caller_identity()


def _cluster(config: EksConfig) -> None:
    with aws_errors(f"looking at the cluster {config.cluster}"):
        client("eks", config).describe_cluster(name=config.cluster)


def _role(config: SageMakerConfig) -> None:
    role = config.execution_role.rpartition("/")[2]
    with aws_errors(f"looking at the role {role}"):
        client("iam", config).get_role(RoleName=role)


def _bucket(config: S3Config) -> None:
    with aws_errors(f"looking at the bucket {config.bucket}"):
        client("s3", config).list_objects_v2(Bucket=config.bucket, MaxKeys=1)

"""Secrets Manager, CloudWatch Logs and ECR, on moto's server."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from tests.aws.conftest import REGION, SECRET

from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import set_global_log_store
from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import (
    ContainerRegistryConformance,
    FlavorSettings,
    LogStoreConformance,
    SecretStoreConformance,
)
from kitaru_aws.config import AwsConfig, CloudWatchConfig
from kitaru_aws.session import client

NOWHERE = "http://127.0.0.1:9"
REGISTRY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com"


def made(kind: str, flavor: str, settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor(kind, flavor).build(settings)


class TestSecretsManager(SecretStoreConformance):
    @pytest.fixture
    def secret_store(self, aws: dict[str, Any]) -> Any:
        return made("secret_store", "aws-secrets-manager", aws)

    @pytest.fixture
    def unreachable_secret_store(self, aws: dict[str, Any]) -> Any:
        return made("secret_store", "aws-secrets-manager", {**aws, "endpoint_url": NOWHERE})


def test_secrets_of_others_are_left_alone(aws: dict[str, Any]) -> None:
    plain = client("secretsmanager", AwsConfig(**aws))
    name = f"other-{uuid4().hex}"
    plain.create_secret(Name=name, SecretString="theirs")
    plain.create_secret(Name=f"kitaru/{name}/deeper", SecretString="theirs")
    plain.create_secret(Name=f"kitaru/{name}", SecretString="no values")
    store = made("secret_store", "aws-secrets-manager", aws)
    assert [one for one in store.list() if name in one] == [name], "the one that has a name of ours"
    with pytest.raises(KitaruBackendError, match="does not hold values any more"):
        store.get(name)
    with pytest.raises(KitaruUsageError, match="too large"):
        store.set(name, {"KEY": "x" * 70_000})


class TestCloudWatch(LogStoreConformance):
    @pytest.fixture
    def log_store(self, aws: dict[str, Any]) -> Any:
        return made("log_store", "cloudwatch", aws)

    @pytest.fixture
    def flavor_settings(self, aws: dict[str, Any]) -> FlavorSettings:
        return FlavorSettings("log_store", "cloudwatch", aws, (SECRET,))

    @pytest.fixture
    def unreachable_log_store(self, aws: dict[str, Any]) -> Any:
        return made("log_store", "cloudwatch", {**aws, "endpoint_url": NOWHERE})


def test_a_log_group_is_made_with_its_retention(aws: dict[str, Any]) -> None:
    group = f"/kitaru/{uuid4().hex}"
    store = made("log_store", "cloudwatch", {**aws, "log_group": group, "retention_days": 7})
    store.verify()
    store.append(str(uuid4()), [LogRecord(1, "INFO", "first", "stdout")])
    (found,) = client("logs", AwsConfig(**aws)).describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert found["retentionInDays"] == 7


def test_a_line_that_is_never_taken(aws: dict[str, Any]) -> None:
    store = made("log_store", "cloudwatch", aws)
    with pytest.raises(KitaruUsageError, match="too large for CloudWatch"):
        store.append(str(uuid4()), [LogRecord(1, "INFO", "é" * 140_000, "stdout")])


@checkpoint
def speak(words: str) -> str:
    print(words)
    return words


@flow
def talk(words: str) -> str:
    return speak(words)


def test_a_user_can_prefer_it(aws: dict[str, Any], moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """`kitaru log-store set cloudwatch --endpoint ...`: lines of flows on any stack go there."""
    for name, value in (("ACCESS_KEY_ID", "A"), ("SECRET_ACCESS_KEY", SECRET), ("DEFAULT_REGION", REGION)):
        monkeypatch.setenv(f"AWS_{name}", value)
    group = f"/flows/{uuid4().hex}"
    set_global_log_store("cloudwatch", endpoint=f"{moto}{group}")
    handle = talk.run("hello")
    assert handle.wait() == "hello"
    assert [one.message for one in KitaruClient().executions.logs(handle.exec_id)] == ["hello"]
    streams = client("logs", AwsConfig(**aws)).describe_log_streams(logGroupName=group)["logStreams"]
    assert [one["logStreamName"] for one in streams] == [handle.exec_id]


def test_what_an_endpoint_stands_for() -> None:
    config = CloudWatchConfig(endpoint="https://logs.eu-west-1.amazonaws.com/my/group/")  # type: ignore[call-arg]
    assert (config.region, config.log_group, config.endpoint_url) == ("eu-west-1", "/my/group", None)
    plain = CloudWatchConfig(endpoint="https://logs.eu-west-1.amazonaws.com")  # type: ignore[call-arg]
    assert plain.log_group == "/kitaru/executions"


class TestEcr(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, aws: dict[str, Any]) -> Any:
        return made("container_registry", "ecr", {**aws, "uri": f"https://{REGISTRY}/"})

    @pytest.fixture
    def refusing_container_registry(self, aws: dict[str, Any]) -> Any:
        return made("container_registry", "ecr", {**aws, "uri": REGISTRY, "endpoint_url": NOWHERE})


def test_a_repository_is_looked_at(aws: dict[str, Any]) -> None:
    ecr = client("ecr", AwsConfig(**aws))
    ecr.create_repository(repositoryName="flows/research")
    registry = made("container_registry", "ecr", {**aws, "uri": f"{REGISTRY}/flows/research"})
    registry.verify()
    user, password = registry.login()
    assert user == "AWS" and password
    with pytest.raises(KitaruBackendError, match=r"there is no such repository.*RepositoryNotFoundException"):
        made("container_registry", "ecr", {**aws, "uri": f"{REGISTRY}/none"}).verify()
    for uri in ("docker.io/x", " ", "123.dkr.ecr.eu-west-1.amazonaws.com"):
        with pytest.raises(KitaruUsageError, match="address of a registry"):
            made("container_registry", "ecr", {**aws, "uri": uri})

"""Stacks on AWS: credentials, components, what the engine is told, probes, and one that flows run on."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from tests.aws.conftest import REGION, SECRET

from kitaru import KitaruClient, flow
from kitaru.config import config_directory
from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack import operations, stacks
from kitaru.stack.components import Place
from kitaru.stack.credentials import Credentials
from kitaru_aws.config import AwsConfig
from kitaru_aws.credentials import parse_credentials
from kitaru_aws.errors import backend_error
from kitaru_aws.session import client

REGISTRY = f"123456789012.dkr.ecr.{REGION}.amazonaws.com/flows"
KEYS = f"aws-access-keys:AKIAEXAMPLE:{SECRET}"
EKS = {"cluster": "big", "region": REGION, "container_registry": REGISTRY, "artifact_store": "s3://bucket/x"}


# -- credentials ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Credentials()),
        ("  ", Credentials()),
        ("Implicit", Credentials()),
        (" AWS-Profile : dev ", Credentials(public={"profile_name": "dev"})),
        ("aws-access-key:ID:a:b", Credentials("secret-key", {"access_key_id": "ID"}, {"secret_access_key": "a:b"})),
        (
            "aws-session-token: ID : S : T:U ",
            Credentials("sts-token", {"access_key_id": "ID"}, {"secret_access_key": "S", "session_token": "T:U"}),
        ),
    ],
)
def test_the_mini_language(text: str | None, expected: Credentials) -> None:
    assert parse_credentials(text) == expected
    assert "a:b" not in repr(parse_credentials(text)) and "T:U" not in repr(parse_credentials(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (SECRET, "these credentials are none for AWS: use `implicit`, `aws-profile:NAME`"),
        ("aws-profile:", "needs a name"),
        (f"aws-access-keys:{SECRET}", "needs all 2 parts"),
        (f"aws-access-keys::{SECRET}", "needs all 2 parts"),
        (f"aws-session-token:ID:{SECRET}", "needs all 3 parts"),
        (f"gcp-service-account:{SECRET}", "unknown credentials method `gcp-service-account`"),
    ],
)
def test_what_is_no_credentials_is_quoted_nowhere(text: str, told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told) as caught:
        parse_credentials(text)
    assert SECRET not in str(caught.value)


# -- what a stack is made of -----------------------------------------------------------------------------------------


def test_components_of_an_eks_stack(tmp_path: Path) -> None:
    declared = plugin_manager().stack_type("kubernetes", "aws")
    fields = {**EKS, "namespace": "default"}
    made = {one.kind: one for one in declared.make_components(fields, Place(tmp_path))}
    assert {kind: one.flavor for kind, one in made.items()} == {
        "orchestrator": "eks",
        "artifact_store": "s3",
        "container_registry": "ecr",
        "log_store": "artifact-store",
        "secret_store": "aws-secrets-manager",
    }
    assert made["artifact_store"].settings == {"uri": "s3://bucket/x", "region": REGION}
    assert made["container_registry"].settings["uri"] == REGISTRY
    signed = parse_credentials(KEYS)
    engine = declared.engine_stack(fields, signed)
    assert [(one.kind, one.flavor, dict(one.configuration), one.resource) for one in engine.components] == [
        ("orchestrator", "kubernetes", {"kubernetes_namespace": "default"}, "big"),
        ("artifact_store", "s3", {"path": "s3://bucket/x"}, "s3://bucket"),
        ("container_registry", "aws", {"uri": REGISTRY}, REGISTRY.partition("/")[0]),
    ]
    assert (engine.connector.type, engine.connector.method) == ("aws", "secret-key")
    assert SECRET not in repr(engine)


def test_components_of_a_sagemaker_stack(tmp_path: Path) -> None:
    declared = plugin_manager().stack_type("sagemaker")
    fields = {**EKS, "execution_role": "arn:aws:iam::1:role/r"}
    (orchestrator,) = [one for one in declared.make_components(fields, Place(tmp_path)) if one.kind == "orchestrator"]
    assert orchestrator.settings == {"execution_role": "arn:aws:iam::1:role/r", "region": REGION}
    assert declared.engine_stack(fields, None).components[0].configuration == {
        "execution_role": "arn:aws:iam::1:role/r"
    }


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"artifact_store": "s3://"}, "must name a bucket"),
        ({"artifact_store": "s3:///path"}, "must name a bucket"),
        ({"container_registry": "https:///"}, "address of a registry"),
    ],
)
def test_fields_that_cannot_be(wrong: dict[str, str], told: str, tmp_path: Path) -> None:
    with pytest.raises(KitaruUsageError, match=told):
        plugin_manager().stack_type("kubernetes", "aws").make_components(
            {**EKS, "namespace": "n", **wrong}, Place(tmp_path)
        )


# -- made, looked at, used -------------------------------------------------------------------------------------------


@pytest.fixture
def cloud(moto: str, aws: dict[str, Any], bucket: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An account with all that a stack needs; gives the stack's fields."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", moto)
    config = AwsConfig(**aws)
    ecr, eks, iam = (client(service, config) for service in ("ecr", "eks", "iam"))
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    role = iam.create_role(RoleName=f"role-{bucket}", AssumeRolePolicyDocument=policy)["Role"]["Arn"]
    ecr.create_repository(repositoryName=bucket)
    eks.create_cluster(name=bucket, roleArn=role, resourcesVpcConfig={})
    host = REGISTRY.partition("/")[0]
    return {
        "artifact_store": f"s3://{bucket}/kitaru",
        "container_registry": f"{host}/{bucket}",
        "cluster": bucket,
        "region": REGION,
        "execution_role": role,
        "credentials": KEYS,
    }


def eks(cloud: dict[str, str], **changed: Any) -> Any:
    fields = {name: value for name, value in cloud.items() if name != "execution_role"}
    return KitaruClient().stacks.create("prod", "kubernetes", **{**fields, **changed})


def test_a_stack_is_looked_at_and_made(cloud: dict[str, str]) -> None:
    result = eks(cloud)
    assert result.components_created == ("prod (orchestrator)", "prod (artifact_store)", "prod (container_registry)")
    assert list(result.resources) == [
        "provider",
        "cluster",
        "region",
        "namespace",
        "artifact_store",
        "container_registry",
    ]
    shown = {one.role: dict(one.details) for one in KitaruClient().stacks.show("prod").components}
    assert shown["runner"] == {"cluster": cloud["cluster"], "region": REGION, "namespace": "default"}
    assert shown["storage"] == {"location": cloud["artifact_store"]}
    everything = b"".join(path.read_bytes() for path in config_directory().rglob("*") if path.is_file())
    assert SECRET.encode() not in everything
    role = {name: value for name, value in cloud.items() if name != "cluster"}
    made = KitaruClient().stacks.create("jobs", "sagemaker", **role)
    assert made.stack_type == "sagemaker" and made.previous_active_stack == "prod"


def test_its_stores_work_and_its_orchestrator_says_what_is_missing(cloud: dict[str, str]) -> None:
    eks(cloud)
    built = stacks.select("prod", operations.place())
    store, secrets = (
        plugin_manager().flavor(kind, built.component(kind).flavor).build(
            stacks.component_settings(built, built.component(kind), operations.place())
        )
        for kind in ("artifact_store", "secret_store")
    )  # fmt: skip
    store.put("a", b"x")
    assert store.get("a") == b"x"
    KitaruClient().secrets.set("api", {"KEY": "value"})
    assert secrets.get("api") == {"KEY": "value"}, "the stack in force has it"

    @flow
    def never() -> None: ...

    with pytest.raises(KitaruFeatureNotAvailableError, match=r"flows cannot run on EKS yet.*kitaru stack use default"):
        never.run()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"artifact_store": "s3://no-such-bucket"}, "artifact store s3://no-such-bucket: .*there is no such bucket"),
        ({"cluster": "none"}, "cluster none: .*it is not there"),
        ({"container_registry": REGISTRY.partition("/")[0] + "/none"}, "there is no such repository"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_made(cloud: dict[str, str], changed: dict[str, str], told: str) -> None:
    with pytest.raises(KitaruBackendError, match=told) as caught:
        eks(cloud, **changed)
    assert "nothing was created" in str(caught.value) and SECRET not in str(caught.value)
    assert [one.stack.name for one in KitaruClient().stacks.list()] == ["default"]
    assert eks(cloud, **changed, verify=False).stack.name == "prod"


def test_an_endpoint_that_cannot_be_reached_is_told_in_time(
    cloud: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(KitaruBackendError, match="credentials: signing in to AWS failed: no answer from its address"):
        eks(cloud)


def test_a_typing_error_in_an_option_is_told_before_anybody_is_asked(cloud: dict[str, str]) -> None:
    with pytest.raises(
        KitaruUsageError, match=r"orchestrator \(flavor `eks`\): `synchronus`\. Did you mean `synchronous`\?"
    ):
        eks({**cloud, "artifact_store": "s3://no-such-bucket"}, extra={"orchestrator": {"synchronus": False}})


# -- what AWS answers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("ExpiredToken", "the credentials have expired"),
        ("InvalidClientTokenId", "the credentials were refused"),
        ("AccessDenied", "permission was denied"),
        ("NoSuchBucket", "there is no such bucket"),
        ("NoSuchEntity", "there is no such role"),
        ("SlowDown", "too many requests"),
        ("SomethingElse", "AWS answered SomethingElse"),
    ],
)
def test_answers_are_told_apart_and_quoted_nowhere(code: str, told: str) -> None:
    from botocore.exceptions import ClientError

    raw = ClientError({"Error": {"Code": code, "Message": f"for {SECRET}"}}, "Op")
    wrapped = OSError("wrapped")
    wrapped.__cause__ = raw
    for error, doing in itertools.product((raw, wrapped), ("writing",)):
        text = str(backend_error(error, doing))
        assert text.startswith(f"writing failed: {told}") and SECRET not in text

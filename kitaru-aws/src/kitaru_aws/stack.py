"""Makes stacks on AWS of the fields that their user gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.stack.components import Component, Place
from kitaru.stack.credentials import Credentials
from kitaru.stack.engine import EngineComponent, EngineConnector, EngineStack
from kitaru_aws.config import bucket_of, registry_uri


def eks_components(fields: Mapping[str, str], place: Place) -> list[Component]:
    """The components of a `kubernetes` stack on AWS."""
    del place
    orchestrator = {"cluster": fields["cluster"], "namespace": fields["namespace"], "region": fields["region"]}
    return [Component("orchestrator", "eks", orchestrator, credentials=True), *_shared(fields)]


def sagemaker_components(fields: Mapping[str, str], place: Place) -> list[Component]:
    """The components of a `sagemaker` stack."""
    del place
    orchestrator = {"execution_role": fields["execution_role"], "region": fields["region"]}
    return [Component("orchestrator", "sagemaker", orchestrator, credentials=True), *_shared(fields)]


def _shared(fields: Mapping[str, str]) -> list[Component]:
    region = {"region": fields["region"]}
    return [
        Component("artifact_store", "s3", {"uri": _uri(fields), **region}, credentials=True),
        Component("container_registry", "ecr", {"uri": _registry(fields), **region}, credentials=True),
        Component("log_store", "artifact-store"),
        Component("secret_store", "aws-secrets-manager", region, credentials=True),
    ]


def eks_engine(fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    """A `kubernetes` stack on AWS as the engine knows it."""
    configuration = {"kubernetes_namespace": fields["namespace"]}
    return _engine(EngineComponent("orchestrator", "kubernetes", configuration, fields["cluster"]), fields, credentials)


def sagemaker_engine(fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    """A `sagemaker` stack as the engine knows it."""
    configuration = {"execution_role": fields["execution_role"]}
    return _engine(EngineComponent("orchestrator", "sagemaker", configuration), fields, credentials)


def _engine(orchestrator: EngineComponent, fields: Mapping[str, str], credentials: Credentials | None) -> EngineStack:
    uri, registry = _uri(fields), _registry(fields)
    signed = credentials if credentials is not None else Credentials()
    return EngineStack(
        (
            orchestrator,
            EngineComponent("artifact_store", "s3", {"path": uri}, f"s3://{_bucket(uri)}"),
            EngineComponent("container_registry", "aws", {"uri": registry}, registry.partition("/")[0]),
        ),
        EngineConnector("aws", signed.method, {"region": fields["region"], **_names(signed.public)}, signed.secret),
    )


def _names(public: Mapping[str, str]) -> dict[str, Any]:
    # The engine has its own name for the id of a key.
    return {{"access_key_id": "aws_access_key_id"}.get(name, name): value for name, value in public.items()}


def _uri(fields: Mapping[str, str]) -> str:
    uri = fields["artifact_store"]
    _bucket(uri)
    return uri


def _bucket(uri: str) -> str:
    try:
        return bucket_of(uri)
    except ValueError as error:
        raise KitaruUsageError(f"the artifact store '{uri}' cannot be used: it {error}.") from None


def _registry(fields: Mapping[str, str]) -> str:
    try:
        return registry_uri(fields["container_registry"])
    except ValueError as error:
        raise KitaruUsageError(f"the container registry cannot be used: it {error}.") from None

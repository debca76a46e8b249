"""What this package supplies. Read at start-up, so it imports nothing but the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.declarations import FieldRule
    from kitaru.plugins.register import Register

_INSTALL = "pip install 'kitaru[aws]'"
_RULES: dict[str, FieldRule] = {"artifact_store": "required", "container_registry": "required", "region": "required"}


@hookimpl
def kitaru_register(register: Register) -> None:
    _components(register)
    _stack_types(register)
    register.uri_scheme("s3://", provider="aws")


def _components(register: Register) -> None:
    register.component(
        "artifact_store",
        "s3",
        config="kitaru_aws.config:S3Config",
        implementation="kitaru_aws.artifact_store:S3ArtifactStore",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "container_registry",
        "ecr",
        config="kitaru_aws.config:EcrConfig",
        implementation="kitaru_aws.container_registry:EcrContainerRegistry",
        install=_INSTALL,
        shown=("uri=location",),
    )
    register.component(
        "log_store",
        "cloudwatch",
        config="kitaru_aws.config:CloudWatchConfig",
        implementation="kitaru_aws.log_store:CloudWatchLogStore",
        install=_INSTALL,
        shown=("log_group", "region"),
    )
    register.component(
        "secret_store",
        "aws-secrets-manager",
        config="kitaru_aws.config:SecretsManagerConfig",
        implementation="kitaru_aws.secret_store:SecretsManagerStore",
        install=_INSTALL,
        shown=("prefix", "region"),
    )
    register.component(
        "orchestrator",
        "eks",
        config="kitaru_aws.config:EksConfig",
        implementation="kitaru_aws.orchestrators:EksOrchestrator",
        install=_INSTALL,
        shown=("cluster", "region", "namespace"),
        docs="https://docs.zenml.io/stacks/stack-components/orchestrators/kubernetes",
    )
    register.component(
        "orchestrator",
        "sagemaker",
        config="kitaru_aws.config:SageMakerConfig",
        implementation="kitaru_aws.orchestrators:SageMakerOrchestrator",
        install=_INSTALL,
        shown=("region", "execution_role"),
        docs="https://docs.zenml.io/stacks/stack-components/orchestrators/sagemaker",
    )


def _stack_types(register: Register) -> None:
    register.stack_type(
        "kubernetes",
        provider="aws",
        display="Kubernetes",
        fields={**_RULES, "cluster": "required", "namespace": "optional"},
        components="kitaru_aws.stack:eks_components",
        defaults={"namespace": "default"},
        credentials="kitaru_aws.credentials:parse_credentials",
        verify="kitaru_aws.verify:verify_eks",
        engine="kitaru_aws.stack:eks_engine",
        resources=("provider", "cluster", "region", "namespace", "artifact_store", "container_registry"),
    )
    register.stack_type(
        "sagemaker",
        provider="aws",
        display="SageMaker",
        fields={**_RULES, "execution_role": "required"},
        components="kitaru_aws.stack:sagemaker_components",
        credentials="kitaru_aws.credentials:parse_credentials",
        verify="kitaru_aws.verify:verify_sagemaker",
        engine="kitaru_aws.stack:sagemaker_engine",
        resources=("provider", "region", "artifact_store", "container_registry", "execution_role"),
    )

"""The stack types of the three clouds as their providers declare them, and nothing else of them: for tests of rules."""

from __future__ import annotations

from collections.abc import Mapping

from kitaru.plugins.declarations import FieldRule, Source, StackType, UriScheme
from kitaru.stack.types import StackCatalog

SOURCE = Source("test", "test", "1")
REMOTE = ("kubernetes", "vertex", "sagemaker", "azureml")
TYPES = ("local", *REMOTE)
#: What each type takes: R required, O optional; spec section 1.3.
MATRIX: dict[str, dict[str, str]] = {
    "artifact_store": dict.fromkeys(REMOTE, "R"),
    "container_registry": dict.fromkeys(REMOTE, "R"),
    "cluster": {"kubernetes": "R"},
    "region": {"kubernetes": "R", "vertex": "R", "sagemaker": "R", "azureml": "O"},
    "subscription_id": {"azureml": "R"},
    "resource_group": {"azureml": "R"},
    "workspace": {"azureml": "R"},
    "execution_role": {"sagemaker": "R"},
    "namespace": {"kubernetes": "O"},
    "credentials": dict.fromkeys(REMOTE, "O"),
    "verify": dict.fromkeys(REMOTE, "O"),
}
FIELDS = tuple(one for one in MATRIX if one != "verify")
_DISPLAY = {"sagemaker": "SageMaker", "azureml": "AzureML"}
_RULES: dict[str, FieldRule] = {"R": "required", "O": "optional"}


def declared(name: str, provider: str, defaults: Mapping[str, str] | None = None) -> StackType:
    """A type of the matrix."""
    fields = {
        field: _RULES[types[name]]
        for field, types in MATRIX.items()
        if name in types and field not in ("credentials", "verify")
    }
    return StackType(
        name,
        provider,
        _DISPLAY.get(name, name.capitalize()),
        fields,
        "none:none",
        SOURCE,
        defaults or {},
        "none:none" if name != "local" else None,
    )


def three_clouds() -> StackCatalog:
    """What an installation with all providers has."""
    types = [
        declared("azureml", "azure"),
        declared("kubernetes", "gcp", {"namespace": "default"}),
        declared("kubernetes", "aws", {"namespace": "default"}),
        declared("sagemaker", "aws"),
        declared("vertex", "gcp"),
        declared("local", "local"),
    ]
    schemes = {
        "az://": "azure",
        "abfs://": "azure",
        "abfss://": "azure",
        "gs://": "gcp",
        "s3://": "aws",
        "file://": "local",
    }
    return StackCatalog(types, [UriScheme(prefix, provider, SOURCE) for prefix, provider in schemes.items()])

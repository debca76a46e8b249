"""Which package of ours supplies what: for sentences that say what to install and the order names are shown in.

Nothing else may depend on it: what can be done is what plugins declare.
"""

from __future__ import annotations

_SUPPLIES = {
    "kitaru-local": ("local", "file", "file://"),
    "kitaru-aws": ("aws", "s3", "ecr", "sagemaker", "cloudwatch", "aws-secrets-manager", "eks", "kubernetes", "s3://"),
    "kitaru-gcp": ("gcp", "gcs", "gar", "vertex", "cloud-logging", "gcp-secret-manager", "gke", "kubernetes", "gs://"),
    "kitaru-azure": (
        *("azure", "azure-blob", "acr", "azureml", "azure-monitor", "azure-key-vault", "aks"),
        *("az://", "abfs://", "abfss://"),
    ),
}

#: Our own distributions: where two plugins supply one name, theirs comes first.
OWN_DISTRIBUTIONS = tuple(_SUPPLIES)

#: The order in which well-known stack types are shown; types that are not here follow by name.
STACK_TYPES = ("local", "kubernetes", "vertex", "sagemaker", "azureml")

#: The order in which well-known options of a stack are shown; others follow as they were declared.
STACK_FIELDS = (
    "artifact_store",
    "container_registry",
    "cluster",
    "region",
    "subscription_id",
    "resource_group",
    "workspace",
    "execution_role",
    "namespace",
    "credentials",
    "verify",
)


def order(name: str) -> tuple[int, str]:
    """A sort key for providers and URI schemes: ours as in the table, then others by name."""
    ours = [one for names in _SUPPLIES.values() for one in names]
    return (ours.index(name) if name in ours else len(ours), name)


def distributions_of(name: str) -> list[str]:
    """Our distributions that supply a flavor, stack type or URI scheme of this name; none for one we do not know."""
    return [distribution for distribution, names in _SUPPLIES.items() if name in names]


def install_command(distribution: str, *, upgrade: bool = False) -> str:
    """The command that installs or upgrades one of our distributions."""
    return f"pip install {'-U ' if upgrade else ''}'kitaru[{distribution.removeprefix('kitaru-')}]'"

"""Which package of ours supplies what: for the sentence that says what to install, and for nothing else."""

from __future__ import annotations

_SUPPLIES = {
    "kitaru-local": ("local", "file", "file://"),
    "kitaru-aws": ("aws", "s3", "ecr", "sagemaker", "cloudwatch", "eks", "kubernetes", "s3://"),
    "kitaru-gcp": ("gcp", "gcs", "gar", "vertex", "gke", "kubernetes", "gs://"),
    "kitaru-azure": ("azure", "acr", "azureml", "aks", "az://", "abfs://", "abfss://"),
}

#: Our own distributions: where two plugins supply one name, theirs comes first.
OWN_DISTRIBUTIONS = tuple(_SUPPLIES)


def distributions_of(name: str) -> list[str]:
    """Our distributions that supply a flavor, stack type or URI scheme of this name; none for one we do not know."""
    return [distribution for distribution, names in _SUPPLIES.items() if name in names]


def install_command(distribution: str, *, upgrade: bool = False) -> str:
    """The command that installs or upgrades one of our distributions."""
    return f"pip install {'-U ' if upgrade else ''}'kitaru[{distribution.removeprefix('kitaru-')}]'"

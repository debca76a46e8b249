"""Which package supplies what, for the sentence that says what to install. Nothing else depends on this table."""

from __future__ import annotations

_EXTRAS = {
    "local": ("local", "file", "file://"),
    "aws": ("aws", "s3", "ecr", "sagemaker", "cloudwatch", "eks", "s3://"),
    "gcp": ("gcp", "gcs", "gar", "vertex", "gke", "gs://"),
    "azure": ("azure", "acr", "azureml", "aks", "az://", "abfs://", "abfss://"),
}

#: Our own distributions: where two plugins supply one name, theirs comes first.
OWN_DISTRIBUTIONS = tuple(f"kitaru-{extra}" for extra in _EXTRAS)


def install_line(name: str) -> str | None:
    """The command that installs a flavor, stack type or URI scheme of ours; None for one we do not know."""
    for extra, names in _EXTRAS.items():
        if name in names:
            return f"pip install 'kitaru[{extra}]'"
    return None


def distribution_of(name: str) -> str | None:
    """The distribution that supplies a flavor, stack type or URI scheme of ours."""
    for extra, names in _EXTRAS.items():
        if name in names:
            return f"kitaru-{extra}"
    return None

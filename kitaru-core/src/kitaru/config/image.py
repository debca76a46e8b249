"""Image settings: what a remote stack builds a container from. Plain data here; a local stack has no use for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kitaru.errors import KitaruUsageError

#: Fields that image settings have.
FIELDS = (
    "base_image",
    "requirements",
    "dockerfile",
    "environment",
    "apt_packages",
    "replicate_local_python_environment",
)
_LISTS = ("requirements", "apt_packages")


def normalise(value: Any, where: str) -> dict[str, Any] | None:
    """Image settings as a dict of the fields that are set; None when nothing is.

    A text is the base image. ``parent_image`` stands for ``base_image`` where that is absent.

    Raises KitaruUsageError naming ``where`` for a blank text, an unknown field or a field of the wrong kind.
    """
    if value is None:
        return None
    if isinstance(value, str):
        value = {"base_image": value}
    if not isinstance(value, Mapping) and callable(dump := getattr(value, "model_dump", None)):
        value = dump()  # ImageSettings, without loading pydantic to recognise it
    if not isinstance(value, Mapping):
        raise KitaruUsageError(
            f"{where}: an image is a text (the base image), a mapping or ImageSettings, not {type(value).__name__}."
        )
    fields = {key: item for key, item in value.items() if item is not None}
    parent = fields.pop("parent_image", None)
    if parent is not None:
        fields.setdefault("base_image", parent)
    unknown = sorted(str(key) for key in fields if key not in FIELDS)
    if unknown:
        raise KitaruUsageError(f"{where}: unknown image settings {', '.join(unknown)}. Known are {', '.join(FIELDS)}.")
    return {key: _checked(key, item, where) for key, item in fields.items()} or None


def _checked(key: str, value: Any, where: str) -> Any:
    if key in _LISTS:
        usable = isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)
        if not usable or not all(isinstance(item, str) and item.strip() for item in value):
            raise KitaruUsageError(f"{where}: image setting {key} must be a list of texts that are not blank.")
        return [item.strip() for item in value]
    if key == "environment":
        if not isinstance(value, Mapping) or not all(isinstance(name, str) and name.strip() for name in value):
            raise KitaruUsageError(f"{where}: image setting environment must map names to values.")
        return {name.strip(): str(item) for name, item in value.items()}
    if key == "replicate_local_python_environment":
        if not isinstance(value, bool):
            raise KitaruUsageError(f"{where}: image setting {key} must be true or false.")
        return value
    if not isinstance(value, str) or not value.strip():
        raise KitaruUsageError(f"{where}: image setting {key} must be a text that is not blank.")
    return value.strip()


def merge(layers: list[dict[str, Any] | None]) -> dict[str, Any] | None:
    """Layers, highest first, put together field by field; ``environment`` key by key, lists replace each other."""
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        for key, value in (layer or {}).items():
            merged[key] = {**merged.get(key, {}), **value} if key == "environment" else value
    return merged or None


def image_settings_to_docker_settings(image: Any) -> dict[str, Any]:
    """Image settings under the names that the engine's Docker settings have; what is not set is left out.

    ``image``: a text (the base image), a mapping, ImageSettings or None, as :func:`normalise` takes it, and raises.
    ``base_image`` is called ``parent_image`` there; the other names are the same.
    """
    settings = normalise(image, "image=") or {}
    return {"parent_image" if name == "base_image" else name: value for name, value in settings.items()}

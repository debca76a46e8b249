"""The pydantic models of configuration. Loaded when one is first made, never by importing ``kitaru.config``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

from kitaru.config import image as images
from kitaru.config.redaction import redact_image
from kitaru.errors import KitaruUsageError


class ImageSettings(BaseModel):
    """What a remote stack builds a container from. Frozen; every field is optional.

    ``base_image`` names an image and ``dockerfile`` a file; ``requirements`` and ``apt_packages`` are installed;
    ``environment`` is set in the container; ``replicate_local_python_environment`` installs what is installed here.
    ``parent_image`` is taken as ``base_image`` where that is absent. Texts are stripped.

    Raises KitaruUsageError for an unknown field, a blank text or list item, or a value of the wrong kind.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base_image: str | None = None
    requirements: list[str] | None = None
    dockerfile: str | None = None
    environment: dict[str, str] | None = None
    apt_packages: list[str] | None = None
    replicate_local_python_environment: bool | None = None

    def __init__(
        self,
        *,
        base_image: str | None = None,
        requirements: Sequence[str] | None = None,
        dockerfile: str | None = None,
        environment: Mapping[str, Any] | None = None,
        apt_packages: Sequence[str] | None = None,
        replicate_local_python_environment: bool | None = None,
        **other: Any,
    ) -> None:
        given = {
            "base_image": base_image,
            "requirements": requirements,
            "dockerfile": dockerfile,
            "environment": environment,
            "apt_packages": apt_packages,
            "replicate_local_python_environment": replicate_local_python_environment,
            **other,
        }
        super().__init__(**(images.normalise(given, "ImageSettings") or {}))

    @classmethod
    def model_validate(cls, obj: Any, **_: Any) -> Self:
        """From a text (the base image), a mapping or settings; KitaruUsageError otherwise."""
        if obj is None:
            raise KitaruUsageError("ImageSettings cannot be made of None.")
        return cls(**(images.normalise(obj, "ImageSettings") or {}))

    def is_empty(self) -> bool:
        """Whether nothing is set."""
        return images.normalise(self, "ImageSettings") is None

    def __repr_args__(self) -> Any:
        # A settings object is printed by debuggers and in tracebacks: the secrets in its environment are not.
        return [(name, value) for name, value in redact_image(self.model_dump()).items() if value is not None]

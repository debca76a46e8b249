"""What the readers of settings answer with. Plain frozen dataclasses: only an image is a pydantic model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from kitaru.config import checks
from kitaru.config import image as images

if TYPE_CHECKING:
    from kitaru.config.models import ImageSettings


@dataclass(frozen=True, slots=True)
class ExecutionLayer:
    """Execution settings of one layer, the image as plain data; None: not set there."""

    stack: str | None = None
    image: dict[str, Any] | None = None
    cache: bool | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KitaruConfig:
    """One layer of configuration as users see it; None: not set there. Checked, and texts are stripped.

    Raises KitaruUsageError for a blank text, a negative number of retries or an address that is none.
    """

    stack: str | None = None
    image: ImageSettings | None = None
    cache: bool | None = None
    retries: int | None = None
    server_url: str | None = None
    auth_token: str | None = field(default=None, repr=False)
    project: str | None = None

    def __post_init__(self) -> None:
        checked: dict[str, Any] = {
            name: checks.text(name, getattr(self, name)) for name in ("stack", "auth_token", "project")
        }
        checked["cache"] = checks.truth("cache", self.cache)
        checked["retries"] = checks.whole_number("retries", self.retries, 0)
        checked["image"] = image_settings(images.normalise(self.image, "image"))
        if self.server_url is not None:
            checked["server_url"] = checks.http_url("server_url", self.server_url)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @classmethod
    def of_layer(cls, layer: ExecutionLayer) -> KitaruConfig:
        """The public form of an execution layer."""
        return cls(stack=layer.stack, image=image_settings(layer.image), cache=layer.cache, retries=layer.retries)

    @classmethod
    def of_mapping(cls, values: Mapping[str, Any]) -> KitaruConfig:
        """From plain data; keys that are no settings are ignored."""
        known = {one.name for one in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    def layer(self) -> ExecutionLayer:
        """Its execution settings, as the other layers are kept."""
        return ExecutionLayer(self.stack, images.normalise(self.image, "image"), self.cache, self.retries)


@dataclass(frozen=True, slots=True)
class ResolvedExecutionConfig:
    """How an execution would start: every layer applied, built-in values included."""

    stack: str | None
    image: ImageSettings | None
    cache: bool
    retries: int


@dataclass(frozen=True, slots=True)
class ResolvedConnectionConfig:
    """Which server, with which token, under which project; each None where no layer sets it."""

    server_url: str | None = None
    auth_token: str | None = field(default=None, repr=False)
    project: str | None = None


def image_settings(image: Mapping[str, Any] | None) -> ImageSettings | None:
    """The public form of image settings that were checked; pydantic is loaded only when there are any."""
    if image is None:
        return None
    from kitaru.config.models import ImageSettings

    return ImageSettings(**image)

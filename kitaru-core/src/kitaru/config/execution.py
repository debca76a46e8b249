"""How an execution would start: all layers put together, as users see it."""

from __future__ import annotations

from typing import Any

from kitaru.config import checks
from kitaru.config import image as images
from kitaru.config import settings as configured
from kitaru.config.settings import first
from kitaru.config.values import KitaruConfig, ResolvedExecutionConfig, image_settings


def resolve_execution_config(
    *,
    stack: str | None = None,
    image: Any = None,
    cache: bool | None = None,
    retries: int | None = None,
    flow_defaults: KitaruConfig | None = None,
) -> ResolvedExecutionConfig:
    """The settings of a start: these arguments (``.run()``), ``flow_defaults`` (``@flow``), ``configure()``,
    environment, project file, built-in ones (the default stack, no cache, no retries).

    The first layer that sets a value wins; an image is merged field by field, its ``environment`` key by key.

    Raises KitaruUsageError for a value that cannot be used; the text names it.
    """
    defaults = (flow_defaults or KitaruConfig()).layer()
    settings = configured.resolve()
    merged = images.merge([images.normalise(image, "image"), defaults.image, settings.image])
    return ResolvedExecutionConfig(
        stack=first(checks.text("stack", stack), defaults.stack, settings.stack),
        image=image_settings(merged),
        cache=first(checks.truth("cache", cache), defaults.cache, settings.cache, False),
        retries=first(checks.whole_number("retries", retries, 0), defaults.retries, settings.retries, 0),
    )

"""Finds plugins by their entry points, from metadata alone: nothing of a plugin is imported here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from kitaru.plugins.known import OWN_DISTRIBUTIONS
from kitaru.plugins.marker import PROJECT

CORE = "kitaru-core"
_REQUIREMENT_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(slots=True)
class Found:
    """A plugin as its distribution's metadata describes it.

    ``interface`` is the distribution's requirement on kitaru-core, as text, or "any". ``refusal`` says why it must
    not be imported; None when it may.
    """

    entry_point: metadata.EntryPoint
    name: str
    distribution: str
    version: str
    interface: str
    refusal: str | None


def discover() -> list[Found]:
    """All plugins of this installation: our own distributions first, then by name. One scan of the metadata."""
    core_version = metadata.version(CORE)
    found = [_describe(point, core_version) for point in metadata.entry_points(group=PROJECT)]
    return sorted(found, key=lambda one: (one.distribution not in OWN_DISTRIBUTIONS, one.name, one.distribution))


def _describe(point: metadata.EntryPoint, core_version: str) -> Found:
    distribution = point.dist
    if distribution is None:
        return Found(point, point.name, "unknown", "unknown", "any", None)
    name = re.sub(r"[-_.]+", "-", distribution.name or "unknown").lower()
    version = distribution.version or "unknown"
    try:
        interface, refusal = _interface(distribution.requires or [], core_version)
    except ValueError as error:
        interface, refusal = "unreadable", f"its requirement on {CORE} cannot be read: {error}"
    if refusal is not None:
        refusal = f"{name} {version} {refusal}"
    return Found(point, point.name, name, version, interface, refusal)


def _interface(requirements: list[str], core_version: str) -> tuple[str, str | None]:
    for text in requirements:
        matched = _REQUIREMENT_NAME.match(text)
        if matched is None or re.sub(r"[-_.]+", "-", matched[1]).lower() != CORE:
            continue
        # Our own providers are released in lockstep: what they say needs no parser, which is slow to import.
        if text.replace(" ", "") == f"{CORE}=={core_version}":
            return f"=={core_version}", None
        requirement = _parse(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        interface = str(requirement.specifier) or "any"
        if requirement.specifier.contains(core_version, prereleases=True):
            return interface, None
        return interface, (
            f"needs {CORE} {interface}, but {core_version} is installed. Install versions that fit: "
            f"`pip install -U {CORE}` or another version of the plugin."
        )
    return "any", None


def _parse(text: str) -> Any:
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        return Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(str(error)) from error

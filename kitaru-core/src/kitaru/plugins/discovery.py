"""Finds plugins by their entry points, from metadata alone: nothing of a plugin is imported here."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from kitaru.plugins.known import OWN_DISTRIBUTIONS
from kitaru.plugins.marker import PROJECT

CORE = "kitaru-core"
_OWN = metadata.EntryPoint("core", "kitaru.stack.plugin", PROJECT)
# The name, and the range where nothing else (extras, a marker, a URL) follows; older metadata puts it in parentheses.
_REQUIREMENT = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<range>[<>=!~][^;@\[(]*|)")
_PLAIN_RELEASE = re.compile(r"\d+(\.\d+)*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(slots=True)
class Found:
    """A plugin as its distribution's metadata describes it.

    ``interface`` is the distribution's requirement on kitaru-core, as text, or "any". ``refusal`` says why it must
    not be imported; None when it may. ``built_in``: it is the core's own, and always there.
    """

    entry_point: metadata.EntryPoint
    name: str
    distribution: str
    version: str
    interface: str
    refusal: str | None
    built_in: bool = False


def discover() -> list[Found]:
    """All plugins of this installation: the core's own, our distributions', then by name. One scan of the metadata."""
    core_version = metadata.version(CORE)
    found = [_describe(point, core_version) for point in metadata.entry_points(group=PROJECT)]
    own = Found(_OWN, _OWN.name, CORE, core_version, "any", None, built_in=True)
    return [
        own,
        *sorted(found, key=lambda one: (one.distribution not in OWN_DISTRIBUTIONS, one.name, one.distribution)),
    ]


def _describe(point: metadata.EntryPoint, core_version: str) -> Found:
    distribution = point.dist
    if distribution is None:
        return Found(point, point.name, "unknown", "unknown", "any", None)
    # One parse: each of distribution.name, .version and .requires would read and parse the file again.
    fields = distribution.metadata
    name = _normal(fields["Name"] or "unknown")
    version = fields["Version"] or "unknown"
    requirements = fields.get_all("Requires-Dist") or distribution.requires or []
    try:
        interface, refusal = _interface(requirements, core_version)
    except ValueError as error:
        interface, refusal = "unreadable", f"its requirement on {CORE} cannot be read: {error}"
    if refusal is not None:
        refusal = f"{name} {version} {refusal}"
    return Found(point, point.name, name, version, interface, refusal)


def _interface(requirements: list[str], core_version: str) -> tuple[str, str | None]:
    for text in requirements:
        matched = _REQUIREMENT.match(text)
        if matched is None or _normal(matched["name"]) != CORE:
            continue
        interface = matched["range"].replace(" ", "")
        fits = _fits(interface, core_version) if matched.end() == len(text) else None
        if fits is None:
            found = _parsed(text, core_version)
            if found is None:
                continue
            interface, fits = found
        interface = _as_written(interface)
        if fits:
            return interface or "any", None
        return interface, (
            f"needs {CORE} {interface}, but {core_version} is installed. Install versions that fit: "
            f"`pip install -U {CORE}` or another version of the plugin."
        )
    return "any", None


def _as_written(interface: str) -> str:
    """A range as people write it: builders put it into metadata as ``<1,>=0.1``."""
    return ",".join(sorted(interface.split(","), key=lambda clause: not clause.startswith(">")))


def _fits(interface: str, core_version: str) -> bool | None:
    """Whether a version is in a range of plain releases; None when the range or the version is anything else.

    packaging knows all of it, but takes longer to import than twenty plugins take to load.
    """
    here = _release(core_version)
    if here is None:
        return None
    fits = True
    for clause in filter(None, interface.split(",")):
        compared, bound = clause.rstrip("0123456789."), _release(clause.lstrip("<>=!"))
        if bound is None or compared not in _OPERATORS:
            return None
        fits = fits and _OPERATORS[compared](here, bound)
    return fits


def _release(version: str) -> tuple[int, ...] | None:
    if not _PLAIN_RELEASE.fullmatch(version):
        return None
    numbers = [int(part) for part in version.split(".")]
    while numbers and numbers[-1] == 0:  # 1.0 and 1 are the same release
        numbers.pop()
    return tuple(numbers)


def _parsed(text: str, core_version: str) -> tuple[str, bool] | None:
    """Range and fit of a requirement of any kind; None when its marker says that it does not count here."""
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        raise ValueError(str(error).splitlines()[0]) from error
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return None
    return str(requirement.specifier), requirement.specifier.contains(core_version, prereleases=True)


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

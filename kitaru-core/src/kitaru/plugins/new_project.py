"""Writes the project of a new plugin: the files in ``template/`` with the plugin's names in them."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import string
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

from packaging.version import Version

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.plugins import known
from kitaru.plugins.discovery import CORE
from kitaru.plugins.manager import PluginManager

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_NAME_CHARACTERS_MAX = 40
_SUFFIX = ".template"
# Files that would be hidden, or mean something, where the template itself lies.
_RENAMED = {"gitignore": ".gitignore", "github": ".github"}


@dataclass(frozen=True, slots=True)
class NewProject:
    """A project that was written. ``files``: relative to ``directory``, sorted."""

    name: str
    distribution: str
    package: str
    directory: Path
    interface: str
    files: tuple[str, ...]


def write_project(name: str, directory: Path | None, plugins: PluginManager) -> NewProject:
    """Write the project of a plugin called ``name``.

    All of it or nothing: it is written beside ``directory`` and renamed.

    Args:
        name: of the plugin, and of what it supplies.
        directory: the directory to make; default: ``<name>-kitaru`` in the current one.
        plugins: those that are installed: their names are taken.

    Raises:
        KitaruUsageError: the name cannot be one, or the directory has no parent.
        KitaruStateError: the name is taken, the directory exists, or it cannot be written.
    """
    _check_name(name)
    names = _names(name)
    _check_free(name, names["package"], plugins)
    directory = Path(os.path.abspath(directory or names["distribution"]))
    if os.path.lexists(directory):
        raise KitaruStateError(f"{directory} exists already. Choose another with `--directory`.")
    if not directory.parent.is_dir():
        raise KitaruUsageError(f"there is no directory {directory.parent}: make it with `mkdir -p`, or choose another.")
    try:
        files = _write(directory, names)
    except OSError as error:
        raise KitaruStateError(f"{directory} cannot be written: {error.strerror or error}.") from error
    interface = f">={names['interface_from']},<{names['interface_below']}"
    return NewProject(name, names["distribution"], names["package"], directory, interface, tuple(files))


def _check_name(name: str) -> None:
    if len(name) > _NAME_CHARACTERS_MAX or not _NAME.fullmatch(name):
        like = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:_NAME_CHARACTERS_MAX].strip("-")
        hint = f" How about `{like}`?" if _NAME.fullmatch(like) else ""
        raise KitaruUsageError(
            f"{name!r:.80} is no name for a plugin: up to {_NAME_CHARACTERS_MAX} lower-case letters, digits and single "
            f"dashes, a letter first.{hint}"
        )
    if keyword.iskeyword(name):
        raise KitaruUsageError(f"`{name}` is a word of the Python language: choose another name for the plugin.")
    bare = "-".join(part for part in name.split("-") if part != "kitaru")
    if bare != name:
        hint = f": `kitaru plugins new {bare}`" if _NAME.fullmatch(bare) else ""
        raise KitaruUsageError(f"the name of a plugin goes without `kitaru`, which is put beside it{hint}.")


def _check_free(name: str, package: str, plugins: PluginManager) -> None:
    owners = known.distributions_of(name) + known.distributions_of(f"{name}://")
    for plugin in plugins.plugins():
        if plugin.name == name or any(one.name in (name, f"{name}://") for one in plugin.supplies):
            owners.append(plugin.distribution)
    if owners:
        raise KitaruStateError(
            f"the name `{name}` is taken: {owners[0]} uses it, and of two plugins that supply the same only one works. "
            "Choose another; `kitaru plugins list` shows those that are taken here."
        )
    if importlib.util.find_spec(package) is not None:
        raise KitaruStateError(f"a package `{package}` is installed already: choose another name, or uninstall it.")


def _names(name: str) -> dict[str, str]:
    words = name.split("-")
    lowest, below = _interface(metadata.version(CORE))
    return {
        "name": name,
        "Name": "".join(word.capitalize() for word in words),
        "title": " ".join(word.capitalize() for word in words),
        "distribution": f"{name}-kitaru",
        "package": f"{name.replace('-', '_')}_kitaru",
        "scheme": f"{name}://",
        "interface_from": lowest,
        "interface_below": below,
    }


def _interface(core_version: str) -> tuple[str, str]:
    """The range of versions that a plugin written today fits: from this one to the next major one."""
    here = Version(core_version)
    # A pre-release comes before the release that its numbers name.
    lowest = here.public if here.is_prerelease else f"{here.major}.{here.minor}"
    return lowest, str(here.major + 1)


def _write(directory: Path, names: dict[str, str]) -> list[str]:
    files = []
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as beside:
        project = Path(beside, "project")  # of its own: a temporary directory is closed to everybody else
        for parts, content in _template(resources.files("kitaru.plugins").joinpath("template"), ()):
            path = project.joinpath(*(names["package"] if part == "package" else part for part in parts))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(string.Template(content).substitute(names), encoding="utf-8")
            files.append(path.relative_to(project).as_posix())
        os.rename(project, directory)
    return sorted(files)


def _template(folder: Traversable, within: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The parts of the path and the text of every file of the template."""
    for entry in folder.iterdir():
        name = entry.name.removesuffix(_SUFFIX)
        parts = (*within, _RENAMED.get(name, name))
        if entry.is_dir():
            yield from _template(entry, parts)
        elif entry.name.endswith(_SUFFIX):
            yield parts, entry.read_text(encoding="utf-8")

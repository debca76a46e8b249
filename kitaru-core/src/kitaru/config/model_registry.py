"""Model aliases: names of one's own for models and the secrets they need. Never a secret's value."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kitaru.config import checks, environment, files, paths
from kitaru.errors import KitaruConfigError, KitaruUsageError

if TYPE_CHECKING:
    from kitaru.config.settings import Settings

SECTION = "model_registry"
_ALIAS = re.compile(r"[a-z0-9][a-z0-9_-]*")
_VARIABLE = environment.KITARU_MODEL_REGISTRY_ENV


@dataclass(frozen=True, slots=True)
class ModelAliasEntry:
    """One alias. ``secret`` is a secret's name."""

    alias: str
    model: str
    secret: str | None
    is_default: bool


@dataclass(frozen=True, slots=True)
class ResolvedModelSelection:
    """Which model is meant. ``requested_model`` is what was asked for, ``alias`` the alias it was, if it was one."""

    requested_model: str | None
    alias: str | None
    resolved_model: str
    secret: str | None


@dataclass(frozen=True, slots=True)
class ModelRegistry:
    """Aliases, each ``{"model": ..., "secret": ...}`` (secret only where there is one), and the default among them."""

    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    default: str | None = None

    def document(self) -> dict[str, Any]:
        """As plain data, without what is not set."""
        found: dict[str, Any] = {"aliases": {alias: dict(entry) for alias, entry in self.aliases.items()}}
        if self.default is not None:
            found["default"] = self.default
        return found

    def over(self, below: ModelRegistry) -> ModelRegistry:
        """This registry laid over another: its aliases and its default win."""
        return ModelRegistry({**below.aliases, **self.aliases}, self.default or below.default)

    def entry(self, alias: str) -> ModelAliasEntry:
        """One alias, which must be there."""
        found = self.aliases[alias]
        return ModelAliasEntry(alias, found["model"], found.get("secret"), alias == self.default)


def register_model_alias(alias: str, *, model: str, secret: str | None = None) -> ModelAliasEntry:
    """Set an alias of this user, replacing an earlier one whole. The first alias becomes the default.

    Raises:
        KitaruUsageError: the alias is not made of a-z, 0-9, ``-`` and ``_``, or model or secret is blank.
        KitaruConfigError: the configuration file cannot be used or written; it stays as it is.
    """
    name = _alias(alias)
    entry = _entry(f"model alias `{name}`", {"model": model, "secret": secret})
    changed = _change(lambda registry: ModelRegistry({**registry.aliases, name: entry}, registry.default or name))
    return changed.entry(name)


def delete_model_alias(alias: str) -> None:
    """Remove an alias of this user. If it was the default, there is none until one is set.

    Raises KitaruUsageError when there is no such alias, and KitaruConfigError as :func:`register_model_alias`.
    """
    name = _alias(alias)

    def without(registry: ModelRegistry) -> ModelRegistry:
        _require(registry, name)
        rest = {one: entry for one, entry in registry.aliases.items() if one != name}
        return ModelRegistry(rest, None if registry.default == name else registry.default)

    _change(without)


def set_default_model_alias(alias: str) -> ModelAliasEntry:
    """Make an alias of this user the default. Raises as :func:`delete_model_alias`."""
    name = _alias(alias)

    def chosen(registry: ModelRegistry) -> ModelRegistry:
        _require(registry, name)
        return ModelRegistry(registry.aliases, name)

    return _change(chosen).entry(name)


def list_model_aliases() -> list[ModelAliasEntry]:
    """The aliases in force, sorted: this user's, and those of ``KITARU_MODEL_REGISTRY`` over them.

    Raises KitaruUsageError when the variable cannot be used, KitaruConfigError when the file cannot.
    """
    registry = effective_registry()
    return [registry.entry(alias) for alias in sorted(registry.aliases)]


def resolve_model_selection(model: str | None = None) -> ResolvedModelSelection:
    """The model that ``model`` means: an alias (in any case), else the name of a model as it is.

    Without ``model``: ``KITARU_DEFAULT_MODEL``, then the default alias, then the only alias.

    Raises KitaruUsageError when ``model`` or the variable is blank, or nothing says which model to take.
    """
    registry = effective_registry()
    asked = checks.text("model", model)
    if asked is None:
        asked = environment.filled(environment.KITARU_DEFAULT_MODEL_ENV)
    if asked is not None:
        alias = asked.lower()
        if alias not in registry.aliases:
            return ResolvedModelSelection(asked, None, asked, None)
        entry = registry.entry(alias)
        return ResolvedModelSelection(asked, alias, entry.model, entry.secret)
    alias_or_none = registry.default
    if alias_or_none is None and len(registry.aliases) == 1:
        alias_or_none = next(iter(registry.aliases))
    if alias_or_none is None:
        raise KitaruUsageError(_no_choice(registry))
    entry = registry.entry(alias_or_none)
    return ResolvedModelSelection(None, entry.alias, entry.model, entry.secret)


def effective_registry(directory: Path | None = None) -> ModelRegistry:
    """This user's aliases, from the file in ``directory``, with those of ``KITARU_MODEL_REGISTRY`` over them.

    An unusable file does not matter where the variable is set: a remote process has no use for what lies there.
    """
    transported = environment.text(_VARIABLE)
    above = parse_registry(transported, _VARIABLE) if transported is not None else None
    try:
        local = local_registry(directory or paths.config_directory())
    except KitaruConfigError:
        if above is None:
            raise
        return above
    return local if above is None else above.over(local)


_latest: tuple[Settings, ModelRegistry] | None = None


def registry_of(settings: Settings) -> ModelRegistry:
    """:func:`effective_registry` for the settings in force, which are others as soon as what it is made of changes.

    Raises like it.
    """
    global _latest
    latest = _latest
    if latest is None or latest[0] is not settings:
        latest = _latest = settings, effective_registry(settings.config_directory)
    return latest[1]


def local_registry(directory: Path) -> ModelRegistry:
    """The registry in this user's file. Raises KitaruConfigError when it cannot be used."""
    section = files.section(directory, SECTION)
    return _from_file(section, directory / files.FILE_NAME) if section else ModelRegistry()


def transported(image: dict[str, Any] | None, registry: ModelRegistry) -> dict[str, Any] | None:
    """``image`` with the registry in its environment, for a process that does not have this user's file.

    A registry that the user has put there is kept. Raises KitaruUsageError when that cannot be used.
    """
    variables = (image or {}).get("environment") or {}
    given = variables.get(_VARIABLE, "").strip()
    if given:
        parse_registry(given, f"{_VARIABLE} in the image environment")
        return image
    if not registry.aliases:
        return image
    document = json.dumps(registry.document(), sort_keys=True)
    return {**(image or {}), "environment": {**variables, _VARIABLE: document}}


def parse_registry(text: str, where: str) -> ModelRegistry:
    """A registry written as JSON. Raises KitaruUsageError, naming ``where``."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise KitaruUsageError(f"{where} is not valid JSON: {error}.") from None
    return _from_document(document, where)


def _from_file(section: dict[str, Any], path: Path) -> ModelRegistry:
    try:
        return _from_document(section, f"{path}: {SECTION}")
    except KitaruConfigError:
        raise
    except KitaruUsageError as error:
        raise KitaruConfigError(f"{error} Nothing in the file was changed; fix it by hand.") from error


def _from_document(document: Any, where: str) -> ModelRegistry:
    if not isinstance(document, dict):
        raise KitaruUsageError(f"{where}: a model registry is a mapping, not {type(document).__name__}.")
    given = document.get("aliases") or {}
    if not isinstance(given, dict):
        raise KitaruUsageError(f"{where}: `aliases` must map aliases to models, not be {type(given).__name__}.")
    aliases = {}
    for name, entry in given.items():
        alias = _alias(name, where)
        if not isinstance(entry, dict):
            raise KitaruUsageError(f"{where}: alias `{alias}` must be a mapping with `model` and perhaps `secret`.")
        aliases[alias] = _entry(f"{where}: alias `{alias}`", entry)
    default = document.get("default")
    if default is not None:
        default = _alias(default, where)
        if default not in aliases:
            raise KitaruUsageError(f"{where}: the default `{default}` is not among the aliases.")
    return ModelRegistry(aliases, default)


def _alias(value: Any, where: str = "") -> str:
    name = value.strip().lower() if isinstance(value, str) else ""
    if not _ALIAS.fullmatch(name):
        prefix = f"{where}: " if where else ""
        raise KitaruUsageError(
            f"{prefix}{value!r} is not a model alias: use a-z, 0-9, `-` and `_`, and begin with a letter or digit."
        )
    return name


def _entry(what: str, given: Mapping[str, Any]) -> dict[str, str]:
    model = checks.text(f"{what}: model", given.get("model"))
    if model is None:
        raise KitaruUsageError(f"{what}: `model` is missing.")
    secret = checks.text(f"{what}: secret", given.get("secret"))
    return {"model": model} if secret is None else {"model": model, "secret": secret}


def _require(registry: ModelRegistry, alias: str) -> None:
    if alias not in registry.aliases:
        known = ", ".join(sorted(registry.aliases)) or "none"
        raise KitaruUsageError(f"there is no model alias `{alias}` in your configuration. Yours: {known}.")


def _change(edit: Callable[[ModelRegistry], ModelRegistry]) -> ModelRegistry:
    directory = paths.config_directory()
    path = directory / files.FILE_NAME
    changed = ModelRegistry()

    def apply(content: dict[str, Any]) -> None:
        nonlocal changed
        section = content.get(SECTION) or {}
        if not isinstance(section, dict):
            raise KitaruConfigError(f"{path}: `{SECTION}` is not a mapping. Nothing was changed; fix it by hand.")
        changed = edit(_from_file(section, path))
        other = {key: value for key, value in section.items() if key not in ("aliases", "default")}
        content[SECTION] = {**other, **changed.document()}

    files.update(directory, apply)
    return changed


def _no_choice(registry: ModelRegistry) -> str:
    if registry.aliases:
        return (
            f"several model aliases ({', '.join(sorted(registry.aliases))}) and no default: pass model=, set "
            f"{environment.KITARU_DEFAULT_MODEL_ENV}, or choose one: `kitaru model default ALIAS`."
        )
    if os.environ.get(_VARIABLE, "").strip():
        return (
            f"no model was named, and the registry that this execution was started with ({_VARIABLE}) has no alias. "
            "Register one where you start it, and start it again."
        )
    return (
        "no model was named and there is no model alias. Pass model=, set "
        f"{environment.KITARU_DEFAULT_MODEL_ENV}, or register one: `kitaru model register ALIAS --model NAME`."
    )

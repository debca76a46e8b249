"""The registrar: the object through which a plugin says what it supplies."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.plugins.declarations import (
    COMPONENT_KINDS,
    FIELD_RULES,
    Command,
    ComponentKind,
    FieldRule,
    Flavor,
    PluginSerializer,
    Source,
    StackType,
    UriScheme,
)

Declaration = Flavor | StackType | UriScheme | Command | PluginSerializer

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PATH = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://")


class Register:
    """Collects what one plugin supplies. Names only: nothing is imported here.

    Every method raises KitaruUsageError for a name, path or kind that cannot be; the plugin is then unavailable.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._declared: dict[tuple[str, ...], Declaration] = {}

    @property
    def declared(self) -> Mapping[tuple[str, ...], Declaration]:
        """What was registered, by what must be unique: ``(kind, name)``, for stack types ``(kind, name, provider)``."""
        return self._declared

    def component(
        self,
        kind: ComponentKind,
        name: str,
        *,
        config: str | None = None,
        implementation: str,
        install: str | None = None,
        shown: Sequence[str] = (),
        docs: str | None = None,
    ) -> None:
        """A flavor of a component kind.

        Args:
            kind: one of ``artifact_store``, ``container_registry``, ``orchestrator``, ``log_store``, ``secret_store``.
            name: the flavor's name, lower case.
            config: ``"module:Class"`` of its settings: a pydantic model, or any class that is called with the settings
                as keyword arguments and raises ValueError for bad ones. Left out: the flavor has no settings.
            implementation: ``"module:Class"``, called with the config (or None) as its only argument.
            install: command that installs what it needs, shown when it cannot be imported.
            shown: settings that ``kitaru stack show`` lists, in this order; ``"key=label"`` shows ``key`` as ``label``.
            docs: address of the page that explains its settings, shown when they do not fit.
        """
        if kind not in COMPONENT_KINDS:
            raise KitaruUsageError(f"unknown component kind {kind!r}: there are {', '.join(COMPONENT_KINDS)}.")
        flavor = Flavor(
            kind,
            self._name("component", name),
            self._path("implementation", implementation),
            self._path("config", config) if config is not None else None,
            install,
            self._source,
            tuple(shown),
            docs,
        )
        self._add((kind, name), flavor)

    def stack_type(
        self,
        name: str,
        *,
        provider: str,
        display: str,
        fields: Mapping[str, FieldRule],
        components: str,
        defaults: Mapping[str, str] | None = None,
        credentials: str | None = None,
        verify: str | None = None,
        engine: str | None = None,
        resources: Sequence[str] = (),
    ) -> None:
        """A type of stack.

        All functions get the fields as a mapping of texts: trimmed, without the absent and blank ones, with the
        defaults filled in, and never the credentials. They raise KitaruUsageError for what cannot be (a missing
        bucket, a registry without a project); none but ``verify`` uses the network.

        Args:
            name: what ``--type`` takes. Several providers may supply one name.
            provider: the provider's name; the artifact store's URI scheme chooses between several.
            display: its name for people.
            fields: rule per field: ``"required"``, ``"optional"`` or ``"forbidden"`` (also when it is left out).
            components: ``"module:function"``, called as ``function(fields, place)`` with the given fields as a mapping
                and the ``kitaru.stack.components.Place`` it is made for; gives a list of ``Component``.
            defaults: what an optional field is when it is left out or blank.
            credentials: ``"module:function"``, called as ``function(text_or_None)``; gives
                ``kitaru.stack.credentials.Credentials``. Left out: a stack of this type takes no credentials.
            verify: ``"module:function"``, called as ``function(settings, credentials)`` with what each component is
                made with, by its kind, the user's overrides included; signs in, looks at everything they name, and
                gives a ``kitaru.stack.credentials.Probe`` for each. Bounded by timeouts.
            engine: ``"module:function"``, called as ``function(fields, credentials)``; gives the
                ``kitaru.stack.engine.EngineStack`` that runs it. Left out: its orchestrator needs no engine.
            resources: fields that ``kitaru stack create`` sums up, in this order; ``"provider"`` is the provider.
        """
        for field, rule in fields.items():
            if rule not in FIELD_RULES:
                raise KitaruUsageError(
                    f"stack type {name!r}: rule {rule!r} of field {field!r} is none of {', '.join(FIELD_RULES)}."
                )
        made = StackType(
            self._name("stack type", name),
            self._name("provider", provider),
            display,
            dict(fields),
            self._path("components", components),
            self._source,
            dict(defaults or {}),
            self._optional_path("credentials", credentials),
            self._optional_path("verify", verify),
            self._optional_path("engine", engine),
            tuple(resources),
        )
        self._add(("stack_type", name, provider), made)

    def uri_scheme(self, prefix: str, *, provider: str) -> None:
        """URIs that start with ``prefix`` (``"acme://"``) belong to ``provider``."""
        if not isinstance(prefix, str) or not _SCHEME.fullmatch(prefix):
            raise KitaruUsageError(f"{prefix!r} is not a URI scheme: write it like 'acme://'.")
        self._add(("uri_scheme", prefix), UriScheme(prefix, self._name("provider", provider), self._source))

    def command(self, name: str, path: str, *, help: str) -> None:
        """A subcommand ``kitaru NAME``: ``path`` is ``"module:command"`` of a click command, imported last.

        ``help`` is its line in ``kitaru --help``.
        """
        self._add(
            ("command", name), Command(self._name("command", name), self._path("command", path), help, self._source)
        )

    def serializer(self, type: str, path: str, *, name: str | None = None) -> None:
        """Store values of one foreign type.

        Args:
            type: ``"module:Class"`` of the type (subclasses included); it is matched without importing it.
            path: ``"module:Class"``, made without arguments: ``dump(value) -> bytes`` and ``load(bytes) -> value``.
            name: what stored values are marked with, default ``type``: keep it when the type moves.
        """
        serializer = PluginSerializer(
            name or type, self._path("type", type), self._path("serializer", path), self._source
        )
        self._add(("serializer", type), serializer)

    def _add(self, key: tuple[str, ...], declaration: Declaration) -> None:
        if key in self._declared:
            raise KitaruUsageError(f"{key[0]} `{key[1]}` is registered twice.")
        self._declared[key] = declaration

    @staticmethod
    def _name(what: str, name: Any) -> str:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise KitaruUsageError(f"{what} name {name!r}: use lower-case letters, digits, dots, dashes, underscores.")
        return name

    def _optional_path(self, what: str, path: Any) -> str | None:
        return None if path is None else self._path(what, path)

    @staticmethod
    def _path(what: str, path: Any) -> str:
        if not isinstance(path, str) or not _PATH.fullmatch(path):
            raise KitaruUsageError(f"{what} {path!r} is not a dotted path: write it like 'package.module:Name'.")
        return path

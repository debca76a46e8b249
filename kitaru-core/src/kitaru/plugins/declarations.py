"""What plugins declare: plain records with dotted paths, imported when something is first needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from kitaru.errors import KitaruPluginError, KitaruUsageError

ComponentKind = Literal["artifact_store", "container_registry", "orchestrator", "log_store", "secret_store"]
COMPONENT_KINDS: tuple[ComponentKind, ...] = (
    "artifact_store",
    "container_registry",
    "orchestrator",
    "log_store",
    "secret_store",
)

FieldRule = Literal["required", "optional", "forbidden"]
FIELD_RULES: tuple[FieldRule, ...] = ("required", "optional", "forbidden")


@dataclass(frozen=True, slots=True)
class Source:
    """The plugin that declared something."""

    plugin: str
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"plugin `{self.plugin}` ({self.distribution} {self.version})"


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """Why settings do not fit: where (dotted), and the reason, without the value. ``unknown``: there is no such one."""

    path: str
    reason: str
    unknown: bool


@dataclass(frozen=True, slots=True)
class Flavor:
    """One implementation of a component kind."""

    kind: ComponentKind
    name: str
    implementation: str
    config: str | None
    install: str | None
    source: Source
    shown: tuple[str, ...] = ()
    docs: str | None = None

    def build(self, settings: Mapping[str, Any]) -> Any:
        """The component, made as ``Implementation(config)`` with its checked config (None for a flavor without one).

        Does no I/O.

        Raises:
            KitaruUsageError: the settings do not fit the config; the text names field and reason, never a value.
            KitaruPluginError: the implementation cannot be imported or made.
        """
        config = self._config(settings)
        implementation = self._load(self.implementation)
        try:
            return implementation(config)
        except KitaruUsageError:
            raise
        except Exception as error:
            raise KitaruPluginError(f"{self} cannot be made: {type(error).__name__}: {error}") from error

    def setting_names(self) -> list[str]:
        """What it can be told, as far as its config says. Raises KitaruPluginError when that cannot be imported."""
        if self.config is None:
            return []
        model = self._load(self.config)
        fields = getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})
        return list(fields)

    def problems(self, settings: Mapping[str, Any]) -> list[SettingProblem]:
        """What is wrong with settings; empty: they fit. Makes nothing. Raises like :meth:`setting_names`."""
        names = self.setting_names()
        if not names and self.config is None:
            return [SettingProblem(one, "it takes no settings", True) for one in sorted(settings)]
        unknown = [one for one in settings if names and one not in names]
        if unknown:
            return [SettingProblem(one, "there is no such setting", True) for one in unknown]
        assert self.config is not None
        try:
            self._load(self.config)(**settings)
        except (TypeError, ValueError) as error:
            return _problems(error)
        return []

    def _config(self, settings: Mapping[str, Any]) -> Any:
        if self.config is None:
            if settings:
                raise KitaruUsageError(f"{self} takes no settings, but got {', '.join(sorted(settings))}.")
            return None
        model = self._load(self.config)
        try:
            return model(**settings)
        except (TypeError, ValueError) as error:
            raise KitaruUsageError(f"the settings of {self} are not valid: {_reason(error)}") from error

    def _load(self, path: str) -> Any:
        try:
            return load(path)
        except (Exception, SystemExit) as error:
            hint = f" Try `{self.install}`." if self.install else ""
            raise KitaruPluginError(
                f"{self} cannot be loaded from `{path}`: {type(error).__name__}: {error}.{hint}"
            ) from error

    def __str__(self) -> str:
        return f"{self.kind} `{self.name}` of {self.source}"


@dataclass(frozen=True, slots=True)
class StackType:
    """A way to make a stack of a few fields, as one provider declared it: see ``Register.stack_type``.

    ``fields`` says which of them it needs, takes or refuses. The methods call the provider's functions: they raise what
    those raise, and KitaruPluginError when one cannot be loaded.
    """

    name: str
    provider: str
    display: str
    fields: Mapping[str, FieldRule]
    components: str
    source: Source
    defaults: Mapping[str, str] = field(default_factory=dict)
    credentials: str | None = None
    verify: str | None = None
    engine: str | None = None
    resources: tuple[str, ...] = ()

    def make_components(self, fields: Mapping[str, Any], place: Any) -> Any:
        """What the provider makes of the fields: a list of ``kitaru.stack.components.Component``."""
        return self._function(self.components)(fields, place)

    def parse_credentials(self, text: str | None) -> Any:
        """The ``kitaru.stack.credentials.Credentials`` of a text; None for a type that takes none."""
        return self._function(self.credentials)(text) if self.credentials is not None else None

    def probes(self, settings: Mapping[str, Mapping[str, Any]], credentials: Any) -> Any:
        """What the provider found when it looked: ``kitaru.stack.credentials.Probe``, none without ``verify``.

        ``settings``: what each component is made with, by its kind, the user's overrides included.
        """
        return list(self._function(self.verify)(settings, credentials)) if self.verify is not None else []

    def engine_stack(self, fields: Mapping[str, Any], credentials: Any) -> Any:
        """The ``kitaru.stack.engine.EngineStack``; None for a type whose orchestrator needs no engine."""
        return self._function(self.engine)(fields, credentials) if self.engine is not None else None

    def _function(self, path: str) -> Callable[..., Any]:
        try:
            function: Callable[..., Any] = load(path)
        except (Exception, SystemExit) as error:
            raise KitaruPluginError(
                f"stack type `{self.name}` of {self.source} cannot be loaded from `{path}`: "
                f"{type(error).__name__}: {error}."
            ) from error
        return function


@dataclass(frozen=True, slots=True)
class UriScheme:
    """URIs that start with ``prefix`` belong to ``provider``."""

    prefix: str
    provider: str
    source: Source


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand of ``kitaru``: ``path`` names a click command that is imported when it is called."""

    name: str
    path: str
    help: str
    source: Source

    def load(self) -> Any:
        """The click command. Raises KitaruPluginError when it cannot be imported."""
        try:
            return load(self.path)
        except (Exception, SystemExit) as error:
            raise KitaruPluginError(
                f"command `{self.name}` of {self.source} cannot be loaded from `{self.path}`: "
                f"{type(error).__name__}: {error}."
            ) from error


@dataclass(slots=True)
class PluginSerializer:
    """A serializer of the codec whose code is imported when a value of its type is first stored or read."""

    name: str
    type: str
    path: str
    source: Source
    _made: Any = field(default=None, repr=False)

    def dump(self, value: Any) -> bytes:
        """The bytes of ``value``."""
        data: bytes = self._serializer().dump(value)
        return data

    def load(self, data: bytes) -> Any:
        """The value of ``data``."""
        return self._serializer().load(data)

    def _serializer(self) -> Any:
        if self._made is None:
            try:
                self._made = load(self.path)()
            except (Exception, SystemExit) as error:
                raise KitaruPluginError(
                    f"the serializer for `{self.type}` of {self.source} cannot be loaded from `{self.path}`: "
                    f"{type(error).__name__}: {error}."
                ) from error
        return self._made


def load(path: str) -> Any:
    """The object that ``"module:Name"`` names, importing its module."""
    module, _, name = path.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def _reason(error: Exception) -> str:
    return "; ".join(f"{one.path}: {one.reason}" if one.path else one.reason for one in _problems(error))


def _problems(error: Exception) -> list[SettingProblem]:
    # pydantic's own text quotes the input, which may be a secret: only places and messages are passed on.
    details = getattr(error, "errors", None)
    if not callable(details):
        return [SettingProblem("", str(error), False)]
    return [
        SettingProblem(
            ".".join(map(str, one.get("loc", ()))) or "config",
            str(one.get("msg", "not valid")),
            one.get("type") == "extra_forbidden",
        )
        for one in details(include_input=False, include_url=False)
    ]

"""The stack types, providers and options of this installation: what its plugins declare, in a defined order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import StrEnum
from typing import Any

from kitaru.errors import KitaruPluginError
from kitaru.plugins import known
from kitaru.plugins.declarations import FieldRule, UriScheme
from kitaru.plugins.declarations import StackType as Declared
from kitaru.plugins.manager import PluginManager, plugin_manager


class _Names(type):
    """Makes a class of names look like an enum: members by upper-case name, and iteration in order."""

    def __getattr__(cls, name: str) -> Any:
        if name.isupper() and not name.startswith("_"):
            for member in cls.members():
                if member.upper().replace("-", "_").replace(".", "_") == name:
                    return member
        raise AttributeError(f"{cls.__name__} has no {name!r} in this installation")

    def __iter__(cls) -> Iterator[Any]:
        return iter(cls.members())

    def members(cls) -> tuple[Any, ...]:
        """The names that this installation has, in order: each class of names says which."""
        return ()


class StackType(str, metaclass=_Names):
    """The name of a stack type, such as ``StackType.LOCAL``. Any text can be one: a catalog says which there are."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The plain text."""
        return str(self)

    @classmethod
    def members(cls) -> tuple[StackType, ...]:
        return catalog().types


class CloudProvider(str, metaclass=_Names):
    """The name of the provider that a stack's artifact store belongs to."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The plain text."""
        return str(self)

    @classmethod
    def members(cls) -> tuple[CloudProvider, ...]:
        return catalog().providers


class StackComponentTarget(StrEnum):
    """The components of a stack whose configuration a user can override."""

    ORCHESTRATOR = "orchestrator"
    ARTIFACT_STORE = "artifact_store"
    CONTAINER_REGISTRY = "container_registry"


#: The one stack type that is not remote.
LOCAL = StackType("local")


class StackCatalog:
    """Answers what stack types there are and what each takes. Does no I/O.

    Args:
        declarations: what plugins declared; several may share a name and differ in provider.
        schemes: the URI schemes and whom they belong to.
        explain: gives a sentence on why a stack type or URI scheme is not there and what to do, or None. Default:
            the command that installs the package of ours that supplies it.
    """

    def __init__(
        self,
        declarations: Sequence[Declared],
        schemes: Sequence[UriScheme] = (),
        explain: Callable[[str], str | None] | None = None,
    ) -> None:
        self._declared: dict[StackType, list[Declared]] = {}
        for one in sorted(declarations, key=_type_order):
            self._declared.setdefault(StackType(one.name), []).append(one)
        self._schemes = [one for one in schemes if one.provider not in self._local_providers()]
        self._schemes.sort(key=lambda one: known.order(one.prefix))
        self._explain = explain or _how_to_install

    # -- types --------------------------------------------------------------------------------------------------

    @property
    def types(self) -> tuple[StackType, ...]:
        """All stack types: the well-known ones first, then others by name."""
        return tuple(self._declared)

    @property
    def remote_types(self) -> tuple[StackType, ...]:
        """All but the local one."""
        return tuple(one for one in self._declared if one != LOCAL)

    def of(self, stack_type: str) -> list[Declared]:
        """What declares this type, one for each provider; empty for a type that is not there."""
        return list(self._declared.get(StackType(stack_type), ()))

    def display(self, stack_type: str) -> str:
        """A type's name for people."""
        declared = self.of(stack_type)
        return declared[0].display if declared else stack_type.capitalize()

    # -- options ------------------------------------------------------------------------------------------------

    @property
    def fields(self) -> tuple[str, ...]:
        """All options in the order of every message, ``credentials`` and ``verify`` included."""
        declared = (field for types in self._declared.values() for one in types for field in one.fields)
        return tuple(dict.fromkeys((*known.STACK_FIELDS, *declared)))

    def takers(self, field: str) -> frozenset[StackType]:
        """The types that take an option, at least with one of their providers."""
        return frozenset(
            stack_type
            for stack_type, declared in self._declared.items()
            if any(rule_of(one, field) != "forbidden" for one in declared)
        )

    # -- providers ----------------------------------------------------------------------------------------------

    @property
    def providers(self) -> tuple[CloudProvider, ...]:
        """All providers but the local one: the well-known ones first, then others by name."""
        declared = {one.provider for types in self._declared.values() for one in types}
        names = (declared | {one.provider for one in self._schemes}) - self._local_providers()
        return tuple(CloudProvider(name) for name in sorted(names, key=known.order))

    def schemes(self, providers: Iterable[str] | None = None) -> list[str]:
        """The URI schemes of some providers, or of all but the local one, in order."""
        wanted = None if providers is None else frozenset(providers)
        return [one.prefix for one in self._schemes if wanted is None or one.provider in wanted]

    def provider_of(self, uri: str) -> CloudProvider | None:
        """The provider that a URI belongs to by its scheme (case matters); None when nobody knows it."""
        for one in self._schemes:
            if uri.startswith(one.prefix):
                return CloudProvider(one.provider)
        return None

    # -- what is not there --------------------------------------------------------------------------------------

    def explain(self, name: str) -> str | None:
        """A sentence on why the stack type or URI scheme of this name is not there; None when nothing is known."""
        return self._explain(name)

    def explain_remote(self) -> str:
        """A sentence on how to get stack types that are not there."""
        missing = [name for name in known.STACK_TYPES if StackType(name) not in self._declared]
        commands = dict.fromkeys(
            known.install_command(distribution) for name in missing for distribution in known.distributions_of(name)
        )
        if not commands:
            return "Install the package that supplies one; `kitaru plugins list` shows what is there."
        return f"Install the package that supplies one, such as {' or '.join(f'`{one}`' for one in commands)}."

    def _local_providers(self) -> frozenset[str]:
        return frozenset(one.provider for one in self.of(LOCAL))


def rule_of(declared: Declared, field: str) -> FieldRule:
    """Whether a declared type needs, takes or refuses an option, ``credentials`` and ``verify`` included."""
    if field in declared.fields:
        return declared.fields[field]
    if field == "verify":
        return "optional" if declared.name != LOCAL else "forbidden"
    if field == "credentials":
        return "optional" if declared.credentials is not None else "forbidden"
    return "forbidden"


_injected: ContextVar[StackCatalog | None] = ContextVar("kitaru_stack_catalog", default=None)


def catalog() -> StackCatalog:
    """The catalog of this installation, or the one of an enclosing ``with using(...)``."""
    injected = _injected.get()
    if injected is not None:
        return injected
    manager = plugin_manager()
    return StackCatalog(manager.stack_types(), manager.uri_schemes(), lambda name: _why_missing(manager, name))


@contextmanager
def using(stack_catalog: StackCatalog) -> Iterator[StackCatalog]:
    """Within it, ``catalog()`` is this one. For tests."""
    token = _injected.set(stack_catalog)
    try:
        yield stack_catalog
    finally:
        _injected.reset(token)


def _type_order(declared: Declared) -> tuple[int, str, tuple[int, str]]:
    names = known.STACK_TYPES
    place = names.index(declared.name) if declared.name in names else len(names)
    return (place, declared.name, known.order(declared.provider))


def _how_to_install(name: str) -> str | None:
    commands = [f"`{known.install_command(one)}`" for one in known.distributions_of(name)]
    return f"`{name}` is not installed: {' or '.join(commands)}." if commands else None


def _why_missing(manager: PluginManager, name: str) -> str | None:
    # A name that no package of ours has is a typing error, unless the plugin that has it may be the broken one.
    broken = any(one.status == "unavailable" for one in manager.plugins())
    if not (broken or known.distributions_of(name)):
        return None
    try:
        if name.endswith("://"):
            manager.provider_of(name)
        else:
            manager.stack_type(name)
    except KitaruPluginError as error:
        text = str(error)
        return text[:1].upper() + text[1:]
    return None

"""Loads the plugins of this installation, keeps broken ones apart, and answers what the good ones supply."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import pluggy

from kitaru.errors import KitaruPluginError
from kitaru.plugins import discovery, hookspecs, known
from kitaru.plugins.declarations import COMPONENT_KINDS, Command, Flavor, PluginSerializer, Source, StackType, UriScheme
from kitaru.plugins.discovery import Found
from kitaru.plugins.guarded import why_it_failed
from kitaru.plugins.marker import PROJECT
from kitaru.plugins.register import Declaration, Register
from kitaru.process_locks import ProcessLock

Status = Literal["available", "unavailable", "disabled"]
REGISTRAR = "kitaru_register"
D = TypeVar("D")


@dataclass(frozen=True, slots=True)
class Supply:
    """One thing a plugin supplies: ``kind`` is a component kind, ``stack_type``, ``uri_scheme``, ``command``,
    ``serializer`` or ``observer``."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin. ``name`` is its entry point's; ``reason`` says why it is not available, else None."""

    name: str
    distribution: str
    version: str
    interface: str
    status: Status
    reason: str | None
    supplies: tuple[Supply, ...]


class PluginManager:
    """The plugins of one process. Building it imports the ``plugin`` module of each and nothing behind it.

    Args:
        selection: ``KITARU_PLUGINS``: None allows all, ``"off"`` none, else a comma list of plugin names. What it
            leaves out is not imported. What the core itself supplies is always there.
        found: the plugins to load; default: those of this installation.
    """

    def __init__(self, selection: str | None = None, found: list[Found] | None = None) -> None:
        self._selection = selection
        self._allowed = _allowed(selection)
        self._pluggy = _new_pluggy()
        self._infos: list[PluginInfo] = []
        self._declared: dict[tuple[str, ...], Declaration] = {}
        for one in discovery.discover() if found is None else found:
            self._infos.append(self._admit(one))

    # -- what there is ------------------------------------------------------------------------------------------

    @property
    def hook(self) -> Any:
        """The hooks of all available plugins, as pluggy relays them."""
        return self._pluggy.hook

    def plugins(self) -> list[PluginInfo]:
        """All installed plugins, broken and disabled ones included, in the order of precedence."""
        return list(self._infos)

    def flavor(self, kind: str, name: str) -> Flavor:
        """The flavor ``name`` of a component kind. Raises KitaruPluginError when no available plugin supplies it."""
        found = self._declared.get((kind, name))
        if isinstance(found, Flavor):
            return found
        raise KitaruPluginError(self._nobody_supplies(f"the {kind} flavor", name))

    def flavors(self, kind: str | None = None) -> list[Flavor]:
        """All flavors, or those of one component kind."""
        return [one for one in self._of(Flavor) if kind is None or one.kind == kind]

    def stack_types(self) -> list[StackType]:
        """All stack types; several may share a name and differ in provider."""
        return list(self._of(StackType))

    def stack_type(self, name: str, provider: str | None = None) -> StackType:
        """A stack type by name, and by provider where several supply it. Raises KitaruPluginError."""
        found = [one for one in self._of(StackType) if one.name == name and provider in (None, one.provider)]
        if len(found) == 1:
            return found[0]
        if found:
            providers = ", ".join(one.provider for one in found)
            raise KitaruPluginError(f"stack type `{name}` is supplied by several providers: {providers}. Name one.")
        raise KitaruPluginError(self._nobody_supplies("the stack type", name))

    def uri_schemes(self) -> list[UriScheme]:
        """All URI schemes, each with the provider its URIs belong to."""
        return list(self._of(UriScheme))

    def provider_of(self, uri: str) -> str:
        """The provider a URI belongs to, by its scheme. Raises KitaruPluginError when no plugin knows the scheme."""
        for one in self._of(UriScheme):
            if uri.startswith(one.prefix):
                return one.provider
        scheme, separator, _ = uri.partition("://")
        raise KitaruPluginError(self._nobody_supplies("the URI scheme", scheme + separator))

    def serializers(self) -> list[PluginSerializer]:
        """All serializers, for the codec."""
        return list(self._of(PluginSerializer))

    def commands(self) -> list[Command]:
        """All subcommands; none of them is imported yet."""
        return list(self._of(Command))

    def observer_hooks(self) -> set[str]:
        """The names of the observer hooks that some available plugin implements."""
        return {
            caller.name
            for plugin in self._pluggy.get_plugins()
            for caller in self._pluggy.get_hookcallers(plugin) or ()
            if caller.name != REGISTRAR
        }

    def observers(self, hook: str) -> list[tuple[str, Callable[..., Any], tuple[str, ...]]]:
        """Who observes a hook: plugin name, function, and the names of the arguments it takes."""
        caller = getattr(self._pluggy.hook, hook)
        return [
            (one.plugin_name.partition(":")[2], one.function, tuple(one.argnames)) for one in caller.get_hookimpls()
        ]

    def _of(self, kind: type[D]) -> Iterator[D]:
        return (one for one in self._declared.values() if isinstance(one, kind))

    # -- letting one in -----------------------------------------------------------------------------------------

    def _admit(self, found: Found) -> PluginInfo:
        if self._allowed is not None and found.name not in self._allowed and not found.built_in:
            return _info(found, "disabled", f"KITARU_PLUGINS={self._selection} leaves it out")
        if found.refusal is not None:
            return _info(found, "unavailable", found.refusal)
        register = Register(Source(found.name, found.distribution, found.version))
        failure, plugin = why_it_failed(found.entry_point.load)
        if failure is not None:
            return _info(found, "unavailable", f"importing it failed: {failure}")
        if self._pluggy.is_registered(plugin):
            return _info(found, "unavailable", f"another entry point names the same object, {found.entry_point.value}")
        name = f"{found.distribution}:{found.name}"
        try:
            self._pluggy.register(plugin, name=name)
            self._pluggy.check_pending()
        except (Exception, SystemExit) as error:
            return self._turn_away(found, name, f"its hooks do not fit the interface: {error}")
        refusal, observed = self._try_out(plugin, register)
        refusal = refusal or self._clash(found, register)
        if refusal is not None:
            return self._turn_away(found, name, refusal)
        self._declared.update(register.declared)
        supplies = [Supply(_kind(key), key[1]) for key in register.declared]
        supplies += [Supply("observer", hook) for hook in observed]
        return _info(found, "available", None, tuple(supplies))

    def _try_out(self, plugin: Any, register: Register) -> tuple[str | None, list[str]]:
        """Run a plugin's own registrar; gives why it cannot be used (or None), and the observer hooks it has."""
        observed = []
        callers = self._pluggy.get_hookcallers(plugin) or []
        if not callers:
            return "it has no hook: mark its functions with `from kitaru.plugins import hookimpl`", []
        for caller in callers:
            (own,) = (one for one in caller.get_hookimpls() if one.plugin is plugin)
            if own.wrapper or own.hookwrapper:
                return f"its hook `{caller.name}` is a wrapper: Kitaru's hooks cannot be wrapped", []
            if caller.name != REGISTRAR:
                observed.append(caller.name)
                continue
            failure, _ = why_it_failed(functools.partial(own.function, *(register for _ in own.argnames)))
            if failure is not None:
                return f"{REGISTRAR} failed: {failure}", []
        return None, sorted(observed)

    def _turn_away(self, found: Found, name: str, reason: str) -> PluginInfo:
        # pluggy keeps what it registered before it refused the rest.
        if self._pluggy.has_plugin(name):
            self._pluggy.unregister(name=name)
        return _info(found, "unavailable", reason)

    def _clash(self, found: Found, register: Register) -> str | None:
        for info in self._infos:
            if info.name == found.name and info.status == "available":
                return f"{info.distribution} and {found.distribution} both name a plugin `{found.name}`. Uninstall one."
        for key in register.declared:
            taken = self._declared.get(key)
            if taken is not None:
                return (
                    f"{taken.source.distribution} and {found.distribution} both supply the {key[0]} `{key[1]}`. "
                    "Uninstall one, or choose with KITARU_PLUGINS."
                )
        return None

    def _nobody_supplies(self, what: str, name: str) -> str:
        text = f"no available plugin supplies {what} `{name}`"
        known_to_supply = known.distributions_of(name)
        installed = [info for info in self._infos if info.distribution in known_to_supply]
        for info in installed:
            if info.status != "available":
                return f"{text}: {info.distribution} {info.version} is installed but {info.status} ({info.reason})."
        if installed:
            upgrade = known.install_command(installed[0].distribution, upgrade=True)
            return f"{text}: {installed[0].distribution} {installed[0].version} does not, a newer one may: `{upgrade}`."
        if known_to_supply:
            commands = " or ".join(f"`{known.install_command(one)}`" for one in known_to_supply)
            return f"{text}. Install it with {commands}."
        broken = [f"`{info.name}` ({info.reason})" for info in self._infos if info.status == "unavailable"]
        more = f" Unavailable plugins: {'; '.join(broken)}." if broken else ""
        return f"{text}. Install the package that does; `kitaru plugins list` shows what is there.{more}"


def _new_pluggy() -> pluggy.PluginManager:
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def _allowed(selection: str | None) -> frozenset[str] | None:
    if selection is None:
        return None
    if selection.strip().lower() == "off":
        return frozenset()
    return frozenset(name.strip() for name in selection.split(",") if name.strip())


def _info(found: Found, status: Status, reason: str | None, supplies: tuple[Supply, ...] = ()) -> PluginInfo:
    return PluginInfo(found.name, found.distribution, found.version, found.interface, status, reason, supplies)


def _kind(key: tuple[str, ...]) -> str:
    assert key[0] in (*COMPONENT_KINDS, "stack_type", "uri_scheme", "command", "serializer")
    return key[0]


_manager: PluginManager | None = None
_lock = ProcessLock()


def plugin_manager() -> PluginManager:
    """The plugins of this process: loaded on first use, once. ``KITARU_PLUGINS`` is read then."""
    global _manager
    if _manager is None:
        from kitaru.config import environment

        with _lock:
            if _manager is None:
                _manager = PluginManager(environment.text(environment.KITARU_PLUGINS_ENV))
    return _manager


def forget_plugins() -> None:
    """Load the plugins anew on next use. For tests."""
    global _manager
    with _lock:
        _manager = None

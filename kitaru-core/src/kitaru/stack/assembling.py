"""What a stack that is about to be made consists of, checked before anything is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from kitaru.errors import KitaruError, KitaruPluginError, KitaruUsageError
from kitaru.plugins.declarations import Flavor, SettingProblem
from kitaru.plugins.declarations import StackType as Declared
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import Component, Place
from kitaru.stack.credentials import Credentials
from kitaru.stack.overrides import StackComponentConfigOverrides, deep_merge
from kitaru.stack.remote_specs import RemoteStackSpec
from kitaru.stack.stacks import made_with
from kitaru.stack.types import LOCAL, StackComponentTarget, catalog


@dataclass(frozen=True, slots=True)
class Assembly:
    """A stack's parts: components with the user's overrides merged in, and how they sign in."""

    declared: Declared
    fields: Mapping[str, str]
    components: tuple[Component, ...]
    credentials: Credentials | None

    def settings(self) -> dict[str, dict[str, Any]]:
        """What each component is made with, by its kind."""
        return {one.kind: self.made_with(one) for one in self.components}

    def made_with(self, component: Component) -> dict[str, Any]:
        """What a component is made with."""
        credentials = self.credentials
        return made_with(component, self.components, lambda: credentials.settings() if credentials is not None else {})

    def resources(self) -> dict[str, str]:
        """What ``kitaru stack create`` sums up, in the declared order."""
        known = {"provider": self.declared.provider, **self.fields}
        return {name: known[name] for name in self.declared.resources if name in known}


def assemble(spec: RemoteStackSpec | None, overrides: StackComponentConfigOverrides, place: Place) -> Assembly:
    """The parts of a stack; ``spec`` None: a local one. Uses no network.

    Raises:
        KitaruUsageError: the credentials cannot be understood, the fields or overrides do not fit.
        KitaruPluginError: what the stack type needs cannot be loaded.
    """
    stack_type = LOCAL if spec is None else spec.stack_type
    declared = _declared(stack_type, None if spec is None else spec.provider)
    credentials = None if spec is None else declared.parse_credentials(spec.credentials)
    fields = {} if spec is None else spec.fields
    made: Sequence[Component] = declared.make_components(fields, place)
    components = tuple(_overridden(one, overrides) for one in made)
    _refuse_overrides_of_nothing(declared, components, overrides)
    if spec is not None:
        declared.engine_stack(fields, credentials)  # refuses what the engine could not be told
    return Assembly(declared, fields, components, credentials)


def check_settings(parts: Assembly) -> None:
    """Refuse settings that a component's flavor does not take.

    Raises KitaruUsageError naming component, flavor and setting, with the nearest name for a typing error; a value is
    never quoted. KitaruPluginError when a flavor is missing or cannot be loaded.
    """
    for component in parts.components:
        flavor = plugin_manager().flavor(component.kind, component.flavor)
        problems = flavor.problems(parts.made_with(component))
        if problems:
            raise _refused(component, flavor, problems)


def _refused(component: Component, flavor: Flavor, problems: Sequence[SettingProblem]) -> KitaruUsageError:
    unknown = [one for one in problems if one.unknown]
    learn = f" See {flavor.docs}." if flavor.docs else ""
    if not unknown:
        told = "; ".join(f"{one.path}: {one.reason}" if one.path else one.reason for one in problems)
        return KitaruUsageError(f"Invalid option for {component.kind} (flavor `{component.flavor}`): {told}.{learn}")
    names = ", ".join(f"`{one.path}`" for one in unknown)
    text = f"Invalid option for {component.kind} (flavor `{component.flavor}`): {names}."
    if len(unknown) == 1:
        close = get_close_matches(unknown[0].path, [one for one in flavor.setting_names() if one != "credentials"], 1)
        text += f" Did you mean `{close[0]}`?" if close else ""
    return KitaruUsageError(text + learn)


def _declared(stack_type: str, provider: str | None) -> Declared:
    for one in catalog().of(stack_type):
        if provider in (None, one.provider):
            return one
    explanation = catalog().explain(stack_type) or "`kitaru plugins list` shows what there is."
    raise KitaruPluginError(f"nothing here supplies the stack type `{stack_type}`. {explanation}")


def _overridden(component: Component, overrides: StackComponentConfigOverrides) -> Component:
    if component.kind not in list(StackComponentTarget):
        return component
    more = overrides.of(StackComponentTarget(component.kind))
    return Component(component.kind, component.flavor, deep_merge(component.settings, more), component.credentials)


def _refuse_overrides_of_nothing(
    declared: Declared, components: Sequence[Component], overrides: StackComponentConfigOverrides
) -> None:
    kinds = {one.kind for one in components}
    for target in StackComponentTarget:
        if overrides.of(target) and target.value not in kinds:
            raise KitaruUsageError(
                f"stacks of type `{declared.name}` have no {target.value}: there are no options of it."
            )


def verify(parts: Assembly) -> list[str]:
    """Sign in and look at what the stack names; gives what is wrong, nothing: all is well.

    Bounded by the provider's timeouts. A provider that fails in another way than by its probes says so here, too.
    """
    credentials = parts.credentials if parts.credentials is not None else Credentials()
    try:
        found = parts.declared.probes(parts.settings(), credentials)
    except KitaruUsageError:
        raise
    except KitaruError as error:
        return [str(error)]
    return [f"{one.what}: {one.error}" for one in found if one.error is not None]

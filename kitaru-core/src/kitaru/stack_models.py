"""What users see of stacks: plain records, made once and never changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Role = Literal["runner", "storage", "image_registry", "additional_component"]


@dataclass(frozen=True, slots=True)
class StackInfo:
    """A stack, and whether it is the active one: where flows run that name no other."""

    id: str
    name: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class StackListEntry:
    """A row of a listing. ``is_managed``: Kitaru made it."""

    stack: StackInfo
    is_managed: bool


@dataclass(frozen=True, slots=True)
class StackCreateResult:
    """What ``create`` did. ``previous_active_stack``: its name, when the new stack took its place."""

    stack: StackInfo
    previous_active_stack: str | None
    components_created: tuple[str, ...]
    stack_type: str = "local"
    service_connectors_created: tuple[str, ...] = ()
    resources: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class StackDeleteResult:
    """What ``delete`` did. ``new_active_stack``: the name of the one that is active now, when that changed."""

    deleted_stack: str
    components_deleted: tuple[str, ...]
    new_active_stack: str | None
    recursive: bool


@dataclass(frozen=True, slots=True)
class StackComponentDetails:
    """A component for people. ``backend`` is its flavor, ``purpose`` its kind where the role does not tell."""

    role: Role
    name: str
    backend: str | None
    details: tuple[tuple[str, str], ...] = ()
    purpose: str | None = None


@dataclass(frozen=True, slots=True)
class StackDetails:
    """A stack with its components."""

    stack: StackInfo
    is_managed: bool
    stack_type: str
    components: tuple[StackComponentDetails, ...]
    labels: Mapping[str, str] = field(default_factory=dict)

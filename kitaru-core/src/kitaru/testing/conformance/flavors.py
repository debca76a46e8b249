"""How the conformance classes make a component in another process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FlavorSettings:
    """A component as an installed plugin supplies it.

    Attributes:
        kind, flavor: as the plugin registered it.
        settings: what its config is made of; plain JSON.
        secrets: texts that must be in no error.
    """

    kind: str
    flavor: str
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)

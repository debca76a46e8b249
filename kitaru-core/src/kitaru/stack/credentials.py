"""What a stack signs in with, and what its probes found: what a provider's functions give to the core."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

IMPLICIT = "implicit"


@dataclass(frozen=True, slots=True)
class Credentials:
    """How a stack signs in.

    Attributes:
        method: the provider's name of it; ``"implicit"`` stands for what the environment has (profile, pod identity).
        public: parts that may be seen and are kept with the stack, such as a profile's name.
        secret: parts that are never shown; they are kept in this installation's secret store and never in a file of
            settings, a journal or an error.

    A component that is made with credentials gets them as its setting ``credentials``, one mapping:
    ``{"method": ..., **public, **secret}``.
    """

    method: str = IMPLICIT
    public: Mapping[str, str] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict, repr=False)

    def settings(self) -> dict[str, str]:
        """The mapping that components get."""
        return {**self.public, **self.secret, "method": self.method}


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing that ``verify`` tried: ``what`` as the user named it; ``error`` says why it failed, None: it did not.

    ``error`` names the reason and never a secret.
    """

    what: str
    error: str | None = None

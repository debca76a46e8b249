"""What a stack signs in with, and what its probes found: what a provider's functions give to the core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kitaru.errors import KitaruError, KitaruUsageError

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


def split_method(text: str | None, cloud: str, forms: Mapping[str, str]) -> tuple[str, str] | None:
    """Method (lower case) and value of ``METHOD:VALUE``; None stands for ``implicit``, which a blank text means too.

    Args:
        text: what the user wrote.
        cloud: whose credentials they are, for people.
        forms: how each method is written, by its name; several names may share a form.

    Raises KitaruUsageError for a text of no such form, of which no value is quoted: anything may be the secret.
    """
    stripped = (text or "").strip()
    if not stripped or stripped.lower() == IMPLICIT:
        return None
    *most, last = (f"`{form}`" for form in dict.fromkeys((IMPLICIT, *forms.values())))
    told = f"use {', '.join(most)} or {last}."
    method, separator, value = stripped.partition(":")
    if not separator:
        raise KitaruUsageError(f"these credentials are none for {cloud}: {told}")
    method = method.strip().lower()
    if method not in forms:
        raise KitaruUsageError(f"unknown credentials method `{method:.40}` for {cloud}: {told}")
    return method, value.strip()


def look(sign_in: Callable[[], object], *others: tuple[str, Callable[[], object]]) -> list[Probe]:
    """Probes of the sign-in and of what ``others`` name: each raises KitaruError when it is not as it should be.

    Those behind the sign-in only when that worked: each would only say the same, after its timeouts.
    """
    signed_in = _probe("credentials", sign_in)
    return [signed_in, *(_probe(*one) for one in others if signed_in.error is None)]


def _probe(what: str, attempt: Callable[[], object]) -> Probe:
    try:
        attempt()
    except KitaruError as error:
        return Probe(what, str(error))
    return Probe(what)

"""What an execution may spend on model calls: ``@flow(budget=Budget(usd=5))``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kitaru.errors import KitaruUsageError

FAIL, WAIT = "fail", "wait"


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits for all calls of ``kitaru.llm()`` of an execution and the flows it starts, over all its attempts.

    A call begins while what was spent so far is below every limit: the last one may go over it, and so may calls that
    run beside each other. What is answered by a record costs nothing. Calls of the provider inside one ``llm()``, such
    as a repair, count as one call; their tokens and cost count in full.

    Attributes:
        usd: US dollars, as priced by LiteLLM; calls of models without a price count 0.
        tokens: tokens in and out.
        calls: calls begun; exact within one process.
        on_exhausted: ``"fail"`` (KitaruBudgetExceededError), ``"wait"`` (a wait named ``budget``, whose answer holds
            new limits: ``{"usd": 10}``), or the model alias or model that further calls are made with.

    Raises:
        KitaruUsageError: no limit, or one that is no positive number.
    """

    usd: float | None = None
    tokens: int | None = None
    calls: int | None = None
    on_exhausted: str = FAIL

    def __post_init__(self) -> None:
        if self.usd is None and self.tokens is None and self.calls is None:
            raise KitaruUsageError("Budget() limits nothing: give it usd=, tokens= or calls=.")
        for name, whole in (("usd", False), ("tokens", True), ("calls", True)):
            value = getattr(self, name)
            fits = isinstance(value, int if whole else (int, float)) and not isinstance(value, bool)
            if value is not None and not (fits and 0 < value < float("inf")):
                raise KitaruUsageError(
                    f"Budget({name}={value!r}): must be a {'whole ' if whole else ''}number above 0."
                )
        if not isinstance(self.on_exhausted, str) or not self.on_exhausted.strip():
            raise KitaruUsageError(f'Budget(on_exhausted={self.on_exhausted!r}): "fail", "wait" or a model alias.')

    def document(self) -> dict[str, Any]:
        """As JSON data, for the frozen spec."""
        limits = {name: getattr(self, name) for name in ("usd", "tokens", "calls")}
        found: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
        return {**found, "on_exhausted": self.on_exhausted}


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent so far."""

    usd: float = 0.0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.usd + other.usd, self.tokens + other.tokens, self.calls + other.calls)

    def over(self, limits: Mapping[str, Any]) -> str | None:
        """The first limit that is reached, in words; None while there is something left."""
        for name, unit in (("usd", "USD"), ("tokens", "tokens"), ("calls", "calls")):
            limit, spent = limits.get(name), getattr(self, name)
            if limit is not None and spent >= limit:
                return f"{spent:.4g} of {limit:g} {unit} are spent" if name == "usd" else f"{spent} of {limit} {unit}"
        return None

"""When a failed attempt is tried again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from kitaru.errors import KitaruSerializationError, KitaruUsageError

#: What another try would only pay for again: a value that cannot be stored, an argument that Kitaru refuses.
FINAL = (KitaruSerializationError, KitaruUsageError)

RetryOn = tuple[type[BaseException], ...] | Callable[[BaseException], bool]


@dataclass(slots=True, frozen=True)
class RetryPolicy:
    """How one checkpoint is retried. Times are seconds.

    ``retries`` counts extra tries after the first; None takes the flow's default, an explicit 0 opts out.
    The pause before extra try *n* is ``backoff * backoff_factor ** (n - 1)``, at most ``backoff_max``; with
    ``jitter`` a uniform draw between half of it and all of it ("equal jitter", Brooker, AWS Architecture Blog 2015).
    """

    retries: int | None = None
    backoff: float = 0.0
    backoff_factor: float = 2.0
    backoff_max: float = 60.0
    jitter: bool = False
    retry_on: RetryOn | None = None
    timeout: float | None = None

    def applies(self, error: BaseException) -> bool:
        """Whether ``error`` is one that may be tried again. Control flow never is.

        Errors of :data:`FINAL` are not either, unless ``retry_on`` names their own class or is a function.
        """
        if not isinstance(error, Exception):
            return False
        final = isinstance(error, FINAL)
        if self.retry_on is None:
            return not final
        if isinstance(self.retry_on, tuple):
            named = tuple(one for one in self.retry_on if issubclass(one, FINAL)) if final else self.retry_on
            return isinstance(error, named)
        return bool(self.retry_on(error))

    def pause(self, failed: int) -> float:
        """Seconds to wait after the ``failed``-th failed attempt (1, 2, ...)."""
        if self.backoff <= 0:
            return 0.0
        # A large exponent overflows a float long before it matters: the cap is reached first.
        pause = min(self.backoff * self.backoff_factor ** min(failed - 1, 64), self.backoff_max)
        return pause * random.uniform(0.5, 1.0) if self.jitter else pause  # noqa: S311

"""When a failed attempt is tried again, and after how long."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

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
        """Whether ``error`` is one that may be tried again. Control flow never is."""
        if not isinstance(error, Exception):
            return False
        if self.retry_on is None:
            return True
        if isinstance(self.retry_on, tuple):
            return isinstance(error, self.retry_on)
        return bool(self.retry_on(error))

    def pause(self, failed: int) -> float:
        """Seconds to wait after the ``failed``-th failed attempt (1, 2, ...)."""
        if self.backoff <= 0:
            return 0.0
        # A large exponent overflows a float long before it matters: the cap is reached first.
        pause = min(self.backoff * self.backoff_factor ** min(failed - 1, 64), self.backoff_max)
        return pause * random.uniform(0.5, 1.0) if self.jitter else pause  # noqa: S311

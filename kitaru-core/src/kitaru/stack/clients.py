"""Clients of services, for components: made on first use, and never shared with a forked child."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Called, it gives a client: made when it is first needed, and anew in a forked child.

    A child cannot use its parent's connections. All threads of a process get the same one, whoever comes first.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._kept: dict[int, T] = {}

    def __call__(self) -> T:
        return self._of_this_process(self._kept)

    def _of_this_process(self, kept: dict[int, T]) -> T:
        found = kept.get(os.getpid())
        # One that lost the race is dropped before it was used.
        return found if found is not None else kept.setdefault(os.getpid(), self._make())


class PerThread(PerProcess[T]):
    """:class:`PerProcess` for clients that threads cannot share either."""

    def __init__(self, make: Callable[[], T]) -> None:
        super().__init__(make)
        self._local = threading.local()

    def __call__(self) -> T:
        return self._of_this_process(self._local.__dict__.setdefault("kept", {}))

"""Ctrl-C in a program that runs flows: the first one lets go of them before their next checkpoint."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel

_kernels: WeakSet[Kernel] = WeakSet()
_lock = threading.Lock()
_installed = False


def watch(kernel: Kernel) -> None:
    """From now on, a KeyboardInterrupt that ends the program interrupts the executions of ``kernel``.

    Without this the interpreter, which waits for its flows when it exits, would run them to their end first. A second
    Ctrl-C ends that wait. A KeyboardInterrupt that the program handles itself is the program's own business, and one
    inside ``handle.wait()`` is dealt with there.
    """
    global _installed
    with _lock:
        _kernels.add(kernel)
        if _installed:
            return
        _installed = True
        before = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            if issubclass(kind, KeyboardInterrupt):
                for one in list(_kernels):
                    one.interrupt_all()
            before(kind, error, trace)

        sys.excepthook = hook

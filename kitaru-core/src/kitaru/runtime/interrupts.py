"""The end of a program that runs flows, by Ctrl-C (which lets go of them before their next checkpoint) or by itself."""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING
from weakref import WeakSet

from kitaru.errors import KitaruStateError
from kitaru.process_locks import ProcessLock
from kitaru.runtime import ending
from kitaru.runtime.context import current_frame

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel


class _Flows:
    def finish(self) -> None:
        """Wait for the flows that are running, and for those that they start; Ctrl-C lets go of them."""
        try:
            _join()
        except KeyboardInterrupt:
            if not _let_go.is_set():
                _interrupt()
                _join()  # until their next checkpoint; a second Ctrl-C ends this wait
            raise


def _join() -> None:
    for kernel in list(_kernels):
        kernel.join()


def _interrupt() -> None:
    _let_go.set()
    for kernel in list(_kernels):
        kernel.interrupt_all()


_kernels: WeakSet[Kernel] = WeakSet()
_flows = _Flows()
_lock = ProcessLock()
_installed = False
_let_go = threading.Event()


def watch(kernel: Kernel) -> None:
    """From now on, a KeyboardInterrupt that ends the program interrupts the executions of ``kernel``.

    Without this the interpreter, which waits for its flows when it exits (while thread pools still work), would run
    them to their end first. A second Ctrl-C ends that wait. A KeyboardInterrupt that the program handles itself is
    the program's own business, and one inside ``handle.wait()`` is dealt with there.
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
                _interrupt()
            before(kind, error, trace)

        sys.excepthook = hook
        ending.finish_early(_flows)


def refuse_at_exit(flow_name: str) -> None:
    """Raise KitaruStateError when a daemon thread starts a flow after the main thread has ended.

    The interpreter waits for flows: a thread that starts one after the other would keep the program from ending.
    """
    if not ending.begun() or not threading.current_thread().daemon or current_frame.get() is not None:
        return
    raise KitaruStateError(
        f"flow `{flow_name}` was started by a daemon thread after the program's main thread had ended: nothing was "
        "recorded. Start flows from a thread that is no daemon, or keep the main thread alive."
    )

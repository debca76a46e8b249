"""Bodies that do not simply run: effects, those with a deadline, and those in a process of their own."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

from kitaru.errors import KitaruTimeoutError
from kitaru.runtime.context import Frame


def run_apart(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one attempt's body and return its value, or raise what it raised. Not for plain calls: those just run.

    Raises:
        KitaruTimeoutError: the checkpoint's deadline passed. An isolated process is killed; a thread cannot be, so
            the attempt is fenced: nothing that it still does through Kitaru is accepted.
    """
    spec = frame.spec
    assert spec is not None
    if spec.isolated:
        from kitaru.runtime import isolated  # only for those who use it

        where = isolated.require(frame)  # before an intent says that the body may have run
    if spec.effect:
        from kitaru.runtime import effects

        effects.begin(frame)
        if spec.retry.timeout is None and not spec.isolated:
            return spec.function(*args, **kwargs)
    if spec.isolated:
        return isolated.run_isolated(frame, where, args, kwargs)
    outcome: list[Any] = []
    done = threading.Event()

    def body() -> None:
        try:
            outcome.append((True, spec.function(*args, **kwargs)))
        except BaseException as error:  # carried over to the waiting thread
            outcome.append((False, error))
        finally:
            done.set()

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(body,), name=f"kitaru-{frame.name}", daemon=True).start()
    # Not an interruptible wait: a body that runs when the execution stops finishes and is recorded first.
    if not done.wait(spec.retry.timeout):
        frame.fenced = True
        raise timed_out(frame)
    returned, value = outcome[0]
    if not returned:
        raise value
    return value


def timed_out(frame: Frame) -> KitaruTimeoutError:
    """The error of an attempt that passed its checkpoint's deadline."""
    assert frame.spec is not None
    return KitaruTimeoutError(
        f"checkpoint `{frame.name}` timed out after {frame.spec.retry.timeout:g} s (attempt {frame.attempt}). What its "
        "body still does in the background is not recorded."
    )

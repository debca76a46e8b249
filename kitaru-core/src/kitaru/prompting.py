"""Asking on the terminal: a wait of a flow that runs in front of somebody can be answered right there."""

from __future__ import annotations

import json
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

from kitaru import answers
from kitaru.errors import KitaruError, KitaruStateError, KitaruWaitValidationError
from kitaru.process_locks import ProcessLock

if TYPE_CHECKING:
    from kitaru.journal.records import WaitRecord
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.suspension import Hold

_LOOK_SECONDS = 0.05
_terminal = ProcessLock()  # one question at a time


def wanted() -> bool:
    """Whether stdin and stdout are a terminal, and ``KITARU_INTERACTIVE`` does not say no."""
    from kitaru.config import environment

    if environment.boolean(environment.KITARU_INTERACTIVE_ENV) is False:
        return False
    try:
        return sys.stdin.isatty() and sys.stdout.isatty()
    except (AttributeError, ValueError):  # closed, or replaced by something that is no stream
        return False


def start(kernel: Kernel, hold: Hold) -> None:
    """Ask for the answer of ``hold``'s wait on a thread of its own, until it has one from wherever.

    While somebody sits at the terminal the owner stays. Ctrl-C aborts the wait, and with it the execution.
    """
    hold.until = float("inf")
    threading.Thread(target=_serve, args=(kernel, hold), name="kitaru-prompt", daemon=True).start()


def _serve(kernel: Kernel, hold: Hold) -> None:
    assert hold.wait is not None
    with _terminal:
        if hold.event.is_set() or kernel.runs.get(hold.wait.exec_id) is None:
            return
        kernel.asking = hold.wait
        try:
            _ask(kernel, hold, hold.wait)
        finally:
            kernel.asking = None


def _ask(kernel: Kernel, hold: Hold, wait: WaitRecord) -> None:
    print(f"\n{_clean(wait.question or f'Wait `{wait.name}` needs an answer.')}")
    if wait.schema is not None:
        print(f"Answer as JSON that fits {json.dumps(wait.schema)}; an empty line is null.")
    else:
        print("Press Enter to go on.")
    while True:
        print("> ", end="", flush=True)
        line = _line(kernel, hold)
        if line is None:
            print()
            return
        try:
            answers.accept(kernel, wait, _parsed(line, wait))
            return
        except (KitaruWaitValidationError, ValueError) as error:
            print(_clean(str(error)))
        except KitaruStateError:  # it has its answer from elsewhere
            return
        except KitaruError as error:
            print(_clean(str(error)))
            return


def _line(kernel: Kernel, hold: Hold) -> str | None:
    """The next line; None once the wait has ended elsewhere, the flow stopped, or the terminal is gone."""
    while not hold.event.is_set():
        run = kernel.runs.get(hold.wait.exec_id) if hold.wait is not None else None
        if run is None or run.stopping is not None:
            return None
        ready, _, _ = select.select([sys.stdin], [], [], _LOOK_SECONDS)
        if ready:
            return sys.stdin.readline() or None
    return None


def _parsed(line: str, wait: WaitRecord) -> Any:
    text = line.strip()
    if not text:
        return None
    try:
        return json.loads(text)
    except ValueError:
        kinds = (wait.schema or {}).get("type")
        if kinds == "string" or (isinstance(kinds, list) and "string" in kinds):
            return text  # nobody types quotes around a sentence
        raise


def _clean(text: str) -> str:
    return "".join(char for char in text if char.isprintable() or char in "\n\t")

"""What runs inside a process that may be killed; and a small server that forks such processes quickly.

``python -m tests.crash.worker`` reads rounds (one JSON object a line) from stdin, forks a process for each, and says
on stdout which pid it got and, later, how it ended. It has imported everything and opened nothing, so a fork is as
good as a fresh interpreter and a hundred times cheaper.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import selectors
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.crash import kernels, shapes

from kitaru import answers
from kitaru.client import KitaruClient
from kitaru.errors import KitaruError, KitaruLeaseError, KitaruStateError, KitaruTimeoutError, KitaruWaitingError
from kitaru.handles import FlowHandle
from kitaru.journal.records import ExecutionQuery, Owner
from kitaru.plugins.manager import plugin_manager
from kitaru.runtime import lease
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly
from kitaru.testing.crash import CrashingJournal, CrashPoint, kill_this_process

#: The shapes whose calls are effects: one after another, of async bodies, submitted.
EFFECTS = ("once", "aonce", "sonce")


@dataclass
class Order:
    """What one process shall do."""

    directory: str
    shape: str
    argument: int = 0
    exec_id: str | None = None  # resume this one; None: start under the key
    key: str | None = "battery"
    crash: str | None = None
    ctrl_c: bool = False  # at the crash point: SIGINT instead of SIGKILL
    lease_seconds: float = 30.0
    host: str | None = None  # pretend to be on another host: then only an expired lease lets others take over
    store: str = ""  # where the store lies inside the directory; effects and answers lie beside it
    file_bytes_max: int | None = None  # no file may grow beyond that
    barrier: str | None = None  # begin only when this file exists
    answer: str = "answer"
    replay_of: str | None = None  # replay this one instead of starting the flow
    from_: str | None = None


def perform(order: Order) -> dict[str, Any]:
    """Start or resume, wait for the end, and say how it ended."""
    directory = Path(order.directory)
    os.environ[shapes.EFFECTS_VARIABLE] = str(directory / "effects")
    os.environ[shapes.GATES_VARIABLE] = str(directory)
    os.environ.update(kernels.settings(directory / order.store, lease_seconds=order.lease_seconds))
    if order.host is not None:
        elsewhere = Owner(order.host, order.host, "test", os.getpid(), 1)
        lease.this_owner = lambda: elsewhere
    if order.file_bytes_max is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_bytes_max, resource.RLIM_INFINITY))
    kernel = assembly.open_kernel()
    sys.excepthook = lambda *_: None  # the kernel puts its own before it
    point = CrashPoint.parse(order.crash) if order.crash else None
    press = _ctrl_c(kernel) if order.ctrl_c else kill_this_process
    crashing = CrashingJournal(kernel.journal, point, crash=press)
    crashing.append = _noting_refusals(crashing.append, directory)
    kernel.journal = crashing
    if order.barrier is not None:
        Path(order.barrier + f".{os.getpid()}").touch()
        while not os.path.exists(order.barrier):
            time.sleep(0.0005)
    try:
        if order.exec_id is not None:
            handle = kernels.resume(order.exec_id)
        elif order.replay_of is not None:
            handle = getattr(shapes, order.shape).replay(order.replay_of, from_=order.from_)
        else:
            handle = kernels.start(getattr(shapes, order.shape), order.argument, key=order.key)
        if order.shape in ("answered", *EFFECTS):
            threading.Thread(target=_answer_all, args=(kernel,), daemon=True).start()
        result = _to_the_end(handle, 60.0 if order.ctrl_c else 0.02)
    except KitaruError as error:
        return {"error": type(error).__name__, "text": str(error), "writes": len(crashing.log)}
    except KeyboardInterrupt as error:  # the program ends by it, as the interpreter would end it
        sys.excepthook(KeyboardInterrupt, error, None)
        for thread in threading.enumerate():
            if thread is not threading.main_thread() and not thread.daemon:
                thread.join()
        return {"interrupted": True, "writes": len(crashing.log)}
    return {"exec_id": handle.exec_id, "result": repr(result), "writes": len(crashing.log)}


def _ctrl_c(kernel: Kernel) -> Callable[[], None]:
    """Ctrl-C at this very point: returns once the main thread has seen to it."""

    def press() -> None:
        runs = list(kernel.runs.values())
        for _ in range(10):  # the interpreter drops it where it calls back (a weak reference's end): press again then
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 2
            while threading.current_thread() is not threading.main_thread() and time.monotonic() < deadline:
                if not runs or any(run.stopping is not None for run in runs):
                    return
                time.sleep(0.0005)

    return press


def _to_the_end(handle: FlowHandle, patience: float) -> Any:
    """Wait for the end; an execution that was let go of is continued once it has its answer."""
    while True:
        try:
            return handle.wait(timeout=patience)
        except (KitaruWaitingError, KitaruTimeoutError):
            with contextlib.suppress(KitaruStateError):  # nobody has answered yet, or it runs
                handle = kernels.resume(handle.exec_id)


def _answer_all(kernel: Kernel) -> None:
    """The human of the battery: answers every wait there is, from inside a process that may die while doing so."""
    client = KitaruClient()
    while True:
        with contextlib.suppress(KitaruError):
            for record in kernel.journal.list(ExecutionQuery(), kernel.alive):
                for wait in client.executions.pending_waits(record.exec_id):
                    given = _answer_to(wait)
                    client.executions.input(record.exec_id, wait=wait.wait_id, value=given, resume=False)
                    shapes.mark("accepted", wait.name, repr(given))
        time.sleep(0.001)


def _answer_to(wait: Any) -> dict[str, Any]:
    if wait.metadata.get("in_doubt"):
        label = shapes.fired_by(wait.metadata["call_id"])
        return {"decision": "run_again"} if label is None else {"decision": "done", "result": int(label[1:]) * 10}
    number = wait.name.rpartition("-")[2]
    # Who says it, and when, differs each time: a second answer to one wait would be seen.
    return {
        "value": 100 if number == "last" else shapes.answer_to(int(number)),
        "by": os.getpid(),
        "at": time.time_ns(),
    }


def _noting_refusals(write: Callable[..., Any], directory: Path) -> Callable[..., Any]:
    """Leave a file when a write is refused because somebody else has the lease."""

    def noting(*args: Any, **kwargs: Any) -> Any:
        try:
            return write(*args, **kwargs)
        except KitaruLeaseError:
            (directory / f"refused-{os.getpid()}").touch()
            raise

    return noting


def answer(order: Order) -> int:
    """Perform an order and leave the answer as a file; the exit status says whether that worked."""
    path = Path(order.directory) / order.answer
    try:
        text = json.dumps(perform(order))
        status = 0
    except BaseException:
        text = json.dumps({"crashed": traceback.format_exc()})
        status = 70
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    aside.write_text(text)
    aside.replace(path)
    return status


def encode(order: Order) -> str:
    return json.dumps(asdict(order))


def _serve() -> None:
    wake_reader, wake_writer = os.pipe()
    os.set_blocking(wake_writer, False)
    os.set_blocking(wake_reader, False)
    signal.set_wakeup_fd(wake_writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    plugin_manager()  # read once here instead of in every fork
    answers.check({"type": "object"}, {}, wait="none", exec_id="none")  # loads what checks answers
    selector = selectors.DefaultSelector()
    selector.register(0, selectors.EVENT_READ)
    selector.register(wake_reader, selectors.EVENT_READ)
    pending = b""
    while True:
        ready = {key.fd for key, _ in selector.select()}
        if wake_reader in ready:
            os.read(wake_reader, 4096)
            _reap()
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                return
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                _fork(line)


def _fork(line: bytes) -> None:
    pid = os.fork()
    if pid:
        _say({"pid": pid})
        return
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    status = answer(Order(**json.loads(line)))
    sys.stderr.flush()
    os._exit(status)  # the flow is over; the server's own clean-up belongs to the server


def _reap() -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        _say({"pid": pid, "status": os.waitstatus_to_exitcode(status)})


def _say(message: dict[str, Any]) -> None:
    os.write(1, json.dumps(message).encode() + b"\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:  # one order, in a fresh interpreter
        sys.exit(answer(Order(**json.loads(sys.argv[1]))))
    _serve()

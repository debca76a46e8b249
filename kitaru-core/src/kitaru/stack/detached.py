"""Continuing an execution on this machine, in a process of its own that outlives its starter."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from kitaru.errors import KitaruBackendError

if TYPE_CHECKING:
    from pathlib import Path

    from kitaru.config.settings import Settings
    from kitaru.runtime.kernel import Kernel

_LOOK_SECONDS = 0.005
_CLAIM_SECONDS = 30.0
_TAIL_BYTES = 2_000


def continue_detached(kernel: Kernel, exec_id: str, settings: Settings) -> None:
    """Have a suspended execution continued by a new process, and return once that has taken it.

    The process has a session of its own and no stdin; what it prints is kept in ``detached/ID.log`` in the config
    directory (and in the execution's runtime logs).

    Raises KitaruBackendError, with the end of that file, when it could not take the execution.
    """
    path = settings.config_directory / "detached" / f"{exec_id}.log"
    fence = kernel.journal.get(exec_id).fence
    process = _start(exec_id, kernel, settings, path)
    # Reaped whenever it ends: a zombie would look like a living owner.
    threading.Thread(target=process.wait, name="kitaru-detached", daemon=True).start()
    deadline = time.monotonic() + _CLAIM_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll()
        if kernel.journal.get(exec_id).fence != fence:
            return
        if ended is not None:
            raise KitaruBackendError(
                f"the process that was to continue execution {exec_id} ended with exit code {ended}: {_tail(path)} "
                f"(its output: {path}). Run `kitaru executions resume {exec_id}` to continue it here."
            )
        time.sleep(_LOOK_SECONDS)


def _start(exec_id: str, kernel: Kernel, settings: Settings, path: Path) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "KITARU_CONFIG_PATH": str(settings.config_directory),
        "KITARU_JOURNAL_URL": kernel.journal.address,
        "KITARU_DURABILITY": kernel.journal.durability,
        "KITARU_LEASE_SECONDS": str(kernel.lease_seconds),
    }
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "kitaru.stack.start", exec_id],
                stdin=subprocess.DEVNULL,
                stdout=kept,
                stderr=kept,
                env=environment,
                start_new_session=True,
            )
        finally:
            os.close(kept)
    except OSError as error:
        raise KitaruBackendError(
            f"no process could be started to continue execution {exec_id}: {error}. Run `kitaru executions resume "
            f"{exec_id}` to continue it here."
        ) from error


def _tail(path: Path) -> str:
    try:
        text = path.read_bytes()[-_TAIL_BYTES:].decode(errors="replace").strip()
    except OSError:
        return "it said nothing"
    return text.rsplit("\n", 1)[-1] or "it said nothing"

"""Who owns executions in this process, and whether another owner is still alive."""

from __future__ import annotations

import functools
import os
import socket
import sys
from pathlib import Path

from kitaru.errors import KitaruJournalError
from kitaru.journal.protocol import Journal
from kitaru.journal.records import Created, ExecutionRecord, Owner

_GONE_MAX = 10_000
_gone: dict[Owner, Owner] = {}  # and from where that was seen


def this_owner() -> Owner:
    """The identity of the calling process. Recomputed after a fork, since it carries the pid."""
    return _owner_of(os.getpid())


@functools.lru_cache(maxsize=2)
def _owner_of(pid: int) -> Owner:
    return Owner(
        host=socket.gethostname(), boot=_boot_id(), pid_ns=_pid_namespace(), pid=pid, pid_start=_start_time(pid) or 0
    )


def alive(owner: Owner, here: Owner | None = None) -> bool | None:
    """Whether ``owner``'s process lives; None when that cannot be told from here.

    A pid says something only under the same boot and pid namespace (every container has a pid 1), and only together
    with the process's start time (pids are reused). A process that is gone stays gone: it is looked for once.
    """
    here = here or this_owner()
    if _gone.get(owner) is here:
        return False
    if (owner.host, owner.boot, owner.pid_ns) != (here.host, here.boot, here.pid_ns) or not owner.boot:
        return None
    if not _exists(owner.pid):
        gone = True
    else:
        started = _start_time(owner.pid)
        if not owner.pid_start or (started is None and _exists(owner.pid)):
            return None  # not to be read: a process that is hidden from this one, no free file descriptor
        gone = started != owner.pid_start
    if gone:
        if len(_gone) >= _GONE_MAX:
            _gone.clear()
        _gone[owner] = here
    return not gone


def _exists(pid: int) -> bool:
    """Whether there is a process ``pid``, a dead one that nobody has waited for included."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _mac_boot_time()


def _mac_boot_time() -> str:
    if sys.platform != "darwin":
        return ""
    import subprocess

    answer = subprocess.run(["/usr/sbin/sysctl", "-n", "kern.boottime"], capture_output=True, text=True, check=False)
    return answer.stdout.strip()


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return "host"


def _start_time(pid: int) -> int | None:
    """When process ``pid`` started, in the system's own unit; -1: it is dead, None: that cannot be read."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The command name, in parentheses, may hold anything: fields are counted from the last parenthesis.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return _mac_start_time(pid) if sys.platform == "darwin" else None
    # proc(5): field 3 is the state (Z and X: dead, waiting to be reaped), field 22 the start time in clock ticks.
    return -1 if fields[0] in (b"Z", b"X") else int(fields[19])


def _mac_start_time(pid: int) -> int | None:
    import hashlib
    import subprocess

    answer = subprocess.run(["/bin/ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, check=False)
    text = answer.stdout.strip()
    return int.from_bytes(hashlib.sha256(text).digest()[:6], "big") if text else None


def create(journal: Journal, record: ExecutionRecord, owner: Owner | None, lease_seconds: float) -> Created:
    """``Journal.create``, sent once more when its end is not known: it may be there, owned by this process, which would
    not drive it then. Raises like it."""
    try:
        return journal.create(record, owner, lease_seconds)
    except KitaruJournalError:
        return journal.create(record, owner, lease_seconds)

"""Single calls in processes of this machine: how an orchestrator without a place of its own runs them.

The answer comes back by a pipe of its own, so that whatever the body does with its standard streams cannot touch it.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from typing import IO, TYPE_CHECKING

from kitaru.errors import KitaruBackendError

if TYPE_CHECKING:
    from kitaru.stack.components import IsolatedCall

_KILL_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05
_CHUNK_BYTES = 1 << 20
# Before the answer: a process that dies while it writes one has none.
_LENGTH = struct.Struct(">Q")


def run_in_process(call: IsolatedCall) -> bytes | None:
    """Run one call in a new process of this machine. See ``IsolatingOrchestrator.run_call``.

    The process has a session of its own: Ctrl-C is its starter's business, who lets the body finish. When the call is
    stopped it is killed; when its starter dies, the body runs to its end and nobody hears of it.
    """
    read_fd, write_fd = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "kitaru.stack.isolated", str(write_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(write_fd,),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path)},
            start_new_session=True,
        )
    except OSError as error:
        os.close(read_fd)
        raise KitaruBackendError(f"no process could be started for call `{call.name}`: {error}.") from error
    finally:
        os.close(write_fd)
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    answer: list[bytes] = []
    threads = [
        threading.Thread(target=_pump, args=(process.stdout, "stdout", call), daemon=True),
        threading.Thread(target=_pump, args=(process.stderr, "stderr", call), daemon=True),
        threading.Thread(target=_feed, args=(process.stdin, call.request), daemon=True),
        threading.Thread(target=_collect, args=(read_fd, answer), daemon=True),
    ]
    for thread in threads:
        thread.start()
    stopped = False
    try:
        stopped = not _ended(process, call)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(_KILL_GRACE_SECONDS)
    if stopped:
        return None
    data = b"".join(answer)
    if len(data) < _LENGTH.size or _LENGTH.unpack_from(data)[0] != len(data) - _LENGTH.size:
        code = process.returncode
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise KitaruBackendError(f"the process died ({how}) before it had a result.")
    return data[_LENGTH.size :]


def _ended(process: subprocess.Popen[bytes], call: IsolatedCall) -> bool:
    """Wait for the process; False when the call was stopped first."""
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if call.stopped():
                return False
        else:
            return True


def _pump(source: IO[bytes], stream: str, call: IsolatedCall) -> None:
    with source:
        for line in source:
            call.output(stream, line.decode(errors="replace"))


def _feed(stdin: IO[bytes], request: bytes) -> None:
    try:
        stdin.write(request)
        stdin.close()
    except OSError:  # the process died early: its exit says why
        return


def _collect(fd: int, answer: list[bytes]) -> None:
    with os.fdopen(fd, "rb") as pipe:
        while chunk := pipe.read(_CHUNK_BYTES):
            answer.append(chunk)


def main(write_fd: int) -> None:
    """The process of one call: a request on stdin, its answer to ``write_fd``."""
    from kitaru.stack import serve_call

    answer = serve_call(sys.stdin.buffer.read())
    sys.stdout.flush()
    with os.fdopen(write_fd, "wb") as pipe:
        pipe.write(_LENGTH.pack(len(answer)))
        pipe.write(answer)


if __name__ == "__main__":
    main(int(sys.argv[1]))

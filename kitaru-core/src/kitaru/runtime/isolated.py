"""``runtime="isolated"`` on one machine: the body runs in a process of its own, its outcome comes back by pipe.

The process gets no journal: it runs user code and reports. What it prints is passed on line by line, so that
runtime logs show it under its call. Its death, by whatever signal, is one failed attempt.
"""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import threading
import time
from typing import Any

from kitaru.errors import (
    FailureOrigin,
    KitaruContextError,
    KitaruRuntimeError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.journal.codec import Codec
from kitaru.runtime import apart, entrypoint, failures, notes
from kitaru.runtime.context import Frame, current_frame, idempotency_key, invocation_id

_KILL_GRACE_SECONDS = 2.0
_POLL_SECONDS = 0.05


class IsolatedDeathError(KitaruRuntimeError):
    """The isolated process ended without reporting an outcome."""

    kitaru_origin = FailureOrigin.BACKEND


def run_isolated(frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one attempt's body in a new process; returns its value or raises what it raised.

    Raises:
        KitaruUsageError: the checkpoint cannot be imported by another process.
        KitaruTimeoutError: its deadline passed; the process was killed.
        IsolatedDeathError: the process died (its exit code or signal is in the text).
    """
    spec = frame.spec
    assert spec is not None
    where = entrypoint.describe(spec.function)
    reason = entrypoint.why_not_importable(where)
    if reason is not None:
        raise KitaruUsageError(
            f'checkpoint `{spec.name}` has runtime="isolated", but another process cannot find it: {reason}. Define '
            "it at "
            "the top level of a module or script."
        )
    read_fd, write_fd = os.pipe()
    request = _request(frame, where, args, kwargs)
    process = subprocess.Popen(
        [sys.executable, "-m", "kitaru.runtime.isolated", str(write_fd)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(write_fd,),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(where["sys_path"])},
        start_new_session=True,  # Ctrl-C is this process's business: it lets the body finish
    )
    os.close(write_fd)
    answer: list[bytes] = []
    threads = [
        threading.Thread(target=_pump, args=(process.stdout, sys.stdout, frame), daemon=True),
        threading.Thread(target=_pump, args=(process.stderr, sys.stderr, frame), daemon=True),
        threading.Thread(target=_feed, args=(process.stdin, request), daemon=True),
        threading.Thread(target=_collect, args=(read_fd, answer), daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        _await_end(frame, process)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        for thread in threads:
            thread.join(_KILL_GRACE_SECONDS)
    return _outcome(frame, process.returncode, b"".join(answer))


def _request(frame: Frame, where: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    codec = frame.run.codec
    encoded = codec.encode((list(args), kwargs))
    head: dict[str, Any] = {
        "entrypoint": where,
        "exec_id": frame.run.exec_id,
        "flow_name": frame.run.flow_name,
        "seed": frame.run.seed.hex(),
        "key": frame.key,
        "name": frame.name,
        "attempt": frame.attempt,
        "invocation_id": invocation_id(frame),
        "idempotency_key": idempotency_key(frame),
        "allow_pickle": codec.allow_pickle,
        "codec": encoded.codec,
    }
    text = json.dumps(head).encode()
    return struct.pack(">I", len(text)) + text + encoded.data


def _await_end(frame: Frame, process: subprocess.Popen[bytes]) -> None:
    run = frame.run
    assert frame.spec is not None
    timeout = frame.spec.retry.timeout
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            process.wait(_POLL_SECONDS)
            return
        except subprocess.TimeoutExpired:
            run.check()  # cancellation reaches isolated work at once
            if deadline is not None and time.monotonic() > deadline:
                raise apart.timed_out(frame) from None


def _outcome(frame: Frame, returncode: int, answer: bytes) -> Any:
    if not answer:
        how = f"signal {-returncode}" if returncode < 0 else f"exit code {returncode}"
        raise IsolatedDeathError(
            f"the isolated process of checkpoint `{frame.name}` died ({how}) before it had a result. Its output is in "
            f"`kitaru executions logs {frame.run.exec_id}`."
        )
    (length,) = struct.unpack(">I", answer[:4])
    head = json.loads(answer[4 : 4 + length])
    end = 4 + length + head["size"]
    place = end
    for note, size in head["notes"]:  # of a body that failed, too
        notes.take_over(frame, note, answer[place : place + size])
        place += size
    if "failure" in head:
        raise failures.exception_from(head["failure"], frame.run.codec)
    return frame.run.codec.decode(head["codec"], answer[4 + length : end])


def _pump(source: Any, target: Any, frame: Frame) -> None:
    current_frame.set(frame)
    with source:
        for line in source:
            target.write(line.decode(errors="replace"))


def _feed(stdin: Any, request: bytes) -> None:
    try:
        stdin.write(request)
        stdin.close()
    except OSError:  # the process died early: its exit says why
        return


def _collect(fd: int, answer: list[bytes]) -> None:
    with os.fdopen(fd, "rb") as pipe:
        while chunk := pipe.read(1 << 20):
            answer.append(chunk)


# -- inside the isolated process --------------------------------------------------------------------------------


class IsolatedRun:
    """What a body in an isolated process sees of its execution: identity and seed, but no journal."""

    def __init__(self, head: dict[str, Any], codec: Codec) -> None:
        self.exec_id: str = head["exec_id"]
        self.flow_name: str = head["flow_name"]
        self.seed = bytes.fromhex(head["seed"])
        self.isolated = True
        self.codec = codec
        self.notes: list[tuple[dict[str, Any], bytes]] = []  # logged metadata, saved artifacts: sent with the outcome

    def __getattr__(self, name: str) -> Any:
        raise KitaruContextError(
            f'a checkpoint with runtime="isolated" runs without the journal: it cannot call checkpoints, start flows, '
            f"load artifacts, sleep or wait (needed: {name}). Do that in the flow body, or make the checkpoint inline."
        )


def serve(write_fd: int) -> None:
    """Entry of the isolated process: one request on stdin, one answer on ``write_fd``."""
    data = sys.stdin.buffer.read()
    (length,) = struct.unpack(">I", data[:4])
    head = json.loads(data[4 : 4 + length])
    codec = Codec(allow_pickle=head["allow_pickle"], aliases=entrypoint.class_aliases())
    run = IsolatedRun(head, codec)
    try:
        definition = entrypoint.load(head["entrypoint"])
        args, kwargs = codec.decode(head["codec"], data[4 + length :])
        value = _call(definition, run, head, tuple(args), kwargs)
        try:
            encoded = codec.encode(value)
        except KitaruSerializationError as error:
            error.args = (f"the result of checkpoint `{head['name']}` cannot be stored: {error}",)
            raise
        answer: dict[str, Any] = {"codec": encoded.codec}
        body = bytes(encoded.data)
    except BaseException as error:  # reported, and raised again by the process that asked
        origin = getattr(error, "kitaru_origin", None) or FailureOrigin.USER_CODE
        answer, body = {"failure": failures.failure_from(error, origin=origin, codec=codec)}, b""
    answer["size"] = len(body)
    answer["notes"] = [(note, len(data)) for note, data in run.notes]
    text = json.dumps(answer).encode()
    sys.stdout.flush()
    with os.fdopen(write_fd, "wb") as pipe:
        pipe.write(struct.pack(">I", len(text)) + text + body)
        pipe.writelines(data for _, data in run.notes)


def _call(definition: Any, run: Any, head: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    spec = definition.spec
    frame = Frame(run, None, head["key"], head["name"], spec.is_async)
    frame.attempt = head["attempt"]
    frame.label = head["invocation_id"]
    frame.external_key = head["idempotency_key"]
    current_frame.set(frame)
    if spec.is_async:
        import asyncio

        return asyncio.run(spec.function(*args, **kwargs))
    return spec.function(*args, **kwargs)


if __name__ == "__main__":
    serve(int(sys.argv[1]))

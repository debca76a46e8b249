"""``runtime="isolated"``: the body runs in a process of its own, wherever the execution's stack puts that.

The process gets no journal: it runs user code and reports, in bytes that whoever started it carries back. What it
prints is passed on line by line, so that runtime logs show it under its call. Its death is one failed attempt.
"""

from __future__ import annotations

import json
import struct
import sys
import time
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    FailureOrigin,
    KitaruBackendError,
    KitaruContextError,
    KitaruFeatureNotAvailableError,
    KitaruRuntimeError,
    KitaruSerializationError,
    KitaruUsageError,
)
from kitaru.journal.codec import Codec
from kitaru.runtime import apart, entrypoint, failures, notes
from kitaru.runtime.context import Frame, current_frame, idempotency_key, invocation_id
from kitaru.runtime.identity import call_id

if TYPE_CHECKING:
    from kitaru.runtime.collaborators import Places


class IsolatedDeathError(KitaruRuntimeError):
    """The isolated process ended without reporting an outcome."""

    kitaru_origin = FailureOrigin.BACKEND


def require(frame: Frame) -> dict[str, Any]:
    """The entrypoint of a checkpoint that may run in a process of its own. Before anything of the attempt happens.

    Raises:
        KitaruUsageError: the checkpoint cannot be imported by another process.
        KitaruFeatureNotAvailableError: the execution's stack runs no single calls.
    """
    spec = frame.spec
    assert spec is not None
    where = entrypoint.describe(spec.function)
    reason = entrypoint.why_not_importable(where)
    if reason is not None:
        raise KitaruUsageError(
            f'checkpoint `{spec.name}` has runtime="isolated", but another process cannot find it: {reason}. Define '
            "it at the top level of a module or script."
        )
    _places(frame).require_isolation(frame.run.record, spec.name)
    return where


def run_isolated(frame: Frame, where: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run one attempt's body in a process of its own; returns its value or raises what it raised.

    ``where`` is what :func:`require` gave. The execution's stack decides where the process is.

    Raises:
        KitaruTimeoutError: its deadline passed; the process was ended.
        IsolatedDeathError: the process could not be started, or died (its exit code or signal is in the text).
    """
    run, spec = frame.run, frame.spec
    assert spec is not None
    deadline = None if spec.retry.timeout is None else time.monotonic() + spec.retry.timeout

    def late() -> bool:
        return deadline is not None and time.monotonic() > deadline

    def stopped() -> bool:  # cancellation reaches isolated work at once
        return run.stopping is not None or frame.root.fenced or late()

    def output(stream: str, text: str) -> None:
        token = current_frame.set(frame)
        try:
            (sys.stderr if stream == "stderr" else sys.stdout).write(text)
        finally:
            current_frame.reset(token)

    request = _request(frame, where, args, kwargs)
    try:
        answer = _places(frame).run_call(
            run.record, call_id(run.exec_id, frame.key), frame.name, request, output, stopped
        )
    except KitaruBackendError as error:
        raise IsolatedDeathError(
            f"the isolated process of checkpoint `{frame.name}` had no result: {error} Its output is in "
            f"`kitaru executions logs {run.exec_id}`."
        ) from error
    if answer is None:
        run.check(frame)
        raise apart.timed_out(frame)
    return _outcome(frame, answer)


def _places(frame: Frame) -> Places:
    places = frame.run.kernel.places
    if places is None:
        raise KitaruFeatureNotAvailableError(
            f'checkpoint `{frame.name}` has runtime="isolated", but this kernel was made without a stack.'
        )
    return places


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


def _outcome(frame: Frame, answer: bytes) -> Any:
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


def serve(data: bytes) -> bytes:
    """In the isolated process: run the call that a request describes, and give the answer to send back."""
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
    return b"".join((struct.pack(">I", len(text)), text, body, *(data for _, data in run.notes)))


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

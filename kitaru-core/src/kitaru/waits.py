"""Waiting inside a flow: for answers of people (or of anything outside), and for time to pass."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruStateError, KitaruUsageError
from kitaru.runtime import suspension, waiting
from kitaru.runtime.context import require_frame

if TYPE_CHECKING:
    from kitaru.runtime.run import Run
    from kitaru.runtime.suspension import Hold
    from kitaru.runtime.waiting import Asked


def wait(
    *,
    schema: Any = None,
    name: str | None = None,
    question: str | None = None,
    timeout: float | None = None,
    metadata: dict[str, Any] | None = None,
    expires_in: float | None = None,
    on_expiry: Any = waiting.RAISES,
) -> Any:
    """Wait for an answer from outside: ``kitaru executions input``, ``KitaruClient().executions.input``, a terminal.

    Blocks in ``def`` code; in ``async def`` code it must be awaited, and several may be open at once. The wait is
    recorded before anybody waits, and its answer is accepted once and checked in full before that: on resume the flow
    gets it at once. Works in flow bodies and in checkpoints; a checkpoint's body is run again when the execution was
    let go of meanwhile. Each occurrence of a repeated name is a wait of its own: ``name``, ``name#2``...

    Args:
        schema: what the answer must be: a type that pydantic knows, a pydantic model, or a JSON Schema object. None: a
            gate, which takes no value and gives None.
        name: what people call it; default ``wait``.
        question: shown to whoever answers.
        timeout: seconds the owner stays before it lets go of the execution (which then is ``waiting`` and is continued
            by its answer); default 600, 0 lets go at once. Not a deadline.
        metadata: JSON data stored with the wait.
        expires_in: seconds until the wait takes no answer any more. It then gives ``on_expiry``.
        on_expiry: what an expired wait gives; without it KitaruWaitExpiredError is raised.

    Raises:
        KitaruContextError: outside a flow, in an isolated checkpoint, inside an ``effect="once"`` checkpoint.
        KitaruUsageError: an argument cannot be used.
        KitaruWaitExpiredError: the deadline passed, and there is no ``on_expiry``.
        KitaruWaitValidationError: the type of ``schema`` refuses an answer that its JSON Schema admits.
    """
    frame = require_frame("kitaru.wait()")
    waiting.refuse_scope(frame, "kitaru.wait()")
    asked_for = _question(schema, name, question, timeout, metadata, expires_in, on_expiry)
    run = frame.run
    if frame.root.is_async:
        return _wait_async(waiting.ask(frame, asked_for), schema)
    if run.on_loop():
        raise _blocks_the_loop("wait", frame.name)
    asked = waiting.ask(frame, asked_for)
    _prompt(asked)
    return _value(asked, schema, *waiting.answer_of(asked))


async def _wait_async(asked: Asked, schema: Any) -> Any:
    _prompt(asked)
    return _value(asked, schema, *await waiting.answer_of_async(asked))


def _prompt(asked: Asked) -> None:
    """Ask on the terminal too, where there is somebody at it."""
    hold = asked.hold
    if hold is None or hold.wait is None or hold.event.is_set():
        return
    from kitaru import prompting

    if prompting.wanted():
        prompting.start(asked.frame.run.kernel, hold)


def _value(asked: Asked, schema: Any, status: str, answer: Any) -> Any:
    if status != "answered":
        return answer
    from kitaru import answers

    return answers.typed(schema, answer, wait=asked.question.name, exec_id=asked.frame.run.exec_id)


def _question(
    schema: Any,
    name: str | None,
    question: str | None,
    timeout: float | None,
    metadata: dict[str, Any] | None,
    expires_in: float | None,
    on_expiry: Any,
) -> waiting.Question:
    import json

    from kitaru import answers

    api = "kitaru.wait()"
    for label, text in (("name", name), ("question", question)):
        if text is not None and (not isinstance(text, str) or not text.strip()):
            raise KitaruUsageError(f"{api}: {label}={text!r} must be a text that is not blank, or None.")
        if text is not None and any("\ud800" <= character <= "\udfff" for character in text):
            raise KitaruUsageError(f"{api}: {label}={text!a} has half a character (a lone surrogate) in it.")
    waiting.check_seconds(api, "timeout", timeout)
    waiting.check_seconds(api, "expires_in", expires_in)
    if on_expiry is not waiting.RAISES and expires_in is None:
        raise KitaruUsageError(f"{api}: on_expiry= is what an expired wait gives; say when with expires_in=.")
    if metadata is not None and not isinstance(metadata, dict):
        raise KitaruUsageError(f"{api}: metadata={metadata!r} must be a dict.")
    try:
        plain = json.loads(json.dumps(metadata or {}, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise KitaruUsageError(f"{api}: metadata= must be JSON data: {error}.") from error
    described = answers.json_schema(schema, api)
    label = (name or "wait").strip()
    return waiting.Question(label, question, described, plain, timeout, expires_in, on_expiry)


def _blocks_the_loop(api: str, name: str) -> KitaruStateError:
    return KitaruStateError(
        f"kitaru.{api}() in `{name}` would block the event loop it runs on: make the function `async def` "
        "and await it, or start it with .submit()."
    )


def sleep(seconds: float) -> Awaitable[None] | None:
    """Sleep durably: the timer is journaled, and ends at the same time after any crash or restart.

    Blocks in ``def`` code; in ``async def`` code it must be awaited. The owner stays for 600 s; a longer sleep then
    lets go of the execution (status ``waiting``), and ``kitaru recover`` continues it when the timer is due.

    Raises:
        KitaruContextError: outside a flow, in an isolated checkpoint, inside an ``effect="once"`` checkpoint.
        KitaruUsageError: ``seconds`` is negative or not a finite number.
    """
    if not isinstance(seconds, (int, float)) or not 0 <= seconds < float("inf"):
        raise KitaruUsageError(f"kitaru.sleep() takes a finite number of seconds, 0 or more; got {seconds!r}.")
    frame = require_frame("kitaru.sleep()")
    waiting.refuse_scope(frame, "kitaru.sleep()")
    run = frame.run
    hold, _ = suspension.timer(frame, seconds)
    if frame.root.is_async:
        return _sleep_async(run, hold)
    if run.on_loop():
        raise _blocks_the_loop("sleep", frame.name)
    if hold is not None:
        suspension.sleep_through(run, hold)
    return None


async def _sleep_async(run: Run, hold: Hold | None) -> None:
    import asyncio

    if hold is None:
        await asyncio.sleep(0)
        return
    suspension.open_hold(run, hold)
    try:
        async with run.gate_released():
            while hold.due is not None and (left := (hold.due - run.clock.now()) / 1e6) > 0:
                await asyncio.sleep(min(left, 3600.0))
    finally:
        suspension.close_hold(run, hold)
    run.check()

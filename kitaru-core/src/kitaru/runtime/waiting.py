"""Waits as the kernel sees them: recorded before anybody waits, ended exactly once, delivered in recorded order.

The journal holds the question and its answer. That the flow *has* the answer is one more entry (kind WAITED), so that
a resumed flow meets answers, results and lost races in the order in which it met them first.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    KitaruContextError,
    KitaruSerializationError,
    KitaruStateError,
    KitaruUsageError,
    KitaruWaitExpiredError,
)
from kitaru.journal.records import Entry, EntryKind, Payload, WaitRecord
from kitaru.runtime import identity
from kitaru.runtime.context import Frame, invocation_id
from kitaru.runtime.control import ExecutionCancelled
from kitaru.runtime.suspension import Hold, call_on, close_hold, next_key, open_hold

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

#: In place of ``on_expiry``: an expired wait raises.
RAISES: Any = object()


@dataclass(slots=True, frozen=True)
class Question:
    """What ``kitaru.wait`` was asked for. Times are seconds; ``timeout`` None: the kernel's own."""

    name: str
    question: str | None
    schema: dict[str, Any] | None
    metadata: dict[str, Any]
    timeout: float | None = None
    expires_in: float | None = None
    on_expiry: Any = RAISES


@dataclass(slots=True)
class Asked:
    """A wait that was opened, or met again. ``entry`` is set where the flow had its end before."""

    frame: Frame
    question: Question
    key: str
    entry: Entry | None
    hold: Hold | None


def refuse_scope(frame: Frame, api: str) -> None:
    """Raise KitaruContextError where nothing may wait: isolated bodies, and inside ``effect="once"`` calls."""
    if frame.run.isolated:
        raise KitaruContextError(
            f'{api} does not work in a checkpoint with runtime="isolated": it runs without the journal. Wait in the '
            "flow body, or make the checkpoint inline."
        )
    around: Frame | None = frame.root
    while around is not None:
        if around.spec is not None and around.spec.effect:
            raise KitaruContextError(
                f'{api} does not work inside `{around.name}`, which is @checkpoint(effect="once"): its body must not '
                "be left and entered again. Wait in the flow body, before or after it."
            )
        around = around.parent.root if around.parent is not None else None


def ask(frame: Frame, question: Question, key: str | None = None) -> Asked:
    """Record a wait (or find it again) and give what is known of it. Nobody waits before this has been committed."""
    run = frame.run
    run.check(frame)
    key = key or next_key(frame, f"wait:{question.name}")
    history = run.history
    entry = history.values.pop(key, None) if history is not None else None
    if entry is not None and entry.kind is EntryKind.WAITED:
        return Asked(frame, question, key, entry, None)
    now = run.clock.now()
    expires = question.expires_in
    wait = WaitRecord(
        exec_id=run.exec_id,
        key=key,
        wait_id=identity.call_id(run.exec_id, key),
        name=question.name,
        question=question.question,
        schema=question.schema,
        metadata=question.metadata,
        created_at=now,
        expires_at=None if expires is None else now + round(expires * 1e6),
        has_default=question.on_expiry is not RAISES,
    )
    stored = run.open_wait(wait)
    events = run.kernel.events
    if stored.created_at == now and stored.status == "open" and events is not None:
        events.wait_opened(stored)
    stay = run.kernel.hold_seconds if question.timeout is None else question.timeout
    hold = Hold(f"wait `{stored.name}`", stored.expires_at, run.clock.elapsed() + stay, wait=stored)
    if stored.status != "open":
        hold.event.set()
    return Asked(frame, question, key, None, hold)


def answer_of(asked: Asked) -> tuple[str, Any]:
    """Block the calling body until the wait has ended; how it did, and its answer."""
    run = asked.frame.run
    entry = asked.entry
    if entry is None:
        hold = asked.hold
        assert hold is not None and hold.wait is not None
        if hold.wait.status == "open":
            _block(run, asked, hold)
        entry = _delivered(run, asked.key, hold.wait)
        run.buffer(entry)
    return _outcome(run, entry)


def _block(run: Run, asked: Asked, hold: Hold) -> None:
    open_hold(run, hold)
    try:
        while not hold.event.is_set():
            left = None if hold.due is None else (hold.due - run.clock.now()) / 1e6
            if left is not None and left <= 0:
                _expire(run, asked, hold)
                return
            run.wait_event(hold.event, None if left is None else min(left, threading.TIMEOUT_MAX))
    finally:
        close_hold(run, hold)
    run.check(asked.frame)


async def answer_of_async(asked: Asked) -> tuple[str, Any]:
    """The async twin of :func:`answer_of`. Cancelling it (the flow's own code) withdraws the wait."""
    import asyncio

    run = asked.frame.run
    loop = run.require_loop()
    entry = asked.entry
    if entry is not None:
        await loop.turns.take(entry.seq)
        if (entry.detail or {}).get("status") == "withdrawn":
            await loop.cancelled_again(entry)
        return _outcome(run, entry)
    hold = asked.hold
    assert hold is not None and hold.wait is not None
    try:
        if hold.wait.status == "open":
            await _await_end(run, asked, hold)
        if hold.wait.status != "withdrawn":
            entry = _delivered(run, asked.key, hold.wait)
            await loop.commit(entry)
            return _outcome(run, entry)
    except asyncio.CancelledError:
        _withdraw(run, asked, hold)
        raise
    # Withdrawn before a crash kept that from being delivered: the flow's code is about to do it again.
    await loop.cancelled_again(_entry(run, asked.key, hold.wait, None))
    raise AssertionError("unreachable")


async def _await_end(run: Run, asked: Asked, hold: Hold) -> None:
    import asyncio

    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    hold.woken = lambda: call_on(loop, ended.set)
    open_hold(run, hold)
    try:
        async with run.gate_released():
            while not hold.event.is_set():
                left = None if hold.due is None else (hold.due - run.clock.now()) / 1e6
                if left is not None and left <= 0:
                    _expire(run, asked, hold)
                    break
                try:
                    await asyncio.wait_for(ended.wait(), None if left is None else min(left, 3600.0))
                except TimeoutError:
                    continue
    finally:
        close_hold(run, hold)
    run.check(asked.frame)


def _withdraw(run: Run, asked: Asked, hold: Hold) -> None:
    """The flow's own code gave the wait up: nobody shall be asked any more."""
    if run.stopping is not None or hold.wait is None:
        return
    if hold.wait.status == "open":
        try:
            hold.wait = run.resolve_wait(hold.wait, "withdrawn", None)
        except KitaruStateError:  # it was answered in this very moment; the flow met the cancellation all the same
            pass
    entry = _entry(run, asked.key, hold.wait, None)
    entry.detail = {**(entry.detail or {}), "status": "withdrawn"}
    run.buffer(entry)


def _expire(run: Run, asked: Asked, hold: Hold) -> None:
    """Apply the deadline, unless somebody was faster."""
    assert hold.wait is not None
    default = asked.question.on_expiry
    try:
        payload = None if default is RAISES else run.encode(default)
    except KitaruSerializationError as error:
        raise KitaruSerializationError(
            f"the on_expiry value of wait `{hold.wait.name}` cannot be stored: {error}"
        ) from error.__cause__
    try:
        hold.wait = run.resolve_wait(hold.wait, "expired", payload)
    except KitaruStateError:
        run.check(asked.frame)
        found = [one for one in run.journal.waits(run.exec_id) if one.wait_id == hold.wait.wait_id]
        if not found or found[0].status == "open":
            raise
        hold.wait = found[0]
    hold.event.set()


def _delivered(run: Run, key: str, wait: WaitRecord) -> Entry:
    """The entry that says the flow has the end of ``wait``. An aborted one ends the execution instead."""
    if wait.status == "aborted":
        reason = ExecutionCancelled(aborted_reason(wait))
        run.stop(reason)
        run.check()
    return _entry(run, key, wait, wait.answer)


def _entry(run: Run, key: str, wait: WaitRecord, answer: Payload | None) -> Entry:
    detail = {"name": wait.name, "wait_id": wait.wait_id, "status": wait.status}
    return Entry(EntryKind.WAITED, key, wait.name, 1, wait.created_at, run.clock.now(), None, None, answer, detail)


def _outcome(run: Run, entry: Entry) -> tuple[str, Any]:
    status = (entry.detail or {}).get("status", "answered")
    if status == "expired" and entry.output is None:
        raise KitaruWaitExpiredError(
            f"wait `{entry.name}` of execution {run.exec_id} passed its deadline (expires_in) without an answer. Give "
            "kitaru.wait() an on_expiry= value to go on without one."
        )
    return status, run.kernel.decode(entry.output) if entry.output is not None else None


def aborted_reason(wait: WaitRecord) -> str:
    """Why an execution was cancelled whose wait was aborted."""
    return f"wait `{wait.name}` was aborted"


# -- from outside the execution -----------------------------------------------------------------------------------


def resolve(kernel: Kernel, wait: WaitRecord, status: str, answer: Payload | None) -> WaitRecord:
    """End an open wait from outside its execution, exactly once, and wake an owner in this process at once.

    Raises like ``Journal.resolve_wait``.
    """
    ended = kernel.journal.resolve_wait(wait.exec_id, wait.wait_id, status, answer, kernel.clock.now())
    if status == "answered" and kernel.events is not None:
        kernel.events.wait_answered(ended)
    run = kernel.runs.get(wait.exec_id)
    if run is not None:
        notify(run, [ended])
    return ended


def look_for_answers(run: Run) -> None:
    """Wake what waits in ``run`` for waits that have ended. For the ticker, after the journal has changed."""
    notify(run, run.journal.waits(run.exec_id))


def notify(run: Run, waits: list[WaitRecord]) -> None:
    """Tell the holds of ``run`` which of their waits have ended."""
    ended = {wait.wait_id: wait for wait in waits if wait.status != "open"}
    with run.lock:
        holds = list(run.holds)
    for hold in holds:
        if hold.wait is not None and hold.wait.wait_id in ended and not hold.event.is_set():
            hold.wait = ended[hold.wait.wait_id]
            hold.event.set()
            if hold.woken is not None:
                hold.woken()


def check_seconds(api: str, name: str, value: Any) -> None:
    """Raise KitaruUsageError unless ``value`` is None or a finite number of seconds, 0 or more."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value < float("inf")):
        raise KitaruUsageError(f"{api}: {name}={value!r} must be a finite number of seconds, 0 or more, or None.")


def where(frame: Frame) -> str:
    """The running body for people: the flow's name or a call's invocation id."""
    return frame.root.name if not frame.root.key else invocation_id(frame)

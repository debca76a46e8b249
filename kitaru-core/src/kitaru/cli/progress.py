"""Following an execution on the terminal: a live table, or one line per call that ended."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from kitaru import prompting
from kitaru.cli.output import clean, duration, is_terminal
from kitaru.cli.streams import Redirectable
from kitaru.client.watching import Progress
from kitaru.runtime import outcome
from kitaru.statuses import CallStatus
from kitaru.timeline import FoldedCall

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_SHOWN_MAX = 12
_STYLES = {
    CallStatus.COMPLETED: "green",
    CallStatus.FAILED: "red",
    CallStatus.CANCELLED: "yellow",
    CallStatus.RUNNING: "cyan",
}


def follow(looks: Iterator[Progress], streams: tuple[Redirectable, Redirectable], *, since: int = 0) -> Progress:
    """Show progress on stderr until nobody drives the execution; gives the last look.

    ``since`` (microseconds): calls that ended earlier were recorded by an earlier owner; they are counted, not listed.
    """
    if is_terminal(sys.stderr):
        return _live(looks, streams, since)
    return _lines(looks, since)


def quiet(looks: Iterator[Progress]) -> Progress:
    """Show nothing but what is waited for, which nobody would guess; gives the last look."""
    last = None
    for last in looks:
        _tell(last)
    assert last is not None
    return last


def _tell(look: Progress) -> None:
    for line in _questions(look):
        click.echo(line, err=True)


def _questions(look: Progress) -> list[str]:
    """Lines about waits that were opened since the last look: what is asked, and the command that answers.

    None of an execution that was let go of: that ends the command, which then says what it waits for.
    """
    lines = []
    for wait in () if look.last else look.asked:
        question = f"  {wait.question}" if wait.question else ""
        command = outcome.answer_command(wait.exec_id, wait.name, wait.schema)
        lines += [clean(f"  {'waiting':<10} {wait.name}{question}"), clean(f"  {'':<10} Answer it with: {command}")]
    return lines


def call_seconds(call: FoldedCall, now: float | None = None) -> float | None:
    """How long the last attempt took; of one that runs, how long so far when ``now`` (seconds) is given."""
    started, ended = call.started_at, call.ended_at
    if started is None or (ended is None and now is None):
        return None
    return max(0.0, (ended / 1e6 if ended is not None else now or 0.0) - started / 1e6)


def describe(call: FoldedCall) -> str:
    """``research#2  1.2 s``, with what is unusual: more than one attempt, a cached result."""
    parts = [clean(call.invocation_id)]
    seconds = call_seconds(call)
    if seconds is not None:
        parts.append(duration(seconds))
    if call.cached:
        parts.append("(cached)")
    elif len(call.attempts) > 1:
        parts.append(f"(attempt {len(call.attempts)})")
    failure = call.attempts[-1].failure if call.attempts else None
    if failure is not None:
        said = str(failure.get("message") or "").strip().splitlines()
        parts.append(clean(f"{failure.get('exception_type') or 'failed'}: {said[0] if said else ''}"))
    return "  ".join(parts)


def _reused(call: FoldedCall, since: int) -> bool:
    ended = call.ended_at
    return ended is not None and ended < since


def _lines(looks: Iterator[Progress], since: int) -> Progress:
    shown: dict[str, int] = {}
    last = None
    for last in looks:
        for call in last.changed:
            ended = sum(1 for attempt in call.attempts if attempt.ended_at is not None)
            news = ended > shown.get(call.key, 0)
            shown[call.key] = ended
            if news and not _reused(call, since):
                click.echo(f"  {call.attempts[-1].status.value:<10} {describe(call)}", err=True)
        _tell(last)
    assert last is not None
    return last


def _live(looks: Iterator[Progress], streams: tuple[Redirectable, Redirectable], since: int) -> Progress:
    from rich.console import Console
    from rich.file_proxy import FileProxy
    from rich.live import Live

    console = Console(stderr=True, file=streams[1].target)
    before = streams[0].target, streams[1].target
    last = None
    with Live(
        console=console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
    ) as live:
        # Behind the log capture: what the flow prints appears above the table, and is still captured.
        for stream, target in zip(streams, before, strict=True):
            if is_terminal(target):
                stream.target = FileProxy(console, target)
        try:
            for last in looks:
                for line in () if prompting.wanted() else _questions(last):  # who is asked here need not be told
                    console.print(line, markup=False, highlight=False, soft_wrap=True)
                live.update(_table(last, since), refresh=True)
        finally:
            for stream, target in zip(streams, before, strict=True):
                stream.flush()
                stream.target = target
    assert last is not None
    _print_calls(console, last, since)
    return last


def _print_calls(console: Console, last: Progress, since: int) -> None:
    from rich.text import Text

    calls = [call for call in last.timeline.calls.values() if not _reused(call, since)]
    for call in calls[-_SHOWN_MAX:]:
        console.print(
            Text.assemble("  ", (f"{call.status.value:<10}", _STYLES.get(call.status, "")), f" {describe(call)}")
        )
    if len(calls) > _SHOWN_MAX:
        console.print(Text(f"  ... and {len(calls) - _SHOWN_MAX} earlier calls", style="dim"))


def _table(look: Progress, since: int) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    now = time.time()
    calls = list(look.timeline.calls.values())
    done = sum(1 for call in calls if call.status is not CallStatus.RUNNING)
    reused = sum(1 for call in calls if _reused(call, since))
    running = [call for call in calls if call.status is CallStatus.RUNNING]
    started = (look.record.started_at or look.record.created_at) / 1e6
    head = f"{clean(look.record.flow_name)}  {look.status.value}  {duration(max(0.0, now - started))}  {done} done"
    if reused:
        head += f" ({reused} reused)"
    if running:
        head += f", {len(running)} running"
    latest = [call for call in calls if call.status is not CallStatus.RUNNING and not _reused(call, since)]
    latest.sort(key=lambda call: call.ended_at or 0)
    shown = [*latest[-max(2, _SHOWN_MAX - len(running)) :], *running][-_SHOWN_MAX:]
    lines: list[Any] = [Text(head, style="bold")]
    for call in shown:
        text = describe(call)
        if call.status is CallStatus.RUNNING:
            seconds = call_seconds(call, now)
            text = f"{clean(call.invocation_id)}  {duration(seconds or 0.0)}"
        lines.append(Text.assemble("  ", (f"{call.status.value:<10}", _STYLES.get(call.status, "")), f" {text}"))
    return Group(*lines)

"""Driving an execution in the foreground: shared by ``run``, ``executions resume`` and ``executions retry``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kitaru.cli import progress
from kitaru.cli.output import clean, exit_with_error, is_terminal, print_item
from kitaru.cli.streams import Redirectable
from kitaru.client.watching import Progress
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.client import KitaruClient

_INTERRUPTED_CODE = 130


def to_the_end(
    client: KitaruClient,
    exec_id: str,
    *,
    command: str,
    output: str,
    streams: tuple[Redirectable, Redirectable],
    since: int = 0,
) -> Progress:
    """Follow an execution that this process drives, until it ends or lets go; gives the last look.

    The first Ctrl-C (or SIGTERM) lets go of it before its next checkpoint, a second one exits at once. Either way it
    reads ``interrupted``, and the exit code is 130.
    """
    with _stopping(client) as stopped:
        looks = client.executions.watch(exec_id)
        shown = is_terminal(sys.stderr) or output == "text"
        last = progress.follow(looks, streams, since=since) if shown else progress.quiet(looks)
    if stopped.is_set() and last.status is ExecutionStatus.INTERRUPTED:
        exit_with_error(
            command,
            f"execution {exec_id} is interrupted; what it recorded is kept. Continue it with:\n"
            f"  kitaru executions resume {exec_id}",
            output=output,
            error_type="KeyboardInterrupt",
            code=_INTERRUPTED_CODE,
            exec_id=exec_id,
        )
    return last


@contextlib.contextmanager
def _stopping(client: KitaruClient) -> Iterator[threading.Event]:
    stopped = threading.Event()

    def stop(_signal: int, _frame: Any) -> None:
        if stopped.is_set():
            os._exit(_INTERRUPTED_CODE)
        stopped.set()
        client.interrupt()
        # Straight to the descriptor: the interrupted code may be in the middle of a write to the same stream.
        os.write(2, b"\nStopping before the next checkpoint. Press Ctrl-C again to exit at once.\n")

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def finish(
    client: KitaruClient,
    last: Progress,
    *,
    command: str,
    output: str,
    target: str | None = None,
    quiet_result: bool = False,
) -> None:
    """Print the result of an execution that was followed to its end, or end the command with what went wrong."""
    exec_id = last.record.exec_id
    if last.status is not ExecutionStatus.COMPLETED:
        _unsuccessful(client, last, command=command, output=output)
    value = client.executions.result(exec_id)
    if output == "json":
        from kitaru.inspection import serialize_artifact_value, serialize_execution

        item: dict[str, Any] = {"exec_id": exec_id, "target": target, "status": last.status.value}
        item["execution"] = serialize_execution(client.executions.get(exec_id))
        print_item(command, {**item, "result": serialize_artifact_value(value)})
        return
    click.echo(f"Execution {exec_id} completed.", err=True)
    if value is not None and not quiet_result:
        click.echo(clean(text_of(value)))


def text_of(value: Any) -> str:
    """A result for people: texts as they are, data as indented JSON, anything else by its ``repr``."""
    if isinstance(value, str):
        return value
    import json

    from kitaru.inspection import serialize_artifact_value

    shown = serialize_artifact_value(value)
    return (
        shown["value"] if shown["value_format"] == "repr" else json.dumps(shown["value"], indent=2, ensure_ascii=False)
    )


def _unsuccessful(client: KitaruClient, last: Progress, *, command: str, output: str) -> NoReturn:
    exec_id = last.record.exec_id
    kind: str | None
    try:
        client.executions.result(exec_id)
    except Exception as error:
        message, kind = str(error), type(error).__name__
    else:
        message, kind = f"execution {exec_id} has completed meanwhile. Read it with `kitaru executions get`.", None
    failure = last.record.failure or {}
    if output == "text" and failure.get("traceback"):
        click.echo(clean(failure["traceback"]).rstrip(), err=True)
    exit_with_error(command, message, output=output, error_type=kind, exec_id=exec_id)

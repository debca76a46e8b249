"""``kitaru executions input``: answer what an execution waits for."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import click

from kitaru.cli.output import clean, exit_with_error, guarded, output_option, print_item, snapshot, success
from kitaru.errors import KitaruError, KitaruUsageError

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.models import Execution, PendingWait

_COMMAND = "executions.input"
_CHOICES = {"c": "continue", "a": "abort", "s": "skip", "q": "quit"}


@click.command(name="input")
@click.argument("exec_id", required=False)
@click.option("--wait", "wait", metavar="NAME", help="Name or id of the wait; needed when several are pending.")
@click.option("--value", metavar="JSON", help="The answer. A wait without schema takes none.")
@click.option("--abort", is_flag=True, help="Give the wait up: the execution is cancelled.")
@click.option("--interactive", "-i", is_flag=True, help="Ask for every pending wait, one after another.")
@click.option("--no-resume", is_flag=True, help="Only record the answer, where nobody drives the execution any more.")
@output_option
def input_command(
    exec_id: str | None,
    wait: str | None,
    value: str | None,
    abort: bool,
    interactive: bool,
    no_resume: bool,
    output: str,
) -> None:
    """Answer a pending wait of an execution, or abort it.

    An owner that is still there goes on at once; an execution whose owner has left is continued by a process of its
    own.
    """
    if interactive:
        guarded(_COMMAND, output, lambda: _check_interactive(value, abort, output))
        _interactive(exec_id, resume=not no_resume)
        return
    done = guarded(_COMMAND, output, lambda: _resolve(exec_id, wait, value, abort=abort, resume=not no_resume))
    if output == "json":
        from kitaru.inspection import serialize_execution

        print_item(_COMMAND, serialize_execution(done))
        return
    what = "Aborted wait for" if abort else "Resolved wait input for"
    success(f"{what} execution: {done.exec_id}", f"Status: {done.status.value}")


@click.command(name="abort")
@click.argument("exec_id")
@click.option("--wait", "wait", metavar="NAME", help="Name or id of the wait; needed when several are pending.")
@output_option
def abort_command(exec_id: str, wait: str | None, output: str) -> None:
    """Give up a wait of an execution, which is cancelled by it. The same as `input --abort`."""
    done = guarded("executions.abort", output, lambda: _client().executions.abort_wait(exec_id, wait=wait))
    if output == "json":
        from kitaru.inspection import serialize_execution

        print_item("executions.abort", serialize_execution(done))
        return
    success(f"Aborted wait for execution: {done.exec_id}", f"Status: {done.status.value}")


def _check_interactive(value: str | None, abort: bool, output: str) -> None:
    for given, option in ((value is not None, "--value"), (abort, "--abort"), (output == "json", "--output json")):
        if given:
            raise KitaruUsageError(f"--interactive asks for everything: leave {option} out.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise KitaruUsageError("--interactive needs a terminal on stdin and stdout. Use --wait and --value.")


def _resolve(exec_id: str | None, wait: str | None, value: str | None, *, abort: bool, resume: bool) -> Execution:
    if exec_id is None:
        raise KitaruUsageError("EXEC_ID is missing: say which execution to answer, or use --interactive.")
    if abort and value is not None:
        raise KitaruUsageError("--abort and --value exclude each other.")
    client = _client()
    if abort:
        return client.executions.abort_wait(exec_id, wait=wait, resume=resume)
    if value is None:
        raise KitaruUsageError("--value is missing: the answer as JSON (null where there is no schema), or --abort.")
    return client.executions.input(exec_id, wait=wait, value=_parsed(value), resume=resume)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise KitaruUsageError(
            f"Invalid JSON for `--value`: {error.msg} (line {error.lineno}, column {error.colno}). A text needs "
            "quotes: --value '\"yes\"'."
        ) from error
    except RecursionError as error:
        raise KitaruUsageError("Invalid JSON for `--value`: it is nested too deeply") from error


# -- asking ---------------------------------------------------------------------------------------------------------


def _interactive(exec_id: str | None, *, resume: bool) -> None:
    client = guarded(_COMMAND, "text", _client)
    candidates = guarded(_COMMAND, "text", lambda: _candidates(client, exec_id))
    if not candidates:
        click.echo("No pending waits found.")
        return
    failed = False
    try:
        for number, (execution, wait) in enumerate(candidates, 1):
            _show(execution, wait, number, len(candidates))
            choice = _choice()
            if choice == "quit":
                break
            if choice != "skip":
                failed = not _perform(client, execution, wait, abort=choice == "abort", resume=resume) or failed
    except KeyboardInterrupt:
        _interrupted()
    sys.exit(1 if failed else 0)


def _candidates(client: KitaruClient, exec_id: str | None) -> list[tuple[Execution, PendingWait]]:
    found = [client.executions.get(exec_id)] if exec_id is not None else client.executions.list(status="waiting")
    return [(execution, wait) for execution in found for wait in execution.pending_waits]


def _show(execution: Execution, wait: PendingWait, number: int, count: int) -> None:
    schema = json.dumps(wait.schema, indent=2, ensure_ascii=False) if wait.schema is not None else "not provided"
    snapshot(
        f"Pending wait {number}/{count}",
        [
            ("Execution", execution.exec_id),
            ("Flow", execution.flow_name),
            ("Status", execution.status.value),
            ("Wait", f"{wait.name} ({wait.wait_id})"),
            ("Question", wait.question),
            ("Waiting since", wait.entered_waiting_at),
            ("Schema", schema),
        ],
    )


def _choice() -> str:
    while True:
        line = _read("[c]ontinue, [a]bort, [s]kip or [q]uit? ")
        if line is None:
            return "quit"
        word = line.strip().lower()
        if word in _CHOICES or word in _CHOICES.values():
            return _CHOICES.get(word, word)


def _perform(client: KitaruClient, execution: Execution, wait: PendingWait, *, abort: bool, resume: bool) -> bool:
    """Answer or abort one wait; False, with the reason on stderr, when that did not work."""
    try:
        if abort:
            client.executions.abort_wait(execution.exec_id, wait=wait.wait_id, resume=resume)
        else:
            value = _value()
            client.executions.input(execution.exec_id, wait=wait.wait_id, value=value, resume=resume)
    except KitaruError as error:
        click.echo(f"Error: {clean(error)}", err=True)
        return False
    what = "Aborted wait for" if abort else "Resolved wait input for"
    success(f"{what} execution: {execution.exec_id}")
    return True


def _value() -> Any:
    while True:
        line = _read("Value as JSON (empty: null): ")
        if line is None or not line.strip():
            return None
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            click.echo(f"That is no JSON: {clean(error)}", err=True)


def _read(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        click.echo()
        return None


def _interrupted() -> NoReturn:
    exit_with_error(_COMMAND, "Interrupted.", output="text")


def _client() -> KitaruClient:
    from kitaru.client import KitaruClient

    return KitaruClient()

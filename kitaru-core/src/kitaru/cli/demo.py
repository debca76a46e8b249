"""``kitaru demo``: a real flow is killed part-way, and continued by another process."""

from __future__ import annotations

import dataclasses
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kitaru.cli.output import clean, duration, guarded, is_terminal, output_option, print_item, success
from kitaru.errors import KitaruUsageError

if TYPE_CHECKING:
    from kitaru.client import KitaruClient
    from kitaru.client.watching import Progress
    from kitaru.demo.story import Row, Story

_PACE_SECONDS = 0.25
_WORK_SECONDS_MAX = 12.0  # of extraction, over all files; four files are extracted at a time
_BAR_WIDTH = 32
_SKIPPED_SHOWN_MAX = 5
_ROWS_SHOWN_MAX = 60


@click.command()
@click.argument("path", required=False, metavar="[PATH]")
@click.option("--show", is_flag=True, help="Print the source of the flow.")
@click.option("--copy", "copy", is_flag=True, help="Copy the flow's source to PATH (default: research.py).")
@output_option
def demo(path: str | None, show: bool, copy: bool, output: str) -> None:
    """Watch a real flow being killed with SIGKILL and continued by another process.

    It reads the text files in the folder PATH (default: documentation that every Python installation carries), extracts
    their key sentences and terms, and writes a report. Everything stays on this machine, in your own journal.
    """
    if show or copy:
        guarded("demo", output, lambda: _give_source(path, output, copy=copy))
        return
    told = guarded("demo", output, lambda: _play(path, output))
    if output == "json":
        item = {**dataclasses.asdict(told), "reused": len(told.reused), "saved_seconds": round(told.saved_seconds, 3)}
        item["ran"] = len(told.rows) - len(told.reused)
        print_item("demo", item)


def _play(path: str | None, output: str) -> Story:
    from kitaru.client import KitaruClient
    from kitaru.config.settings import resolve
    from kitaru.demo import story

    folder = str(Path(path).expanduser().resolve()) if path is not None else None
    found = story.check_folder(folder)
    files = len(found.files)
    client = KitaruClient()
    if client.journal_url.startswith("memory:"):
        raise KitaruUsageError("the demo needs a journal that two processes can open: unset KITARU_JOURNAL_URL.")
    say = _Narrator(quiet=output == "json")
    name = uuid.uuid4().hex[:8]
    report = resolve().config_directory / "demo" / f"report-{name}.md"
    say.title("1", f"A worker process starts the flow `research` on {files} file{'' if files == 1 else 's'}.")
    for skipped, reason in list(found.skipped.items())[:_SKIPPED_SHOWN_MAX]:
        say.line(f"left out: {skipped}: {reason}")
    if len(found.skipped) > _SKIPPED_SHOWN_MAX:
        say.line(f"left out: {len(found.skipped) - _SKIPPED_SHOWN_MAX} more, all named in the report")
    key = f"demo-{name}"
    arguments = {"folder": folder, "report": str(report), "pace": min(_PACE_SECONDS, _WORK_SECONDS_MAX / files)}
    worker = story.start_worker(["run", story.TARGET, "--args", _json(arguments), "--idempotency-key", key])
    exec_id = story.wait_for_execution(client, key, worker)
    say.line(f"process {worker.pid}, execution {exec_id}")
    story.kill_part_way(client, exec_id, worker, files, say.progress)
    say.end_progress()
    before = client.executions.get(exec_id)
    say.title("2", f"SIGKILL to process {worker.pid}. It had no chance to save anything.")
    done = sum(1 for call in before.checkpoints if call.status == "completed")
    say.line(f"the execution now reads: {before.status.value}, with {done} recorded calls")
    say.title("3", "A new process resumes it.")
    say.line(f"kitaru executions resume {exec_id}")
    pid, after = story.resume(client, exec_id, say.progress)
    say.end_progress()
    say.line(f"process {pid}: {after.status.value}")
    told = story.Story(
        exec_id=exec_id,
        killed_pid=worker.pid,
        status_after_kill=before.status.value,
        resumed_pid=pid,
        status=after.status.value,
        report=str(report),
        rows=story.rows(before, after),
    )
    if output == "text":
        _print_timeline(told)
        _print_ending(client, told)
    return told


class _Narrator:
    """Tells the story on stdout; progress overwrites itself on a terminal and is left out elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and is_terminal(sys.stdout)

    def title(self, number: str, text: str) -> None:
        if not self._quiet:
            click.echo()
            click.secho(f"{number}. {clean(text)}", bold=True)

    def line(self, text: str) -> None:
        if not self._quiet:
            click.echo(f"   {clean(text)}")

    def progress(self, look: Progress) -> None:
        if self._live:
            calls = list(look.timeline.calls.values())
            running = [call.invocation_id for call in calls if call.status == "running"]
            done = len(calls) - len(running)
            text = f"   {done} call{'' if done == 1 else 's'} done"
            text += f", running: {', '.join(running[:4])}" if running else ""
            click.echo(f"\r\x1b[2K{clean(text)[:100]}", nl=False)

    def end_progress(self) -> None:
        if self._live:
            click.echo("\r\x1b[2K", nl=False)


def _print_timeline(told: Story) -> None:
    click.echo()
    click.secho("4. The timeline, from the journal:", bold=True)
    rows = sorted(told.rows, key=lambda row: row.started)
    width = max((len(row.call) for row in rows), default=0)
    end = max((row.started + row.seconds for row in rows), default=1.0) or 1.0
    colours = {"reused": "green", "ran": "cyan", "ran again": "yellow"}
    for row in rows[:_ROWS_SHOWN_MAX]:
        bar = _bar(row, end)
        fate = click.style(f"{row.fate:<9}", fg=colours[row.fate])
        call = clean(row.call).ljust(width)
        click.echo(f"   {call}  {fate}  process {row.process}  {duration(row.seconds):>7}  {bar}".rstrip())
    if len(rows) > _ROWS_SHOWN_MAX:
        click.echo(f"   ... and {len(rows) - _ROWS_SHOWN_MAX} more: kitaru executions get {told.exec_id}")


def _bar(row: Row, end: float) -> str:
    begin = min(_BAR_WIDTH - 1, int(row.started / end * _BAR_WIDTH))
    length = max(1, round(row.seconds / end * _BAR_WIDTH))
    block = "█" if "utf" in (sys.stdout.encoding or "").lower() else "#"
    return " " * begin + block * min(length, _BAR_WIDTH - begin)


def _print_ending(client: KitaruClient, told: Story) -> None:
    again = [row for row in told.rows if row.fate == "ran again"]
    ran = len(told.rows) - len(told.reused)
    click.echo()
    success(
        f"   {len(told.reused)} of {len(told.rows)} calls were reused, {duration(told.saved_seconds)} of work saved."
    )
    cut = f" {len(again)} of them had been cut off by the kill." if again else ""
    click.echo(f"   {ran} calls ran in the second process.{cut}")
    click.echo(f"   Report:  {clean(told.report)}")
    click.echo(f"   Journal: {clean(client.journal_url)}")
    click.echo()
    click.echo("   Next: kitaru demo --show     the flow behind this, one file")
    click.echo("         kitaru demo --copy     your own copy: kitaru run research.py:research")
    click.echo(f"         kitaru executions get {told.exec_id}")


def _give_source(path: str | None, output: str, *, copy: bool) -> None:
    from importlib.resources import files

    source = files("kitaru.demo").joinpath("flow.py").read_text(encoding="utf-8")
    if not copy:
        if output == "json":
            print_item("demo", {"source": source})
        else:
            click.echo(source, nl=False)
        return
    target = Path(path or "research.py").expanduser()
    if target.is_dir():
        target = target / "research.py"
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(source)
    except FileExistsError:
        raise KitaruUsageError(
            f"{target} exists already and was left as it is. Name another file: kitaru demo --copy FILE."
        ) from None
    except OSError as error:
        raise KitaruUsageError(f"{target} cannot be written: {error.strerror}.") from error
    if output == "json":
        print_item("demo", {"copied_to": str(target)})
        return
    success(f"Copied the flow to {target}", f'Run it: kitaru run {target}:research --args \'{{"folder": "."}}\'')


def _json(value: object) -> str:
    import json

    return json.dumps(value)

"""What commands print: text for people, one JSON object per line for machines. Imports neither rich nor the library."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

import click

from kitaru.client.boundaries import run_with_cli_error_boundary
from kitaru.errors import KitaruUsageError

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

_COLUMN_MIN = 12
_DIM_VALUES = frozenset(("unavailable", "not set", "not started", "none"))
# C0 and C1 control characters but tab and newline: stored text must not move the cursor or set the window's title.
_CONTROLS = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if code not in (0x09, 0x0A)}


def output_option(function: F) -> F:
    """``--output/-o text|json`` for a command; the checked value arrives as ``output``."""
    return click.option(
        "-o", "--output", default="text", show_default=True, callback=_check_output, help="text or json."
    )(function)


def _check_output(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    try:
        return normalize_output_format(value)
    except KitaruUsageError as error:
        exit_with_error("cli", str(error), output="text")


def normalize_output_format(raw: str) -> str:
    """``text`` or ``json``, stripped and lower-cased. Raises KitaruUsageError (a ValueError) for anything else."""
    value = raw.strip().lower()
    if value not in ("text", "json"):
        raise KitaruUsageError(f"--output must be text or json; got {raw!r}.")
    return value


def wants_json(arguments: Sequence[str]) -> bool:
    """Whether an unparsed command line asks for JSON: for errors of the parser itself."""
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    return any(
        (one in ("-o", "--output") and following.strip().lower() == "json")
        or one.strip().lower() in ("--output=json", "-ojson", "-o=json")
        for one, following in pairs
    )


def guarded(command: str, output: str, operation: Callable[[], T]) -> T:
    """The operation's value; its error is shown in the format of ``output``, and the exit code is 1."""
    return run_with_cli_error_boundary(operation, command=command, output=output, exit_with_error=exit_with_error)


def exit_with_error(
    command: str,
    message: str,
    *,
    output: str,
    error_type: str | None = None,
    code: int = 1,
    exec_id: str | None = None,
) -> NoReturn:
    """Show an error on stderr and end the command."""
    if output == "json":
        fields = {"message": message, "type": error_type, "exec_id": exec_id}
        error = {name: value for name, value in fields.items() if value is not None}
        print(_dump({"command": command, "error": error}), file=sys.stderr, flush=True)
    else:
        label = click.style("Error:", fg="red", bold=True) if _styled(sys.stderr) else "Error:"
        click.echo(f"{label} {clean(message)}", err=True)
    sys.exit(code)


def print_item(command: str, item: dict[str, Any], *, nulls: bool = False) -> None:
    """The JSON envelope of one thing. Empty fields are left out, unless ``nulls`` says that all keys are there."""
    print(_dump({"command": command, "item": item if nulls else _without_none(item)}), flush=True)


def print_items(command: str, items: Sequence[dict[str, Any]], *, nulls: bool = False) -> None:
    """The JSON envelope of a list. Empty fields are left out, unless ``nulls`` says that every row has all keys."""
    rows = [item if nulls else _without_none(item) for item in items]
    print(_dump({"command": command, "items": rows, "count": len(rows)}), flush=True)


def print_event(command: str, event: str, item: dict[str, Any]) -> None:
    """One line of a JSON stream."""
    print(_dump({"command": command, "event": event, "item": _without_none(item)}), flush=True)


def clean(text: Any) -> str:
    """``text`` without control characters: stored text may come from a model or a stranger."""
    return str(text).translate(_CONTROLS)


def success(text: str, *details: str) -> None:
    """A line that says what was done, and an indented one for each detail."""
    styled = _styled(sys.stdout)
    click.echo(click.style(clean(text), fg="green") if styled else clean(text))
    for detail in details:
        line = f"  {clean(detail)}"
        click.echo(click.style(line, dim=True) if styled else line)


def warn(text: str) -> None:
    """A warning, always on stderr: stdout is for what was asked for."""
    label = click.style("Warning:", fg="yellow") if _styled(sys.stderr) else "Warning:"
    click.echo(f"{label} {clean(text)}", err=True)


def snapshot(title: str, rows: Iterable[tuple[str, Any]], *, warning: str | None = None) -> None:
    """A title and ``Label: value`` lines. Rows whose value is None are left out."""
    styled = _styled(sys.stdout)
    click.echo(click.style(title, bold=True) if styled else title)
    for label, value in rows:
        if value is None:
            continue
        first, *rest = clean(value).splitlines() or [""]
        shown = click.style(first, dim=True) if styled and first in _DIM_VALUES else first
        click.echo(f"  {label}: {shown}")
        for line in rest:
            click.echo(f"    {line}")
    if warning is not None:
        click.echo(f"  Warning: {clean(warning)}")


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """A title and aligned columns; an empty table says ``none found``."""
    if not rows:
        snapshot(title, [(title.rsplit(maxsplit=1)[-1].capitalize(), "none found")])
        return
    cells = [[clean(cell).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(row[place]) for row in [list(header), *cells]) for place in range(len(header))]
    if is_terminal(sys.stdout):
        _fit(widths, cells)
    click.echo(click.style(title, bold=True) if _styled(sys.stdout) else title)
    for row in [list(header), ["-" * width for width in widths], *cells]:
        line = "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo(f"  {line}".rstrip())


def _fit(widths: list[int], cells: list[list[str]]) -> None:
    """Shorten the widest columns but the first, which one copies from, until a line fits the terminal."""
    import shutil

    room = shutil.get_terminal_size().columns - 2 - 3 * (len(widths) - 1)
    while sum(widths) > room and (wide := max(range(1, len(widths)), key=widths.__getitem__, default=0)):
        if widths[wide] <= _COLUMN_MIN:
            return
        widths[wide] = max(_COLUMN_MIN, widths[wide] - (sum(widths) - room))
        for row in cells:
            if len(row[wide]) > widths[wide]:
                row[wide] = f"{row[wide][: widths[wide] - 1]}…"


def parse_json_object(text: str | None, option: str) -> dict[str, Any]:
    """The object in the text of a JSON option; None gives an empty one.

    Raises KitaruUsageError (a ValueError) with line and column of a mistake, or for anything but an object.
    """
    if text is None:
        return {}
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise KitaruUsageError(
            f"Invalid JSON for `{option}`: {error.msg} (line {error.lineno}, column {error.colno})"
        ) from error
    except RecursionError as error:
        raise KitaruUsageError(f"Invalid JSON for `{option}`: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise KitaruUsageError(
            f'`{option}` takes a JSON object, such as \'{{"topic": "rust"}}\'; got {type(value).__name__}.'
        )
    return value


def duration(seconds: float) -> str:
    """Seconds for people: ``85 ms``, ``1.25 s``, ``2 m 05 s``, ``1 h 02 m``."""
    if seconds < 0.001:
        return "<1 ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} m {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} m"


def is_terminal(stream: Any) -> bool:
    """Whether a stream is a terminal that shows colours and moves the cursor."""
    return bool(getattr(stream, "isatty", lambda: False)()) and os.environ.get("TERM") != "dumb"


def _styled(stream: Any) -> bool:
    return is_terminal(stream) and "NO_COLOR" not in os.environ


def _dump(value: Any) -> str:
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:  # NaN and the infinities have no JSON form: they become their names
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and value - value != 0.0:
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if value is not None}

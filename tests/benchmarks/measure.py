"""Samples, raw limits and the rows of the table."""

from __future__ import annotations

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apsw

SYNCHRONOUS = {"full": "FULL", "process": "NORMAL"}


@dataclass
class Samples:
    """Measured durations in seconds, or whatever ``unit`` a figure has."""

    values: list[float] = field(default_factory=list)

    def add(self, value: float) -> None:
        self.values.append(value)

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def p90(self) -> float:
        return sorted(self.values)[min(len(self.values) - 1, int(len(self.values) * 0.9))]


@dataclass
class Row:
    """One line of the table: a figure, its bar, and the raw limit of the same run."""

    figure: str
    unit: str
    median: float
    p90: float | None
    bar: float | None
    rule: str
    raw: float | None = None
    raw_p90: float | None = None
    raw_is: str = ""
    note: str = ""
    at_least: bool = False

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return "-"
        held = self.median >= self.bar if self.at_least else self.median <= self.bar
        return "holds" if held else "MISSED"

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "verdict": self.verdict}


class RawStore:
    """The limit: one prepared insert of the same bytes per commit, through apsw, at the same durability."""

    def __init__(self, directory: Path, durability: str, size: int) -> None:
        self._connection = apsw.Connection(str(directory / "raw.db"))
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", SYNCHRONOUS[durability])
        self._connection.execute("CREATE TABLE IF NOT EXISTS raw (no INTEGER PRIMARY KEY, data BLOB)")
        self._cursor = self._connection.cursor()
        self._row = (b"x" * size,)

    def commit(self) -> None:
        self._cursor.execute("INSERT INTO raw (data) VALUES (?)", self._row)

    def timed(self, samples: Samples, times: int) -> None:
        """Insert ``times`` rows, each a commit of its own, each a sample."""
        for _ in range(times):
            begun = time.perf_counter()
            self.commit()
            samples.add(time.perf_counter() - begun)

    def close(self) -> None:
        self._connection.close()


def timed(samples: Samples, action: Callable[[], Any]) -> Any:
    """Perform ``action`` once and keep how long it took."""
    begun = time.perf_counter()
    answer = action()
    samples.add(time.perf_counter() - begun)
    return answer


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory on the disk that holds the checkout's neighbours: /tmp may be memory."""
    folder = Path(tempfile.mkdtemp(prefix="kitaru-bench-"))
    try:
        yield folder
    finally:
        _remove(folder, time.monotonic() + 10)


def _remove(folder: Path, deadline: float) -> None:
    # A process that resumed an execution still writes its log after the execution has ended.
    while True:
        try:
            shutil.rmtree(folder)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """The rows as text."""
    head = ["figure", "median", "p90", "bar", "verdict", "raw (median / p90)", "rule; notes"]
    lines = [head]
    for row in rows:
        raw = "" if row.raw is None else f"{_number(row.raw)} / {_number(row.raw_p90)} {row.raw_is}"
        sign = ">=" if row.at_least else "<="
        bar = "" if row.bar is None else f"{sign} {_number(row.bar)} {row.unit}"
        notes = "; ".join(part for part in (row.rule, row.note) if part)
        lines.append(
            [row.figure, f"{_number(row.median)} {row.unit}", _number(row.p90), bar, row.verdict, raw.strip(), notes]
        )
    if markdown:
        made = ["| " + " | ".join(line) + " |" for line in lines]
        made.insert(1, "|" + "---|" * len(head))
        return "\n".join(made)
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"

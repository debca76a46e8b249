"""What can still be read of a damaged SQLite journal, row by row, into a new one."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import apsw

from kitaru.errors import KitaruJournalError
from kitaru.journal import sql_rows as rows
from kitaru.journal import sql_waits
from kitaru.journal.sqlite_errors import translated
from kitaru.journal.sqlite_open import close_connection, open_connection

#: How many row numbers in a row are tried behind damage before the rest counts as lost.
_PROBES_MAX = 5_000
_PROBLEMS_MAX = 100
_UNREADABLE = (apsw.Error, ValueError, TypeError)

Row = tuple[Any, ...]


@dataclass(slots=True)
class SalvageReport:
    """What :func:`salvage` saved and what it could not.

    ``damaged`` maps an execution's id to how many of its entries were lost: resuming it runs those calls again.
    ``executions_lost`` counts executions whose own row is gone, and all their entries with it. Lost counts are lower
    bounds: where the end of a table is unreadable nobody knows how much there was. ``problems`` says what was wrong,
    in the words of SQLite, at most 100 of them.
    """

    executions: int = 0
    entries: int = 0
    executions_lost: int = 0
    entries_lost: int = 0
    damaged: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing was lost, as far as can be told."""
        return not self.problems

    def note(self, problem: str) -> None:
        if len(self.problems) < _PROBLEMS_MAX:
            self.problems.append(problem)


def salvage(path: str, target_path: str) -> SalvageReport:
    """Copy every readable execution and entry of the journal ``path`` into a new journal ``target_path``.

    The damaged file, and the log beside it, are copied first and never opened themselves. Entries whose value does
    not fit its digest count as lost. Ids, tokens, order and numbering are kept.

    Raises KitaruJournalError when ``target_path`` exists, ``path`` does not, or nothing can be read at all.
    """
    if os.path.exists(target_path):
        raise KitaruJournalError(f"{target_path} exists already: name a new file to salvage into.")
    if not os.path.isfile(path):
        raise KitaruJournalError(f"there is no journal file {path} to salvage.")
    report = SalvageReport()
    directory = os.path.dirname(os.path.abspath(target_path))
    os.makedirs(directory, mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".salvage-", dir=directory) as scratch:
        copy = os.path.join(scratch, "damaged.db")
        shutil.copyfile(path, copy)
        if os.path.exists(path + "-wal"):
            shutil.copyfile(path + "-wal", copy + "-wal")
        with translated(path, "salvage anything"):
            source = apsw.Connection(copy)
        try:
            with translated(path, "read the schema"):
                source.execute("SELECT count(*) FROM executions LIMIT 0").fetchall()
            _copy(source, target_path, report)
        finally:
            source.close()
    return report


def _copy(source: apsw.Connection, target_path: str, report: SalvageReport) -> None:
    target = open_connection(os.path.abspath(target_path), "FULL")
    try:
        target.execute("BEGIN IMMEDIATE")
        for row in _readable(_Executions(source), report, "executions"):
            _copy_execution(source, target, row, report)
        target.execute("COMMIT")
    finally:
        close_connection(target)


def _copy_execution(source: apsw.Connection, target: apsw.Connection, row: Row, report: SalvageReport) -> None:
    try:
        record = rows.read_execution(row)
        target.execute(rows.PUT_EXECUTION, row)
    except (KitaruJournalError, apsw.Error) as error:
        report.executions_lost += 1
        report.note(f"execution number {row[0]}: {error}")
        return
    report.executions += 1
    lost_before = report.entries_lost
    for entry in _readable(_Entries(source, row[0]), report, f"entries of execution {record.exec_id}"):
        try:
            _check_entry(entry)
            target.execute(rows.PUT_ENTRY, entry)
        except (KitaruJournalError, apsw.Error) as error:
            report.entries_lost += 1
            report.note(f"entry {entry[1]} of execution {record.exec_id}: {error}")
        else:
            report.entries += 1
    try:
        if source.execute("SELECT count(*) FROM sqlite_master WHERE name = 'waits'").get:
            sql_waits.copied(source.execute, target.execute, row[0])
    except (KitaruJournalError, apsw.Error) as error:
        report.note(f"waits of execution {record.exec_id}: {error}")
    if report.entries_lost > lost_before:
        report.damaged[record.exec_id] = report.entries_lost - lost_before


def _check_entry(row: Row) -> None:
    (entry,) = rows.read_entries([row])
    output = entry.output
    if output is not None and output.data is not None and hashlib.sha256(output.data).digest() != output.digest:
        raise KitaruJournalError("its value is not the one that was stored")


class _Executions:
    """The table of executions, by row number."""

    number: Callable[[Row], int] = staticmethod(lambda row: int(row[0]))

    def __init__(self, source: apsw.Connection) -> None:
        self._source = source

    def after(self, number: int) -> Iterator[Row]:
        return iter(self._source.execute(rows.EXECUTIONS_AFTER, (number,)))

    def before_end(self) -> Iterator[Row]:
        return iter(self._source.execute(rows.EXECUTIONS_BACKWARDS))

    def one(self, number: int) -> Row | None:
        return self._source.execute(rows.EXECUTION_NUMBERED, (number,)).fetchone()

    def lose(self, report: SalvageReport, count: int) -> None:
        report.executions_lost += count


class _Entries:
    """The entries of one execution, by their place in it."""

    number: Callable[[Row], int] = staticmethod(lambda row: int(row[1]))

    def __init__(self, source: apsw.Connection, exec_no: int) -> None:
        self._source = source
        self._exec_no = exec_no

    def after(self, number: int) -> Iterator[Row]:
        return iter(self._source.execute(rows.ENTRIES, (self._exec_no, number)))

    def before_end(self) -> Iterator[Row]:
        return iter(self._source.execute(rows.ENTRIES_BACKWARDS, (self._exec_no,)))

    def one(self, number: int) -> Row | None:
        return self._source.execute(rows.ENTRY_NUMBERED, (self._exec_no, number)).fetchone()

    def lose(self, report: SalvageReport, count: int) -> None:
        report.entries_lost += count


def _readable(table: _Executions | _Entries, report: SalvageReport, what: str) -> Iterator[Row]:
    """Every row that can be read: forwards up to damage, behind it one by one, and backwards from the end."""
    last = 0
    tail: list[Row] | None = None
    while True:
        try:
            for row in table.after(last):
                last = max(last, table.number(row))
                yield row
            return
        except _UNREADABLE as error:
            report.note(f"{what}, after number {last}: {error}")
        if tail is None:
            tail = _tail(table, last)
        end = table.number(tail[-1]) if tail else last + _PROBES_MAX + 1
        found, unreadable = _probe(table, range(last + 1, end))
        if found is None:
            # Without a readable end nobody knows how many there were: it counts as one.
            table.lose(report, unreadable if tail else min(unreadable, 1))
            yield from reversed(tail)
            return
        table.lose(report, unreadable)
        last = table.number(found)
        yield found


def _tail(table: _Executions | _Entries, last: int) -> list[Row]:
    """The rows after ``last``, from the end backwards, as far as they can be read."""
    tail: list[Row] = []
    try:
        for row in table.before_end():
            if table.number(row) <= last:
                break
            tail.append(row)
    except _UNREADABLE:  # the damage, from its other side: what lies between is probed
        pass
    return tail


def _probe(table: _Executions | _Entries, numbers: range) -> tuple[Row | None, int]:
    """The first of ``numbers`` whose row can be read, and how many before it cannot."""
    unreadable = 0
    for number in numbers[:_PROBES_MAX]:
        try:
            row = table.one(number)
        except _UNREADABLE:
            unreadable += 1
            continue
        if row is not None:
            return row, unreadable
    return None, unreadable

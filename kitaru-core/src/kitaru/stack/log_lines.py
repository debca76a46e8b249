"""Log lines as text, and checks that log stores share."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.journal.log_records import LogRecord

_EXEC_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_FIELDS = frozenset(field.name for field in fields(LogRecord))


def check_exec_id(exec_id: str) -> str:
    """An execution's id as it is, if it may name a file or an object. Raises KitaruUsageError."""
    if not isinstance(exec_id, str) or not _EXEC_ID.fullmatch(exec_id):
        raise KitaruUsageError(f"{exec_id!r:.80} is not the id of an execution.")
    return exec_id


def dump(record: LogRecord) -> str:
    """A record as one line of JSON, its end included. Any text survives: it is written in ASCII."""
    return json.dumps({name: value for name, value in asdict(record).items() if value is not None}) + "\n"


def parse(line: bytes) -> LogRecord | None:
    """The record of a line; None for a torn one, or one of somebody else. Fields of a newer version are left out."""
    try:
        values: Any = json.loads(line)
        return LogRecord(**{name: value for name, value in values.items() if name in _FIELDS})
    except (ValueError, TypeError, AttributeError):
        return None


def selected(records: Iterable[LogRecord], call_id: str | None, after: int, limit: int | None) -> list[LogRecord]:
    """The part of an execution's records that ``LogStore.read`` was asked for."""
    found: list[LogRecord] = []
    for record in records:
        if limit is not None and len(found) >= limit:
            break
        if call_id is not None and record.call_id != call_id:
            continue
        if after > 0:
            after -= 1
            continue
        found.append(record)
    return found

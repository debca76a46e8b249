"""Azure Monitor."""

from __future__ import annotations

import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines
from kitaru.stack.clients import PerProcess
from kitaru.stack.log_lines import check_exec_id
from kitaru_azure.errors import azure_errors
from kitaru_azure.session import ingestion_client, query_client

if TYPE_CHECKING:
    from kitaru_azure.config import AzureMonitorConfig

# A text of a custom table has 32 KB at most, and one request 1 MB:
# https://learn.microsoft.com/azure/azure-monitor/service-limits
_PART_CHARACTERS = 30_000
_REQUEST_BYTES = 900_000
_PAGE_ROWS = 20_000
_WRITE_ROLE = "Monitoring Metrics Publisher"
_READ_ROLE = "Log Analytics Reader"


class AzureMonitorLogStore:
    """Rows of a Log Analytics table, see the config. See :class:`kitaru.stack.components.LogStore` for the contract.

    A line is the parts of its JSON text; ``Position`` says when it was sent, so that lines come back in the order in
    which they were appended. Rows cannot be deleted: a row without parts hides what was written before it.
    """

    def __init__(self, config: AzureMonitorConfig) -> None:
        self._config = config
        self._ingestion = PerProcess(lambda: ingestion_client(config))
        self._queries = PerProcess(lambda: query_client(config))

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        check_exec_id(exec_id)
        for rows in _requests(exec_id, records):
            self._upload(rows, "writing runtime logs")

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        check_exec_id(exec_id)
        parts: dict[str, list[str]] = {}
        hidden = ""
        try:
            for position, record, part, count in self._rows(exec_id):
                if count == 0:
                    hidden = max(hidden, position)
                    continue
                parts.setdefault(position, [""] * count)[part] = record
        except KitaruBackendError as error:
            raise KitaruLogRetrievalError(str(error)) from None
        lines = ("".join(parts[position]) for position in sorted(parts) if position > hidden)
        found = (log_lines.parse(line.encode()) for line in lines)
        return log_lines.selected((record for record in found if record is not None), call_id, after, limit)

    def delete(self, exec_id: str) -> None:
        check_exec_id(exec_id)
        self._upload([_row(exec_id, _position(time.time_ns(), 0, ""), "", 0, 0)], "hiding runtime logs")

    def _upload(self, rows: list[MutableMapping[str, Any]], doing: str) -> None:
        with self._errors(doing, _WRITE_ROLE, "there is no such data collection rule or stream"):
            self._ingestion().upload(self._config.rule_id, self._config.stream, rows)

    def _rows(self, exec_id: str) -> Iterator[tuple[str, str, int, int]]:
        """The rows of an execution, by position and part: so many at a time, whole lines each."""
        last = ""
        while True:
            query = (
                f'{self._config.table} | where ExecId == "{exec_id}" and strcmp(Position, "{last}") > 0 '
                f"| sort by Position asc, Part asc | take {_PAGE_ROWS} | project Position, Record, Part, Parts"
            )
            with self._errors("reading runtime logs", _READ_ROLE, "there is no such workspace or table"):
                answer = self._queries().query_workspace(self._config.workspace_id, query, timespan=None)
            tables = answer.tables if hasattr(answer, "tables") else answer.partial_data
            rows = [tuple(row) for row in tables[0].rows]
            full = len(rows) == _PAGE_ROWS
            if full:  # the last line may go on in the next page: it is read there
                rows = [row for row in rows if row[0] != rows[-1][0]]
            for position, record, part, count in rows:
                yield str(position), str(record or ""), int(part), int(count)
            if not full:
                return
            last = str(rows[-1][0])

    def _errors(self, doing: str, role: str, missing: str) -> AbstractContextManager[None]:
        return azure_errors(f"{doing} of Azure Monitor (table {self._config.table})", role=role, missing=missing)


def _requests(exec_id: str, records: Sequence[LogRecord]) -> Iterator[list[MutableMapping[str, Any]]]:
    now, sender = time.time_ns(), token_hex(4)
    rows: list[MutableMapping[str, Any]] = []
    size = 0
    for number, record in enumerate(records):
        text = log_lines.dump(record).rstrip("\n")
        pieces = [text[start : start + _PART_CHARACTERS] for start in range(0, len(text), _PART_CHARACTERS)]
        for part, piece in enumerate(pieces):
            if rows and size + len(piece) > _REQUEST_BYTES:
                yield rows
                rows, size = [], 0
            rows.append(_row(exec_id, _position(now, number, sender), piece, part, len(pieces)))
            size += len(piece) + 200
    if rows:
        yield rows


def _position(now: int, number: int, sender: str) -> str:
    return f"{now:020}-{sender}-{number:08}"


def _row(exec_id: str, position: str, record: str, part: int, parts: int) -> MutableMapping[str, Any]:
    moment = datetime.now(UTC).isoformat()
    return {
        "TimeGenerated": moment,
        "ExecId": exec_id,
        "Position": position,
        "Record": record,
        "Part": part,
        "Parts": parts,
    }

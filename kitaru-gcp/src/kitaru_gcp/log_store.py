"""Cloud Logging."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kitaru.errors import KitaruError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines
from kitaru.stack.log_lines import check_exec_id
from kitaru_gcp.errors import gcp_errors, reason_of, status_of
from kitaru_gcp.session import Service, execute

if TYPE_CHECKING:
    from kitaru_gcp.config import CloudLoggingConfig

# https://cloud.google.com/logging/quotas
_ENTRY_BYTES_MAX = 240 * 1024
_BATCH_BYTES_MAX = 4 * 1024 * 1024
_PAGE = 1000
_SEVERITIES = frozenset(("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))


class CloudLoggingStore:
    """One log per execution, one entry per line. See :class:`kitaru.stack.components.LogStore` for the contract.

    An entry's own time is when it was sent, so that lines come back in the order in which they were appended.
    """

    def __init__(self, config: CloudLoggingConfig) -> None:
        self._config = config
        self._service = Service("logging", "v2", config)

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        log = self._log(exec_id)
        for entries in _batches(records):
            with self._errors("writing runtime logs"):
                body = {"logName": log, "resource": {"type": "global"}, "entries": entries}
                execute(self._service().entries().write(body=body))

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        log = self._log(exec_id)
        try:
            found = [one for one in map(_read, self._entries(log)) if one is not None]
        except KitaruError as error:
            raise KitaruLogRetrievalError(str(error)) from None
        except Exception as error:
            raise KitaruLogRetrievalError(
                f"reading runtime logs of {self._where} failed: {reason_of(error)}."
            ) from None
        found.sort(key=lambda one: one[0])
        return log_lines.selected((record for _, record in found), call_id, after, limit)

    def delete(self, exec_id: str) -> None:
        log = self._log(exec_id)
        with self._errors("deleting runtime logs"):
            try:
                execute(self._service().projects().logs().delete(logName=log))
            except Exception as error:
                if status_of(error) != 404:
                    raise

    def _entries(self, log: str) -> Iterator[dict[str, Any]]:
        body: dict[str, Any] = {
            "resourceNames": [f"projects/{self._config.project}"],
            "filter": f'logName="{log}"',
            "orderBy": "timestamp asc",
            "pageSize": _PAGE,
        }
        while True:
            page = execute(self._service().entries().list(body=body))
            yield from page.get("entries", ())
            token = page.get("nextPageToken")
            if not token:
                return
            body["pageToken"] = token

    def _log(self, exec_id: str) -> str:
        name = quote(f"{self._config.log_name}/{check_exec_id(exec_id)}", safe="")
        return f"projects/{self._config.project}/logs/{name}"

    @property
    def _where(self) -> str:
        return f"Cloud Logging in the project {self._config.project}"

    def _errors(self, doing: str) -> Any:
        return gcp_errors(f"{doing} of {self._where}", missing="there is no such project, or its API is not enabled")


def _batches(records: Sequence[LogRecord]) -> Iterator[list[dict[str, Any]]]:
    now = time.time_ns()
    sender = token_hex(4)  # entries of equal time and id are taken for the same one
    moment = datetime.fromtimestamp(now / 1e9, UTC).isoformat()
    batch: list[dict[str, Any]] = []
    size = 0
    for number, record in enumerate(records):
        values = {name: value for name, value in asdict(record).items() if value is not None}
        # As text, so that every text comes back as it went in.
        payload = {"message": record.message.encode("utf-8", "replace").decode(), "kitaru": json.dumps(values)}
        length = len(json.dumps(payload))
        if length > _ENTRY_BYTES_MAX:
            raise KitaruUsageError(f"a line of {length} bytes is too large for Cloud Logging: {_ENTRY_BYTES_MAX}.")
        if batch and size + length > _BATCH_BYTES_MAX:
            yield batch
            batch, size = [], 0
        batch.append(
            {
                "timestamp": moment,
                "insertId": f"{now:020}-{number:08}-{sender}",
                "severity": record.level if record.level in _SEVERITIES else "DEFAULT",
                "jsonPayload": payload,
            }
        )
        size += length
    if batch:
        yield batch


def _read(entry: dict[str, Any]) -> tuple[str, LogRecord] | None:
    try:
        record = log_lines.parse(entry["jsonPayload"]["kitaru"].encode())
        return (str(entry["insertId"]), record) if record is not None else None
    except (KeyError, TypeError, AttributeError):
        return None

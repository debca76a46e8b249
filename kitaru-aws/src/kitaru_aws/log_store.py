"""CloudWatch Logs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruError, KitaruLogRetrievalError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines
from kitaru.stack.clients import PerProcess
from kitaru.stack.log_lines import check_exec_id
from kitaru_aws.errors import aws_errors, code_of, reason_of
from kitaru_aws.session import client

if TYPE_CHECKING:
    from kitaru_aws.config import CloudWatchConfig

# Limits of PutLogEvents: https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
_EVENT_BYTES_MAX = 256 * 1024 - 26
_BATCH_BYTES_MAX = 1_048_576
_BATCH_EVENTS_MAX = 10_000
_EVENT_OVERHEAD_BYTES = 26
_MISSING = "ResourceNotFoundException"


class CloudWatchLogStore:
    """One stream per execution, one event per line. See :class:`kitaru.stack.components.LogStore` for the contract.

    An event's own time is when it was sent, so that lines come back in the order in which they were appended.
    """

    def __init__(self, config: CloudWatchConfig) -> None:
        self._config = config
        self._client = PerProcess(lambda: client("logs", config))

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        check_exec_id(exec_id)
        for events in _batches(records):
            with aws_errors(f"writing runtime logs to the log group {self._config.log_group}"):
                self._send(exec_id, events)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        check_exec_id(exec_id)
        try:
            found = [one for one in map(_read, self._events(exec_id)) if one is not None]
        except KitaruError as error:
            raise KitaruLogRetrievalError(str(error)) from None
        except Exception as error:
            raise KitaruLogRetrievalError(
                f"reading runtime logs of the log group {self._config.log_group} failed: {reason_of(error)}."
            ) from None
        found.sort(key=lambda one: one[0])
        return log_lines.selected((record for _, record in found), call_id, after, limit)

    def delete(self, exec_id: str) -> None:
        check_exec_id(exec_id)
        with aws_errors(f"deleting runtime logs of the log group {self._config.log_group}"):
            try:
                self._client().delete_log_stream(logGroupName=self._config.log_group, logStreamName=exec_id)
            except Exception as error:
                if code_of(error) != _MISSING:
                    raise

    def verify(self) -> None:
        """Look at the log group, which need not be there yet. Raises KitaruBackendError."""
        with aws_errors(f"reading the log group {self._config.log_group}"):
            self._client().describe_log_groups(logGroupNamePrefix=self._config.log_group, limit=1)

    def _send(self, exec_id: str, events: list[dict[str, Any]]) -> None:
        where = {"logGroupName": self._config.log_group, "logStreamName": exec_id}
        try:
            answer = self._client().put_log_events(**where, logEvents=events)
        except Exception as error:
            if code_of(error) != _MISSING:
                raise
            self._make(where)
            answer = self._client().put_log_events(**where, logEvents=events)
        if answer.get("rejectedLogEventsInfo"):
            raise KitaruUsageError("CloudWatch Logs refused lines: the clock of this machine is wrong.")

    def _make(self, where: dict[str, str]) -> None:
        group = where["logGroupName"]
        for make in (lambda: self._make_group(group), lambda: self._client().create_log_stream(**where)):
            try:
                make()
            except Exception as error:
                if code_of(error) != "ResourceAlreadyExistsException":
                    raise

    def _make_group(self, group: str) -> None:
        self._client().create_log_group(logGroupName=group)
        if self._config.retention_days is not None:
            self._client().put_retention_policy(logGroupName=group, retentionInDays=self._config.retention_days)

    def _events(self, exec_id: str) -> Iterator[str]:
        token: dict[str, str] = {}
        while True:
            try:
                page = self._client().get_log_events(
                    logGroupName=self._config.log_group, logStreamName=exec_id, startFromHead=True, **token
                )
            except Exception as error:
                if code_of(error) == _MISSING:
                    return
                raise
            for event in page["events"]:
                yield event["message"]
            # The end is where the token stays the same; a page may be empty before that.
            following = page.get("nextForwardToken")
            if following is None or following == token.get("nextToken"):
                return
            token = {"nextToken": following}


def _batches(records: Sequence[LogRecord]) -> Iterator[list[dict[str, Any]]]:
    now = time.time_ns()
    batch: list[dict[str, Any]] = []
    size = 0
    for number, record in enumerate(records):
        message = _message(record, (now, number))
        length = len(message.encode()) + _EVENT_OVERHEAD_BYTES
        if length > _EVENT_BYTES_MAX:
            raise KitaruUsageError(f"a line of {length} bytes is too large for CloudWatch Logs: {_EVENT_BYTES_MAX}.")
        if batch and (size + length > _BATCH_BYTES_MAX or len(batch) == _BATCH_EVENTS_MAX):
            yield batch
            batch, size = [], 0
        batch.append({"timestamp": now // 1_000_000, "message": message})
        size += length
    if batch:
        yield batch


def _message(record: LogRecord, place: tuple[int, int]) -> str:
    values = {**json.loads(log_lines.dump(record)), "place": place}
    text = json.dumps(values, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a character: as its escape
        return json.dumps(values)
    return text


def _read(message: str) -> tuple[tuple[int, int], LogRecord] | None:
    record = log_lines.parse(message.encode("utf-8", "surrogatepass"))
    if record is None:
        return None
    try:
        first, second = json.loads(message)["place"]
        return (int(first), int(second)), record
    except (KeyError, TypeError, ValueError):
        return None

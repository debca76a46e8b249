"""The log store `otel`: lines go to an OpenTelemetry collector, as OTLP over HTTP."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from kitaru.errors import KitaruBackendError, KitaruLogRetrievalError, KitaruPluginError, KitaruUsageError
from kitaru.journal.log_records import LogRecord
from kitaru.stack import log_lines

_INSTALL = "pip install 'kitaru[otel]'"
_PATH = "/v1/logs"
_TIMEOUT_SECONDS = 10.0
_EXPORTER = "opentelemetry.exporter.otlp.proto.http._log_exporter"
# Requests that are refused for what they are: sending them again would only be refused again.
_NEVER_TAKEN = frozenset((400, 413, 415, 422))
_SEVERITIES = {"DEBUG": 5, "INFO": 9, "WARNING": 13, "ERROR": 17, "CRITICAL": 21}
_exporting = threading.local()


@dataclass(frozen=True, slots=True)
class OtelLogStoreConfig:
    """``endpoint`` is the collector's address, with or without ``/v1/logs``; ``api_key`` is sent as a bearer token.

    Other headers come from ``OTEL_EXPORTER_OTLP_HEADERS``, as for every OTLP exporter.
    """

    endpoint: str
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.endpoint, str) or not self.endpoint.startswith(("http://", "https://")):
            raise ValueError("endpoint must be an http(s) address")

    @property
    def url(self) -> str:
        plain = self.endpoint.rstrip("/")
        return plain if plain.endswith(_PATH) else plain + _PATH


class OtelLogStore:
    """Sends lines to a collector; what it makes of them, and for how long it keeps them, is its own affair.

    See ``LogStore``: ``append`` returns once the collector has taken the lines. It gives none back, so ``read`` says
    where they are, and ``delete`` leaves them. The exporter is imported with the first line.
    """

    def __init__(self, config: OtelLogStoreConfig) -> None:
        self._config = config
        self._lock = threading.Lock()
        self._made: _Exporter | None = None

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        """See ``LogStore``.

        Raises:
            KitaruBackendError: the collector did not take them, within some 10 seconds.
            KitaruUsageError: it never will: they are not what it accepts.
            KitaruPluginError: the packages of the extra are not installed.
        """
        log_lines.check_exec_id(exec_id)
        if not records:
            return
        with self._lock:
            if self._made is None:
                self._made = _Exporter(self._config)
            self._made.send(exec_id, records)

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        del call_id, after, limit
        log_lines.check_exec_id(exec_id)
        raise KitaruLogRetrievalError(
            f"the logs of execution {exec_id} were sent to the OpenTelemetry collector at {self._config.endpoint}, "
            f"which gives none back. Look for `kitaru.exec_id` = {exec_id} where it stores them."
        )

    def delete(self, exec_id: str) -> None:
        """Nothing: how long lines are kept is the collector's affair."""
        log_lines.check_exec_id(exec_id)


class _Exporter:
    """The OTLP exporter, and what became of its last request."""

    def __init__(self, config: OtelLogStoreConfig) -> None:
        try:
            requests = import_module("requests")
            exporter = import_module(_EXPORTER)
            self._logs = import_module("opentelemetry.sdk._logs")
            self._api = import_module("opentelemetry._logs")
            self._context = import_module("opentelemetry.context")
            resources = import_module("opentelemetry.sdk.resources")
            scopes = import_module("opentelemetry.sdk.util.instrumentation")
        except ImportError as error:
            raise KitaruPluginError(
                f"the log store `otel` needs the OpenTelemetry exporter ({error}). Install it with `{_INSTALL}`."
            ) from error
        self._endpoint = config.endpoint
        self._answer: str | None = None
        self._status: int | None = None
        session = requests.Session()
        session.hooks["response"].append(self._note)
        # The exporter logs its failures for the user of the SDK; ours are told by the shipping layer, once.
        logging.getLogger(_EXPORTER).addFilter(_not_ours)
        headers = {"authorization": f"Bearer {config.api_key}"} if config.api_key else {}
        self._exporter = exporter.OTLPLogExporter(
            endpoint=config.url, headers=headers, timeout=_TIMEOUT_SECONDS, session=session
        )
        self._success = import_module("opentelemetry.sdk._logs.export").LogRecordExportResult.SUCCESS
        self._resource = resources.Resource.create({"service.name": "kitaru"})
        self._scope = scopes.InstrumentationScope("kitaru")

    def send(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        batch = [
            self._logs.ReadableLogRecord(self._converted(exec_id, one), self._resource, self._scope) for one in records
        ]
        self._status = self._answer = None
        _exporting.active = True
        token = self._context.attach(self._context.set_value("suppress_instrumentation", True))
        try:
            done = self._exporter.export(batch) == self._success
        except Exception as error:  # older exporters let those of their HTTP client through
            raise KitaruBackendError(
                f"the OpenTelemetry collector at {self._endpoint} cannot be reached ({type(error).__name__})."
            ) from error
        finally:
            self._context.detach(token)
            _exporting.active = False
        if done:
            return
        if self._status is None:
            raise KitaruBackendError(f"the OpenTelemetry collector at {self._endpoint} cannot be reached.")
        text = f"the OpenTelemetry collector at {self._endpoint} answered {self._status} {self._answer}."
        if self._status in _NEVER_TAKEN:
            raise KitaruUsageError(text)
        raise KitaruBackendError(text)

    def _note(self, response: Any, *_: Any, **__: Any) -> None:
        self._status, self._answer = response.status_code, response.reason

    def _converted(self, exec_id: str, record: LogRecord) -> Any:
        number = _SEVERITIES.get(record.level, _SEVERITIES["INFO"])
        attributes = {
            "kitaru.exec_id": exec_id,
            "kitaru.call_id": record.call_id,
            "kitaru.invocation_id": record.invocation_id,
            "kitaru.checkpoint": record.checkpoint_name,
            "kitaru.attempt": record.attempt,
            "log.iostream": record.source if record.source in ("stdout", "stderr") else None,
            "kitaru.logger": record.logger,
            "kitaru.module": record.module,
            "code.file.path": record.filename,
            "code.line.number": record.lineno,
        }
        return self._api.LogRecord(
            timestamp=record.timestamp * 1000,
            observed_timestamp=record.timestamp * 1000,
            severity_text=record.level,
            severity_number=self._api.SeverityNumber(number),
            body=_encodable(record.message),
            attributes={
                name: _encodable(value) if isinstance(value, str) else value
                for name, value in attributes.items()
                if value is not None
            },
        )


def _encodable(text: str) -> str:
    # OTLP is UTF-8: half a character, as broken output may have it, becomes its escape.
    return text.encode("utf-8", "backslashreplace").decode()


def _not_ours(_record: logging.LogRecord) -> bool:
    return not getattr(_exporting, "active", False)

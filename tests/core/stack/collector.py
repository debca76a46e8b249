"""An OpenTelemetry collector on the loopback: a real HTTP server that decodes what it is sent."""

from __future__ import annotations

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from kitaru.journal.log_records import LogRecord


class Collector:
    """Keeps the log records it got. ``status`` is what it answers; ``hold``: it answers only once this is set."""

    def __init__(self) -> None:
        self.status = 200
        self.hold: threading.Event | None = None
        self.requests: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.records: list[tuple[dict[str, Any], Any]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        if self.hold is not None:
            self.hold.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def lines(self, exec_id: str) -> list[LogRecord]:
        """What arrived of an execution, as the lines that were sent."""
        with self._lock:
            found = [(told, one) for told, one in self.records if told["kitaru.exec_id"] == exec_id]
        return [
            LogRecord(
                timestamp=one.time_unix_nano // 1000,
                level=one.severity_text,
                message=one.body.string_value,
                source=told.get("log.iostream", "logging"),
                call_id=told.get("kitaru.call_id"),
                invocation_id=told.get("kitaru.invocation_id"),
                checkpoint_name=told.get("kitaru.checkpoint"),
                attempt=told.get("kitaru.attempt"),
                logger=told.get("kitaru.logger"),
                module=told.get("kitaru.module"),
                filename=told.get("code.file.path"),
                lineno=told.get("code.line.number"),
            )
            for told, one in found
        ]

    def forget(self, exec_id: str) -> None:
        with self._lock:
            self.records = [one for one in self.records if one[0]["kitaru.exec_id"] != exec_id]

    def _take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportLogsServiceRequest.FromString(body)
        with self._lock:
            self.paths.append(path)
            self.requests.append(headers)
            if self.status != 200:
                return
            for resource in request.resource_logs:
                names = {one.key: one.value.string_value for one in resource.resource.attributes}
                assert names["service.name"] == "kitaru"
                for scope in resource.scope_logs:
                    self.records += [(_attributes(one), one) for one in scope.log_records]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if collector.hold is not None:
                    collector.hold.wait(60)
                collector._take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                self.send_response(collector.status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        return Handler


def _attributes(record: Any) -> dict[str, Any]:
    return {
        one.key: one.value.int_value if one.value.HasField("int_value") else one.value.string_value
        for one in record.attributes
    }

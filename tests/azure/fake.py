"""Key Vault, Container Registry and the AzureML workspace of Azure's management, on the loopback and over TLS.

There is no emulator of them. It answers as their documentation says (Key Vault 7.x, Docker Registry v2 with ACR's token
exchange, Microsoft.MachineLearningServices), and refuses who shows no token.
"""

from __future__ import annotations

import gzip
import json
import re
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "hunter2-canary-token"


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.headers = status, code, headers or {}


class FakeAzure:
    """The server; ``certificate`` is what clients have to trust. ``refuse``: answers every call with this status."""

    def __init__(self, certificate: Path, key: Path) -> None:
        self.secrets: dict[str, dict[str, Any]] = {}
        self.deleted: dict[str, dict[str, Any]] = {}
        self.repositories: set[str] = set()
        self.workspaces: set[str] = set()
        self.containers: set[str] = set()
        self.rows: list[dict[str, Any]] = []
        self.refuse: tuple[int, str] | None = None
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self._server.server_address[1]}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, body: Any, token: str) -> tuple[int, dict[str, Any]]:
        """What a call gives. Raises Refused."""
        if path.startswith("/oauth2/"):
            return 200, {"refresh_token": "refresh", "access_token": "registry-token"}
        if self.refuse is not None:
            raise Refused(*self.refuse)
        if path.startswith(("/acr/", "/v2/")):
            return self._registry(path, token)
        if path.startswith("/subscriptions/"):
            self._require(token)
            name = path.rpartition("/")[2]
            if name not in self.workspaces:
                raise Refused(404, "ResourceNotFound")
            ids = {"keyVault": "/x/vaults/vault", "storageAccount": "/x/accounts/account", "containerRegistry": None}
            return 200, {"id": path, "name": name, "location": "westeurope", "properties": ids}
        if path.startswith("/dataCollectionRules/"):
            self._require(token)
            assert all(len(row["Record"]) <= 32_000 for row in body)
            self.rows += body
            return 204, {}
        if path.endswith("/query"):
            self._require(token)
            return 200, self._query(body["query"])
        self._require(token, vault=True)
        return self._vault(method, path, body)

    def _require(self, token: str, *, vault: bool = False) -> None:
        if token != TOKEN:
            challenge = f'Bearer authorization="https://login.microsoftonline.com/tenant", resource="{self.url}"'
            raise Refused(401, "Unauthorized", {"WWW-Authenticate": challenge} if vault else {})

    def _registry(self, path: str, token: str) -> tuple[int, dict[str, Any]]:
        if token != "registry-token":
            challenge = f'Bearer realm="{self.url}/oauth2/token",service="{self.host}",scope="registry:catalog:*"'
            raise Refused(401, "UNAUTHORIZED", {"WWW-Authenticate": challenge})
        if path == "/acr/v1/_catalog":
            return 200, {"repositories": sorted(self.repositories)}
        name = path.removeprefix("/acr/v1/")
        if name not in self.repositories:
            raise Refused(404, "NAME_UNKNOWN")
        return 200, {"registry": self.host, "imageName": name, "createdTime": "2026-01-01T00:00:00Z",
                     "lastUpdateTime": "2026-01-01T00:00:00Z", "manifestCount": 1, "tagCount": 1,
                     "changeableAttributes": {}}  # fmt: skip

    def _query(self, query: str) -> dict[str, Any]:
        """The one query that kitaru-azure asks."""
        asked = re.fullmatch(
            r'(\w+) \| where ExecId == "([^"]*)" and strcmp\(Position, "([^"]*)"\) > 0 '
            r"\| sort by Position asc, Part asc \| take (\d+) \| project Position, Record, Part, Parts",
            query,
        )
        assert asked is not None, query
        found = [one for one in self.rows if one["ExecId"] == asked[2] and one["Position"] > asked[3]]
        found.sort(key=lambda one: (one["Position"], one["Part"]))
        columns = ("Position", "Record", "Part", "Parts")
        rows = [[one[name] for name in columns] for one in found[: int(asked[4])]]
        types = ("string", "string", "int", "int")
        shown = [{"name": name, "type": kind} for name, kind in zip(columns, types, strict=True)]
        return {"tables": [{"name": "PrimaryResult", "columns": shown, "rows": rows}]}

    def _vault(self, method: str, path: str, body: Any) -> tuple[int, dict[str, Any]]:
        parts = [part for part in path.split("/") if part]
        if parts == ["secrets"]:
            rows = [self._shown(name, one, value=False) for name, one in self.secrets.items()]
            return 200, {"value": rows, "nextLink": None}
        kind, name = parts[0], parts[1]
        assert re.fullmatch(r"[A-Za-z0-9-]{1,127}", name), name
        if kind == "deletedsecrets":
            if name not in self.deleted:
                raise Refused(404, "SecretNotFound")
            if len(parts) == 3 and parts[2] == "recover":
                self.secrets[name] = self.deleted.pop(name)
                return 200, self._shown(name, self.secrets[name], value=False)
            return 200, {**self._shown(name, self.deleted[name], value=False), "recoveryId": f"{self.url}{path}"}
        if method == "PUT":
            if name in self.deleted:
                raise Refused(409, "Conflict")
            self.secrets[name] = body
            return 200, self._shown(name, body, value=True)
        if name not in self.secrets:
            raise Refused(404, "SecretNotFound")
        if method == "DELETE":
            self.deleted[name] = self.secrets.pop(name)
            recovery = {"recoveryId": f"{self.url}/deletedsecrets/{name}"}
            return 200, {**self._shown(name, self.deleted[name], value=False), **recovery}
        return 200, self._shown(name, self.secrets[name], value=True)

    def _shown(self, name: str, one: dict[str, Any], *, value: bool) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": f"{self.url}/secrets/{name}" + ("/1" if value else ""),
            "attributes": {"enabled": True},
        }
        shown |= {"tags": one.get("tags"), "contentType": one.get("contentType")}
        return {**shown, "value": one["value"]} if value else shown

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length") or 0))
                if self.headers.get("content-encoding") == "gzip":
                    data = gzip.decompress(data)
                path = unquote(urlsplit(self.path).path)
                form = "form" in self.headers.get("content-type", "")
                body = parse_qs(data.decode()) if form else json.loads(data) if data else None
                token = self.headers.get("authorization", "").removeprefix("Bearer ")
                headers: dict[str, str] = {}
                if "comp=list" in self.path:
                    return self._list_blobs(path.strip("/"), token)
                try:
                    with fake.lock:
                        status, answer = fake.answer(self.command, path, body, token)
                except Refused as error:
                    status, headers = error.status, error.headers
                    one = {"code": error.code, "message": "no"}
                    answer = {"error": one, "errors": [one]}
                self._send(status, json.dumps(answer).encode(), {**headers, "content-type": "application/json"})
                return None

            def _list_blobs(self, container: str, token: str) -> None:
                xml = '<?xml version="1.0"?>'
                there = container in fake.containers and token == TOKEN
                name = f'<EnumerationResults ContainerName="{container}"><Blobs/><NextMarker/></EnumerationResults>'
                missing = "<Error><Code>ContainerNotFound</Code><Message>no</Message></Error>"
                headers = {"content-type": "application/xml"} | (
                    {} if there else {"x-ms-error-code": "ContainerNotFound"}
                )
                self._send(200 if there else 404, (xml + (name if there else missing)).encode(), headers)

            def _send(self, status: int, sent: bytes, headers: dict[str, str]) -> None:
                sent = b"" if status == 204 else sent
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(sent))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = _serve

            def log_message(self, *_: Any) -> None: ...

        return Handler

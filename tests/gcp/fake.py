"""Google Cloud's JSON interfaces as far as kitaru-gcp uses them, on the loopback; there is no emulator of them.

It answers as the documentation of Secret Manager v1, Cloud Logging v2, Artifact Registry v1, GKE v1 and Vertex AI v1
says, refuses requests without a token that it has given out, and keeps what it was asked.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Answer = tuple[int, dict[str, Any]]


class Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


class FakeGoogle:
    """The server. ``refuse``: answers every call with this status."""

    def __init__(self) -> None:
        self.tokens: set[str] = set()
        self.secrets: dict[str, dict[str, Any]] = {}
        self.logs: dict[str, list[dict[str, Any]]] = {}
        self.existing: set[str] = set()
        self.refuse: tuple[int, str] | None = None
        self.asked: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        """What a call gives. Raises Refused."""
        self.asked.append((method, path))
        if self.refuse is not None:
            raise Refused(*self.refuse)
        if path.startswith("v2/"):
            return self._logging(method, path, body)
        if "/secrets" in path:
            return self._secret_manager(method, path, query, body)
        if method == "GET" and path.removeprefix("v1/") in self.existing:
            return {"name": path}
        raise Refused(404, "NOT_FOUND")

    # -- Secret Manager -----------------------------------------------------------------------------------------------

    def _secret_manager(self, method: str, path: str, query: dict[str, str], body: Any) -> dict[str, Any]:
        if path.endswith("/secrets"):
            parent = path.removeprefix("v1/")
            if method == "GET":
                return self._page([one for name, one in self.secrets.items() if name.startswith(parent)], query)
            name = f"{parent}/{query['secretId']}"
            if name in self.secrets:
                raise Refused(409, "ALREADY_EXISTS")
            assert body["replication"] and re.fullmatch(r"[\w-]{1,255}", query["secretId"])
            self.secrets[name] = {**body, "name": name, "versions": []}
            return self.secrets[name]
        found = re.fullmatch(r"v1/(projects/[^/]+/secrets/[^/:]+)(?:/versions(?:/(\w+))?)?(?::(\w+))?", path)
        if found is None or found[1] not in self.secrets:
            raise Refused(404, "NOT_FOUND")
        secret, version, verb = self.secrets[found[1]], found[2], found[3]
        if method == "DELETE":
            return self.secrets.pop(found[1])
        if verb == "addVersion":
            name = f"{found[1]}/versions/{len(secret['versions']) + 1}"
            secret["versions"].append({"name": name, "state": "ENABLED", "data": body["payload"]["data"]})
            return {"name": name}
        if verb == "access" and version == "latest":
            if not secret["versions"]:
                raise Refused(404, "NOT_FOUND")
            return {"payload": {"data": secret["versions"][-1]["data"]}}
        if verb == "destroy":
            one = secret["versions"][int(version) - 1]
            one.update(state="DESTROYED", data=base64.b64encode(b"gone").decode())
            return one
        return {"versions": [one for one in secret["versions"] if one["state"] == "ENABLED"]}

    def _page(self, rows: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        labelled = [one for one in rows if "kitaru" in one.get("labels", {})] if query.get("filter") else rows
        start = int(query.get("pageToken") or 0)
        shown = [{key: value for key, value in one.items() if key != "versions"} for one in labelled[start : start + 3]]
        return {"secrets": shown, "nextPageToken": str(start + 3) if start + 3 < len(labelled) else ""}

    # -- Cloud Logging ------------------------------------------------------------------------------------------------

    def _logging(self, method: str, path: str, body: Any) -> dict[str, Any]:
        if path == "v2/entries:write":
            assert len(json.dumps(body)) < 10 * 1024 * 1024 and len(body["entries"]) <= 1000 * 1000
            log = self.logs.setdefault(body["logName"], [])
            known = {(one["timestamp"], one["insertId"]) for one in log}
            log += [one for one in body["entries"] if (one["timestamp"], one["insertId"]) not in known]
            return {}
        if path == "v2/entries:list":
            name = re.fullmatch(r'logName="(.*)"', body["filter"])
            assert name is not None
            rows = sorted(self.logs.get(name[1], ()), key=lambda one: (one["timestamp"], one["insertId"]))
            start = int(body.get("pageToken") or 0)
            page: dict[str, Any] = {"entries": rows[start : start + body["pageSize"]]}
            if start + body["pageSize"] < len(rows):
                page["nextPageToken"] = str(start + body["pageSize"])
            return page
        assert method == "DELETE"
        if self.logs.pop(path.removeprefix("v2/"), None) is None:
            raise Refused(404, "NOT_FOUND")
        return {}

    # -- HTTP ---------------------------------------------------------------------------------------------------------

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                data = self.rfile.read(int(self.headers.get("content-length") or 0))
                parts = urlsplit(self.path)
                try:
                    if parts.path == "/token":
                        answer = fake._token(parse_qs(data.decode()))
                    else:
                        if self.headers.get("authorization", "").removeprefix("Bearer ") not in fake.tokens:
                            raise Refused(401, "UNAUTHENTICATED")
                        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                        path = parts.path.lstrip("/")
                        if not path.startswith("v2/"):
                            path = unquote(path)
                        with fake.lock:
                            answer = fake.answer(self.command, path, query, json.loads(data) if data else None)
                    self._send(200, answer)
                except Refused as error:
                    self._send(error.status, {"error": {"code": error.status, "status": error.code, "message": "no"}})

            do_GET = do_POST = do_DELETE = _serve

            def _send(self, status: int, answer: dict[str, Any]) -> None:
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None: ...

        return Handler

    def _token(self, form: dict[str, list[str]]) -> dict[str, Any]:
        claims = form["assertion"][0].split(".")[1]
        told = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        if told["iss"].startswith("revoked"):
            raise Refused(400, "INVALID_ARGUMENT")
        token = f"token-{secrets.token_hex(8)}"
        self.tokens.add(token)
        return {"access_token": token, "expires_in": 3600, "token_type": "Bearer"}

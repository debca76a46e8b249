"""Signing in to a registry: what is no registry, and what must not get the password."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from kitaru.errors import KitaruBackendError
from kitaru.stack.registries import sign_in

PASSWORD = "hunter2-canary"


class Settings:
    uri = "host.example/flows"
    endpoint_url: str | None = None

    def __init__(self, registry_url: str | None) -> None:
        self.registry_url = registry_url


@pytest.fixture
def odd() -> Iterator[tuple[str, list[str]]]:
    """A server that answers each path of ``/<status>/v2/``, and the passwords' way it saw."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            status = self.path.split("/")[1]
            self.send_response(int(status) if status.isdigit() else 401)
            if status == "302":
                self.send_header("Location", "/stolen")
            if status == "nowhere":
                self.send_header("WWW-Authenticate", 'Bearer service="x"')
            if status == "file":
                self.send_header("WWW-Authenticate", 'Bearer realm="file:///etc/passwd"')
            if status == "empty":
                self.send_header("WWW-Authenticate", f'Bearer realm="http://{self.headers["Host"]}/200/token"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("302", "answered 302 where a registry answers 200"),
        ("404", "answered 404 where a registry answers 200"),
        ("401", r"refused the credentials \(401\)"),
        ("403", r"refused the credentials \(403\)"),
        ("nowhere", "wants the password sent to nowhere"),
        ("file", "wants the password sent to file:///etc/passwd"),
        ("empty", "gave no token"),
    ],
)
def test_what_is_told(odd: tuple[str, list[str]], path: str, told: str) -> None:
    url, asked = odd
    with pytest.raises(KitaruBackendError, match=told) as caught:
        sign_in(Settings(f"{url}/{path}"), "user", PASSWORD)
    assert PASSWORD not in str(caught.value)
    assert "/stolen" not in asked, "a redirect is not followed with the password"
    sign_in(Settings(f"{url}/200/"), "user", PASSWORD)


def test_which_address_is_asked(odd: tuple[str, list[str]]) -> None:
    _, asked = odd
    settings = Settings(None)
    settings.uri = "127.0.0.1:9/flows"
    with pytest.raises(KitaruBackendError, match=r"registry 127\.0\.0\.1:9 failed: no answer from 127\.0\.0\.1:9"):
        sign_in(settings, "user", PASSWORD)
    settings.endpoint_url = "http://127.0.0.1:9"
    sign_in(settings, "user", PASSWORD)
    assert asked == []

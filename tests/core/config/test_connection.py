"""Which server: precedence, what is checked on use, and connect()."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

import kitaru
from kitaru.config import (
    configure,
    forget_login,
    login_to_server,
    reset_configuration,
    resolve,
    resolve_connection_config,
)
from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError

TOKEN = "a-token-that-nobody-may-see"


class Server:
    """A server that answers every request with one status and remembers what it was asked."""

    def __init__(self) -> None:
        self.status = 200
        self.authorizations: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.authorizations.append(self.headers["Authorization"])
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", f"{outer.url}/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.http = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever)
        self.thread.start()

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    reset_configuration()


def login_of(directory: Path) -> dict[str, Any] | None:
    file = directory / "kitaru.yaml"
    return yaml.safe_load(file.read_text()).get("login") if file.exists() else None


def test_fields_are_resolved_one_by_one(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_connection_config() == resolve_connection_config(validate_for_use=True)
    kitaru.connect(f" {server.url}/ ", api_key=TOKEN, project="here")
    found = resolve_connection_config(validate_for_use=True)
    assert (found.server_url, found.auth_token, found.project) == (server.url, TOKEN, "here")
    configure(project=None)
    assert resolve_connection_config().project is None, "no login names a project"
    monkeypatch.setenv("KITARU_SERVER_URL", "https://env.example.org/")
    found = resolve_connection_config(project="given")
    assert (found.server_url, found.auth_token, found.project) == ("https://env.example.org", TOKEN, "given")
    monkeypatch.setenv("KITARU_AUTH_TOKEN", "from-env")
    assert resolve_connection_config().auth_token == "from-env"
    assert resolve_connection_config(auth_token="given").auth_token == "given"
    monkeypatch.setenv("KITARU_SERVER_URL", " ")
    assert resolve_connection_config().server_url == server.url


def test_half_a_connection_is_refused_on_use_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITARU_SERVER_URL", "https://env.example.org")
    assert resolve_connection_config().server_url == "https://env.example.org"
    for use in (lambda: resolve_connection_config(validate_for_use=True), kitaru.KitaruClient):
        with pytest.raises(KitaruUsageError, match=r"no token.*KITARU_AUTH_TOKEN"):
            use()
    monkeypatch.delenv("KITARU_SERVER_URL")
    monkeypatch.setenv("KITARU_AUTH_TOKEN", TOKEN)
    with pytest.raises(KitaruUsageError, match=r"no server.*KITARU_SERVER_URL") as raised:
        kitaru.KitaruClient()
    assert TOKEN not in str(raised.value)
    monkeypatch.setenv("KITARU_JOURNAL_URL", "memory:")
    kitaru.KitaruClient()


def test_the_journal_of_a_login_and_what_stands_above_it(
    server: Server, monkeypatch: pytest.MonkeyPatch, own_store: Path
) -> None:
    kitaru.connect(server.url, api_key=TOKEN)
    assert resolve().journal_url == server.url
    assert TOKEN not in repr(resolve()) + repr(resolve_connection_config())
    with pytest.raises(KitaruFeatureNotAvailableError, match="Kitaru server"):
        kitaru.KitaruClient()
    monkeypatch.setenv("KITARU_JOURNAL_URL", "memory:")
    assert resolve().journal_url == "memory:"
    monkeypatch.delenv("KITARU_JOURNAL_URL")
    assert forget_login() and not forget_login()
    assert resolve().journal_url == f"sqlite:///{own_store}/kitaru.db"


def test_connect_keeps_what_the_server_has_accepted(server: Server, own_store: Path) -> None:
    kitaru.connect(server.url, api_key=f" {TOKEN} ")
    assert login_of(own_store) == {"server_url": server.url, "auth_token": TOKEN}
    assert (own_store / "kitaru.yaml").stat().st_mode & 0o777 == 0o600
    kitaru.connect(server.url, no_verify_ssl=True)
    assert login_of(own_store) == {"server_url": server.url, "auth_token": TOKEN, "verify_ssl": False}
    kitaru.connect(server.url, refresh=True)
    assert login_of(own_store) == {"server_url": server.url}
    assert server.authorizations == [f"Bearer {TOKEN}", f"Bearer {TOKEN}", None]


def test_a_kept_token_goes_to_no_other_server(server: Server, own_store: Path) -> None:
    kitaru.connect(server.url, api_key=TOKEN)
    other = Server()
    try:
        kitaru.connect(other.url)
        assert other.authorizations == [None]
    finally:
        other.stop()


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "refuses the token"), (403, "refuses the token"), (500, "status 500"), (302, "redirects")],
)
def test_a_server_that_will_not_is_no_login(server: Server, own_store: Path, status: int, words: str) -> None:
    server.status = status
    with pytest.raises(KitaruBackendError, match=words) as raised:
        kitaru.connect(server.url, api_key=TOKEN)
    assert TOKEN not in str(raised.value)
    assert login_of(own_store) is None
    assert len(server.authorizations) == 1, "a token does not follow a redirect"


def test_a_server_that_is_not_there(server: Server, own_store: Path) -> None:
    server.http.server_close()
    with pytest.raises(KitaruBackendError, match=f"{server.url} cannot be reached"):
        kitaru.connect(server.url, timeout=2)
    with pytest.raises(KitaruUsageError, match="a token cannot have") as raised:
        kitaru.connect(server.url, api_key="bad\ntoken")
    assert "bad" not in str(raised.value)
    assert login_of(own_store) is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"server_url": " "}, "server_url"),
        ({"server_url": "kitaru.example.org"}, "not a server's address"),
        ({"server_url": "ftp://host"}, "not a server's address"),
        ({"server_url": "https://"}, "not a server's address"),
        ({"server_url": "https://host:port"}, "not a server's address"),
        ({"server_url": "https://user:hidden@host"}, "user name or password"),
        ({"server_url": "https://host?token=hidden"}, "query"),
        ({"server_url": 3}, "server_url"),
        ({"api_key": " "}, "api_key"),
        ({"project": " "}, "project"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": "soon"}, "timeout"),
        ({"ssl_ca_cert": "/nowhere/ca.pem"}, "no such file"),
        ({"cloud_api_url": "nowhere"}, "cloud_api_url"),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(KitaruUsageError, match=words) as raised:
        kitaru.connect(**{"server_url": "http://127.0.0.1:9", **arguments})
    assert "hidden" not in str(raised.value)


def test_what_people_type(server: Server, own_store: Path) -> None:
    login_to_server(server.url, api_key=TOKEN)
    assert login_of(own_store) is not None
    for host in ("kitaru.example.org", "localhost", "127.0.0.1:8383", "host/path"):
        with pytest.raises(KitaruUsageError, match="Write the whole address"):
            login_to_server(host)
    with pytest.raises(KitaruFeatureNotAvailableError, match="workspace"):
        login_to_server("my-workspace")
    with pytest.raises(KitaruFeatureNotAvailableError, match="managed servers"):
        kitaru.connect(server.url, cloud_api_url="https://cloud.example.org")


def test_a_login_of_the_wrong_kind_is_explained_without_its_token(own_store: Path) -> None:
    own_store.mkdir()
    (own_store / "kitaru.yaml").write_text(f"login: {{server_url: nowhere, auth_token: {TOKEN}}}\n")
    with pytest.raises(KitaruUsageError, match="connect anew") as raised:
        resolve()
    assert TOKEN not in str(raised.value) and "kitaru.yaml" in str(raised.value)

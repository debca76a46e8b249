"""A real container registry on the loopback: Debian's ``docker-registry``; without it, what needs it is skipped.

``apt-get install docker-registry`` brings it; ``.ci/run`` does that.
"""

from __future__ import annotations

import base64
import json
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from tests.emulators.processes import server

_SERVICE = "registry"
_ISSUER = "tests"


@contextmanager
def registry_with_password(folder: Path, user: str, password: str) -> Iterator[str]:
    """The address of one that asks for a user and a password, as ECR does."""
    import bcrypt

    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()
    (folder / "htpasswd").write_text(f"{user}:{hashed}\n")
    with _registry(folder, {"htpasswd": {"realm": "tests", "path": str(folder / "htpasswd")}}) as url:
        yield url


@contextmanager
def registry_with_tokens(folder: Path, accepts: Callable[[str, str], bool]) -> Iterator[str]:
    """The address of one that sends clients to a token service, as Artifact Registry does."""
    tokens = _TokenService(folder / "cert.pem", accepts)
    auth = {
        "realm": tokens.url,
        "service": _SERVICE,
        "issuer": _ISSUER,
        "rootcertbundle": str(folder / "cert.pem"),
    }
    try:
        with _registry(folder, {"token": auth}) as url:
            yield url
    finally:
        tokens.close()


@contextmanager
def _registry(folder: Path, auth: dict[str, Any]) -> Iterator[str]:
    program = shutil.which("docker-registry")
    if program is None:
        pytest.skip("no container registry here: `apt-get install docker-registry`")
    config = folder / "registry.yml"

    def command(port: int) -> list[str]:
        settings = {
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
            "http": {"addr": f"127.0.0.1:{port}"},
            "auth": auth,
        }
        config.write_text(yaml.safe_dump(settings))
        return [program, "serve", str(config)]

    with server(command, folder / "log") as port:
        yield f"http://127.0.0.1:{port}"


class _TokenService:
    """Signs tokens for whoever is accepted: https://distribution.github.io/distribution/spec/auth/jwt/"""

    def __init__(self, certificate: Path, accepts: Callable[[str, str], bool]) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.hazmat.primitives.asymmetric import rsa

        self._key = rsa.generate_private_key(65537, 2048)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, _ISSUER)])
        now = datetime.now(UTC)
        signed = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .sign(self._key, hashes.SHA256())
        )
        certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        self._chain = [base64.b64encode(signed.public_bytes(serialization.Encoding.DER)).decode()]
        self._accepts = accepts
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/token"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _token(self, user: str) -> str:
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import padding

        now = int(time.time())
        times = {"iat": now, "nbf": now - 60, "exp": now + 300}
        claims = {"iss": _ISSUER, "sub": user, "aud": _SERVICE, **times, "jti": secrets.token_hex(8), "access": []}
        parts = [{"typ": "JWT", "alg": "RS256", "x5c": self._chain}, claims]
        signing = ".".join(_encoded(json.dumps(one).encode()) for one in parts)
        return f"{signing}.{_encoded(self._key.sign(signing.encode(), padding.PKCS1v15(), hashes.SHA256()))}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                scheme, _, value = self.headers.get("Authorization", "").partition(" ")
                user, _, password = base64.b64decode(value).decode().partition(":")
                asked = parse_qs(urlsplit(self.path).query)
                allowed = scheme == "Basic" and asked["service"] == [_SERVICE] and service._accepts(user, password)
                body = json.dumps({"token": service._token(user)} if allowed else {"errors": []}).encode()
                self.send_response(200 if allowed else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        return Handler


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

"""What every artifact store must stand: odd keys, many writers, processes that die, access that fails."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kitaru.errors import KitaruArtifactNotFoundError, KitaruBackendError
from kitaru.stack.components import ArtifactStore
from kitaru.testing.conformance.flavors import FlavorSettings

#: Keys that are allowed, and that a careless store would confuse, encode twice, or take for a path of its own.
ODD_KEYS = (
    "spaces in a name",
    " leading and trailing ",
    "percent%2Fencoded",
    "percent%25twice",
    "plus+plus",
    "question?mark=1&more",
    "hash#fragment",
    "quotes'\"`",
    "braces{0}[1]*?",
    "colon:semicolon;",
    "tilde~/$HOME/%HOME%",
    "..hidden/...dots",
    "upper/UPPER",
    "upper/upper",
    "über/中文/😀",
    "new\nline\ttab",
    "trailing.dot.",
    "CON/aux/nul",
    "long/" + "n" * 200 + "/" + "é" * 60,
)
_BOUND_SECONDS = 60.0
_LARGE_BYTES = 24 << 20
_WRITE_SLOWLY = """
import io, json, sys, time
from kitaru.plugins.manager import plugin_manager

class Slow(io.RawIOBase):
    def __init__(self):
        self.sent = 0
    def readable(self):
        return True
    def read(self, size=-1):
        if self.sent > 12 << 20:
            print("in the middle", flush=True)
            time.sleep(600)
        self.sent += 1 << 20
        return b"h" * (1 << 20)

kind, flavor, settings, key = json.loads(sys.stdin.read())
plugin_manager().flavor(kind, flavor).build(settings).put(key, Slow())
"""
_LARGE_IN_A_PROCESS = """
import json, resource, sys
from kitaru.plugins.manager import plugin_manager

SIZE = 200

class Source:
    left = SIZE
    def read(self, size=-1):
        self.left -= 1
        return b"x" * (1 << 20) if self.left >= 0 else b""

def peak():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most >> 20 if sys.platform == "darwin" else most >> 10

kind, flavor, settings, key = json.loads(sys.stdin.read())
store = plugin_manager().flavor(kind, flavor).build(settings)
store.put(key, b"x" * (1 << 20))
assert len(store.get(key)) == 1 << 20
before = peak()
store.put(key, Source())
size = 0
with store.open(key) as file:
    while chunk := file.read(1 << 20):
        size += len(chunk)
assert size == SIZE << 20, size
print(peak() - before)
"""
_LARGE_EXTRA_MB_MAX = 64


class _Pattern(io.RawIOBase):
    """So many bytes that are nowhere all at once."""

    def __init__(self, size: int) -> None:
        self._left, self._digest = size, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        count = min(self._left, 1 << 20, size if size > 0 else 1 << 20)
        chunk = (self._left.to_bytes(8, "big") * (count // 8 + 1))[:count]
        self._left -= count
        self._digest.update(chunk)
        return chunk

    @property
    def digest(self) -> bytes:
        """Of all that was read."""
        return self._digest.digest()


class ArtifactStoreTrouble:
    """Needs ``artifact_store``; ``flavor_settings`` and ``unreachable_artifact_store`` are optional."""

    @pytest.fixture
    def flavor_settings(self) -> FlavorSettings | None:
        """How another process makes the same store: with None, what needs one is skipped."""
        return None

    @pytest.fixture
    def unreachable_artifact_store(self) -> ArtifactStore | None:
        """A store whose service cannot be reached or refuses the credentials; with None, that is skipped."""
        return None

    @pytest.mark.parametrize("name", ODD_KEYS, ids=lambda name: name[:24].encode("ascii", "replace").decode().strip())
    def test_odd_keys_are_keys_like_others(self, artifact_store: ArtifactStore, name: str) -> None:
        key = f"conformance/{name}"
        assert not artifact_store.exists(key)
        artifact_store.put(key, name.encode())
        assert artifact_store.exists(key)
        assert artifact_store.get(key) == name.encode()
        assert list(artifact_store.list("conformance/")) == [key]
        artifact_store.delete(key)
        assert not artifact_store.exists(key)

    def test_odd_keys_are_all_different(self, artifact_store: ArtifactStore) -> None:
        keys = [f"conformance/{name}" for name in ODD_KEYS]
        for key in keys:
            artifact_store.put(key, key.encode())
        assert [artifact_store.get(key) for key in keys] == [key.encode() for key in keys]
        assert list(artifact_store.list("conformance/")) == sorted(keys)

    def test_many_small_puts_at_once_lose_nothing(self, artifact_store: ArtifactStore) -> None:
        keys = [f"conformance/small/{number:02}" for number in range(50)]
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda key: artifact_store.put(key, key.encode()), keys))
            assert list(pool.map(artifact_store.get, keys)) == [key.encode() for key in keys]
        assert list(artifact_store.list("conformance/small/")) == keys

    def test_the_same_content_put_by_many_at_once_is_there_once(self, artifact_store: ArtifactStore) -> None:
        data = b"equal" * 20_000
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: artifact_store.put("conformance/equal", data), range(16)))
        assert artifact_store.get("conformance/equal") == data
        assert list(artifact_store.list("conformance/")) == ["conformance/equal"]

    def test_a_large_value_goes_in_and_out_as_a_stream(self, artifact_store: ArtifactStore) -> None:
        source: Any = _Pattern(_LARGE_BYTES)
        artifact_store.put("conformance/large", source)
        found, size = hashlib.sha256(), 0
        with artifact_store.open("conformance/large") as file:
            while chunk := file.read(1 << 20):
                assert len(chunk) <= 1 << 20
                found.update(chunk)
                size += len(chunk)
        assert (size, found.digest()) == (_LARGE_BYTES, source.digest)

    @pytest.mark.timeout(300)
    def test_200_mb_go_in_and_out_within_64_mb(
        self, artifact_store: ArtifactStore, flavor_settings: FlavorSettings | None
    ) -> None:
        """In a process of its own: what it needs beyond what it needed for the first small value."""
        if flavor_settings is None:
            pytest.skip("no `flavor_settings`: another process cannot make this store")
        one = flavor_settings
        told = json.dumps([one.kind, one.flavor, dict(one.settings), "conformance/very-large"])
        command = [sys.executable, "-c", _LARGE_IN_A_PROCESS]
        done = subprocess.run(command, input=told, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr
        assert int(done.stdout) < _LARGE_EXTRA_MB_MAX
        artifact_store.delete("conformance/very-large")

    def test_a_delete_while_others_read_is_all_or_nothing(self, artifact_store: ArtifactStore) -> None:
        data = b"whole" * 50_000
        seen: list[bytes] = []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                try:
                    seen.append(artifact_store.get("conformance/coming-and-going"))
                except KitaruArtifactNotFoundError:
                    continue

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(10):
            artifact_store.put("conformance/coming-and-going", data)
            artifact_store.delete("conformance/coming-and-going")
        stop.set()
        reader.join()
        assert set(seen) <= {data}

    def test_a_writer_that_is_killed_in_the_middle_leaves_nothing(
        self, artifact_store: ArtifactStore, flavor_settings: FlavorSettings | None
    ) -> None:
        if flavor_settings is None:
            pytest.skip("no `flavor_settings`: another process cannot make this store")
        artifact_store.put("conformance/before", b"before")
        for key in ("conformance/before", "conformance/new"):
            with _writer(flavor_settings, key) as process:
                assert process.stdout is not None
                assert process.stdout.readline().strip() == "in the middle"
                process.kill()
        assert artifact_store.get("conformance/before") == b"before"
        assert not artifact_store.exists("conformance/new")
        assert list(artifact_store.list("conformance/")) == ["conformance/before"]
        artifact_store.put("conformance/new", b"now")
        assert artifact_store.get("conformance/new") == b"now"

    def test_access_that_fails_is_said_in_time_and_without_secrets(
        self, unreachable_artifact_store: ArtifactStore | None, flavor_settings: FlavorSettings | None
    ) -> None:
        store = unreachable_artifact_store
        if store is None:
            pytest.skip("no `unreachable_artifact_store`")
        uses = (
            lambda: store.put("conformance/value", b"x"),
            lambda: store.put("conformance/value", io.BytesIO(b"x" * (9 << 20))),
            lambda: store.get("conformance/value"),
            lambda: store.open("conformance/value"),
            lambda: store.exists("conformance/value"),
            lambda: store.delete("conformance/value"),
            lambda: list(store.list("conformance/")),
        )
        for use in uses:
            begun = time.monotonic()
            with pytest.raises(KitaruBackendError) as caught:
                use()
            assert time.monotonic() - begun < _BOUND_SECONDS
            for secret in flavor_settings.secrets if flavor_settings is not None else ():
                assert secret not in str(caught.value)


def _writer(flavor: FlavorSettings, key: str) -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITE_SLOWLY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    process.stdin.write(json.dumps([flavor.kind, flavor.flavor, dict(flavor.settings), key]))
    process.stdin.close()
    process.stdin = None
    return process

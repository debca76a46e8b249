"""The local artifact store beyond its contract: modes, crashes, speed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru_local.artifact_store import LocalArtifactStore
from kitaru_local.config import LocalArtifactStoreConfig


def store_at(folder: Path, *, sync: bool = True) -> LocalArtifactStore:
    return LocalArtifactStore(LocalArtifactStoreConfig(f"file://{folder}", sync))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_making_one_touches_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path / "artifacts")
    assert not store.exists("a")
    assert list(store.list()) == []
    assert not (tmp_path / "artifacts").exists()


def test_only_the_owner_may_read(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store_at(tmp_path / "artifacts").put("sha256/value", b"x")
    finally:
        os.umask(before)
    assert mode(tmp_path / "artifacts") == mode(tmp_path / "artifacts" / "sha256") == 0o700
    assert mode(tmp_path / "artifacts" / "sha256" / "value") == 0o600


def test_the_same_content_again_is_not_written_but_young_again(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put("value", b"content")
    os.utime(tmp_path / "value", (1000, 1000))
    before = (tmp_path / "value").stat()
    store.put("value", b"content")
    after = (tmp_path / "value").stat()
    assert before.st_ino == after.st_ino and after.st_mtime > 1_000_000


def test_only_what_nobody_put_lately_is_stale(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put("value", b"content")
    assert not store.delete_stale("value", 60) and not store.delete_stale("missing", 60)
    os.utime(tmp_path / "value", (1000, 1000))
    store.put("value", b"content")
    assert not store.delete_stale("value", 60)
    os.utime(tmp_path / "value", (1000, 1000))
    assert store.delete_stale("value", 60) and not store.exists("value")
    assert list(store.list("")) == []


def test_bytes_that_a_crash_damaged_are_put_again(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    store.put("value", b"content")
    (tmp_path / "value").write_bytes(b"\0" * 7)
    store.put("value", b"content")
    assert store.get("value") == b"content"


def test_what_a_killed_put_left_is_no_artifact(tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from kitaru_local.artifact_store import LocalArtifactStore\n"
        "from kitaru_local.config import LocalArtifactStoreConfig\n"
        "class Killer:\n"
        "    reads = 0\n"
        "    def read(self, size):\n"
        "        self.reads += 1\n"
        "        if self.reads == 3: os.kill(os.getpid(), 9)\n"
        "        return b'x' * size\n"
        "LocalArtifactStore(LocalArtifactStoreConfig(sys.argv[1])).put('folder/value', Killer())\n"
    )
    done = subprocess.run([sys.executable, "-c", code, f"file://{tmp_path}"], check=False)
    assert done.returncode == -9
    assert len(list((tmp_path / "folder").iterdir())) == 1
    store = store_at(tmp_path)
    assert list(store.list()) == []
    assert not store.exists("folder/value")
    store.put("folder/value", b"later")
    assert list(store.list()) == ["folder/value"]


def test_reserved_names(tmp_path: Path) -> None:
    with pytest.raises(KitaruUsageError, match="reserved"):
        store_at(tmp_path).put("a/.kitaru-partial-1", b"x")


def test_a_prefix_leads_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("secret")
    store = store_at(tmp_path / "artifacts")
    store.put("inside", b"x")
    assert list(store.list("../")) == []
    assert list(store.list("/")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(KitaruBackendError, match="Permission denied"):
        store_at(tmp_path).put("value", b"x")


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(KitaruBackendError, match="artifact 'value/below' cannot be written: Not a directory"):
        store_at(tmp_path / "file").put("value/below", b"x")
    with pytest.raises(KitaruBackendError, match="name too long"):
        store_at(tmp_path).put("x" * 300, b"x")


@pytest.mark.parametrize(
    "uri", ["", "file://", "file:///", "/plain/path", "s3://bucket", "file://host/path", "file:relative"]
)
def test_a_uri_that_names_no_directory(uri: str) -> None:
    with pytest.raises(ValueError, match="file:///path"):
        LocalArtifactStoreConfig(uri)


def test_a_uri_may_be_quoted(tmp_path: Path) -> None:
    store = LocalArtifactStore(LocalArtifactStoreConfig(f"file://{tmp_path}/with%20space%25", sync=False))
    store.put("value", b"x")
    assert (tmp_path / "with space%" / "value").read_bytes() == b"x"


def test_large_values_are_written_about_as_fast_as_files(tmp_path: Path) -> None:
    values = [os.urandom(1_000_000) for _ in range(20)]
    store = store_at(tmp_path / "artifacts", sync=False)
    raw = tmp_path / "raw"
    raw.mkdir()
    ratios = []
    for attempt in range(3):
        before = time.perf_counter()
        for number, value in enumerate(values):
            (raw / f"{attempt}-{number}").write_bytes(value)
        plain = time.perf_counter() - before
        before = time.perf_counter()
        for number, value in enumerate(values):
            store.put(f"{attempt}/{number}", value)
        ratios.append((time.perf_counter() - before) / plain)
    assert min(ratios) < 4

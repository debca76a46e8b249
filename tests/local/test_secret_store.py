"""What the local secret store promises beyond the conformance class: encryption, and whose files these are."""

from __future__ import annotations

import json
import multiprocessing
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import pytest

from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError
from kitaru_local.config import LocalSecretStoreConfig
from kitaru_local.secret_keys import FILE_NAME, make_key, move_key, where_kept
from kitaru_local.secret_store import LocalSecretStore

CANARY = "canary-7f3a-value"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


@pytest.fixture
def store(directory: Path) -> LocalSecretStore:
    return LocalSecretStore(LocalSecretStoreConfig(str(directory)))


class KeyringInMemory(keyring.backend.KeyringBackend):
    """A keyring as an operating system would have it."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture
def system_keyring() -> Iterator[KeyringInMemory]:
    before, mine = keyring.get_keyring(), KeyringInMemory()
    keyring.set_keyring(mine)
    yield mine
    keyring.set_keyring(before)


def everything_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


class TestAtRest:
    def test_no_value_and_no_key_name_lies_in_the_files(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("openai", {"OPENAI_API_KEY": CANARY})
        assert CANARY.encode() not in everything_in(directory)
        assert b"OPENAI_API_KEY" not in everything_in(directory)
        assert store.get("openai") == {"OPENAI_API_KEY": CANARY}

    def test_files_are_their_owners_only(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("openai", {"KEY": CANARY})
        directory.chmod(0o755)
        store.set("openai", {"KEY": CANARY})
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {0o600}
        assert sorted(path.name for path in directory.iterdir()) == [FILE_NAME, "openai.json"]

    def test_the_same_values_never_look_the_same_twice(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("openai", {"KEY": CANARY})
        first = (directory / "openai.json").read_bytes()
        store.set("openai", {"KEY": CANARY})
        assert (directory / "openai.json").read_bytes() != first

    def test_a_file_put_in_the_place_of_another_is_refused(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("test", {"URL": "test"})
        store.set("production", {"URL": "production"})
        (directory / "production.json").write_bytes((directory / "test.json").read_bytes())
        with pytest.raises(KitaruBackendError, match="Set `production` anew"):
            store.get("production")

    @pytest.mark.parametrize("content", ["", "[]", "{}x", '{"encrypted": "aes-256-gcm"}', '{"K": 1}'])
    def test_a_damaged_file_is_refused_and_can_be_set_anew(
        self, store: LocalSecretStore, directory: Path, content: str
    ) -> None:
        store.set("openai", {"KEY": CANARY})
        (directory / "openai.json").write_text(content)
        with pytest.raises(KitaruBackendError) as caught:
            store.get("openai")
        assert "Set `openai` anew" in str(caught.value)
        store.set("openai", {"KEY": "new"})
        assert store.get("openai") == {"KEY": "new"}

    def test_a_changed_byte_is_noticed(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("openai", {"KEY": CANARY})
        path = directory / "openai.json"
        document = json.loads(path.read_bytes())
        for place in range(0, len(document["data"]) - 4, 7):
            other = "A" if document["data"][place] != "A" else "B"
            changed = document["data"][:place] + other + document["data"][place + 1 :]
            path.write_text(json.dumps({**document, "data": changed}))
            with pytest.raises(KitaruBackendError, match="anew"):
                store.get("openai")

    def test_a_plain_file_of_an_earlier_version_is_read_and_then_encrypted(
        self, store: LocalSecretStore, directory: Path
    ) -> None:
        directory.mkdir()
        (directory / "openai.json").write_text(json.dumps({"KEY": CANARY}))
        assert store.get("openai") == {"KEY": CANARY}
        store.set("openai", store.get("openai"))
        assert CANARY.encode() not in everything_in(directory)
        assert store.get("openai") == {"KEY": CANARY}


class TestItsKey:
    def test_a_key_that_is_gone_is_never_replaced(self, store: LocalSecretStore, directory: Path) -> None:
        store.set("openai", {"KEY": CANARY})
        key = (directory / FILE_NAME).read_bytes()
        (directory / FILE_NAME).unlink()
        for use in (lambda: store.get("openai"), lambda: store.set("other", {"KEY": "x"})):
            with pytest.raises(KitaruBackendError, match="from a backup"):
                use()
        (directory / FILE_NAME).write_bytes(key)
        assert store.get("openai") == {"KEY": CANARY}
        assert store.list() == ["openai"]

    @pytest.mark.parametrize("content", ["", "{}", '{"version": 2, "kept": "file", "key": "AAAA"}', "null", "AAAA"])
    def test_a_damaged_key_loses_nothing(self, store: LocalSecretStore, directory: Path, content: str) -> None:
        store.set("openai", {"KEY": CANARY})
        (directory / FILE_NAME).write_text(content)
        with pytest.raises(KitaruBackendError, match="from a backup"):
            store.set("openai", {"KEY": "new"})

    def test_processes_that_begin_together_make_one_key(self, directory: Path) -> None:
        directory.mkdir()
        context = multiprocessing.get_context("spawn")
        with context.Pool(4) as pool:
            keys = pool.map(make_key, [directory] * 8)
        assert len(set(keys)) == 1

    def test_moves_into_the_keyring_and_back(
        self, store: LocalSecretStore, directory: Path, system_keyring: KeyringInMemory
    ) -> None:
        store.set("openai", {"KEY": CANARY})
        in_file = json.loads((directory / FILE_NAME).read_bytes())["key"]
        move_key(directory, "keyring")
        move_key(directory, "keyring")
        assert where_kept(directory) == "keyring"
        assert in_file.encode() not in everything_in(directory)
        assert list(system_keyring.kept.values()) == [in_file]
        assert store.get("openai") == {"KEY": CANARY}
        store.set("other", {"KEY": "more"})
        move_key(directory, "file")
        assert system_keyring.kept == {}
        assert store.get("openai") == {"KEY": CANARY}
        assert store.get("other") == {"KEY": "more"}

    def test_a_keyring_that_forgot_the_key_is_said(
        self, store: LocalSecretStore, directory: Path, system_keyring: KeyringInMemory
    ) -> None:
        store.set("openai", {"KEY": CANARY})
        move_key(directory, "keyring")
        system_keyring.kept.clear()
        with pytest.raises(KitaruBackendError, match="the keyring does not have it"):
            store.get("openai")

    def test_without_a_keyring_the_key_stays_in_its_file(self, store: LocalSecretStore, directory: Path) -> None:
        import keyring.backends.fail

        store.set("openai", {"KEY": CANARY})
        before = keyring.get_keyring()
        keyring.set_keyring(keyring.backends.fail.Keyring())
        try:
            with pytest.raises(KitaruFeatureNotAvailableError, match="no keyring"):
                move_key(directory, "keyring")
        finally:
            keyring.set_keyring(before)
        assert where_kept(directory) == "file"
        assert store.get("openai") == {"KEY": CANARY}


class TestItsCommand:
    @staticmethod
    def kitaru(directory: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "kitaru.cli.main", *arguments],
            env={**os.environ, "KITARU_CONFIG_PATH": str(directory)},
            capture_output=True,
            text=True,
            timeout=60,
        )

    def test_says_where_the_key_is_and_never_shows_it(self, tmp_path: Path) -> None:
        assert "no key yet" in self.kitaru(tmp_path, "secret-key", "show").stdout
        done = self.kitaru(tmp_path, "secret-key", "move", "file")
        assert done.returncode == 0, done.stderr
        shown = self.kitaru(tmp_path, "secret-key", "show").stdout
        assert str(tmp_path / "secrets" / FILE_NAME) in shown
        assert json.loads((tmp_path / "secrets" / FILE_NAME).read_bytes())["key"] not in shown

    def test_its_errors_are_errors_of_the_command_line(self, tmp_path: Path) -> None:
        (tmp_path / "secrets").mkdir()
        (tmp_path / "secrets" / FILE_NAME).write_text("damaged")
        done = self.kitaru(tmp_path, "secret-key", "move", "keyring")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: the key of the local secrets")
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("values", [{"": "x"}, {"1A": "x"}, {"A": ""}, {"A": 1}, {"A B": "x"}])
def test_refuses_what_is_no_secret(store: LocalSecretStore, values: dict[str, Any]) -> None:
    with pytest.raises(KitaruUsageError):
        store.set("openai", values)
    assert store.list() == []

"""The configuration file: atomic, locked, kept when it is broken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import kitaru
from kitaru.config import (
    files,
    register_model_alias,
    reset_global_log_store,
    resolve_log_store,
    resolve_model_selection,
    set_global_log_store,
)
from kitaru.errors import KitaruConfigError, KitaruUsageError


def write(directory: Path, text: str) -> Path:
    directory.mkdir(exist_ok=True)
    file = directory / "kitaru.yaml"
    file.write_text(text)
    return file


def test_reading_makes_nothing_and_writing_makes_a_private_file(own_store: Path) -> None:
    assert files.read(own_store) == {}
    assert not own_store.exists()
    files.update(own_store, lambda content: content.update(mine={"a": 1}))
    assert files.read(own_store) == {"version": 1, "mine": {"a": 1}}
    assert (own_store / "kitaru.yaml").stat().st_mode & 0o777 == 0o600
    assert own_store.stat().st_mode & 0o777 == 0o700
    assert sorted(os.listdir(own_store)) == ["kitaru.yaml", "kitaru.yaml.lock"]


@pytest.mark.parametrize("text", ["", "\n", "# nothing yet\n", "version: 1\n"])
def test_an_empty_file_is_no_setting(own_store: Path, text: str) -> None:
    write(own_store, text)
    assert resolve_log_store().source == "default"


def test_other_sections_stay_whoever_wrote_them(own_store: Path) -> None:
    write(
        own_store,
        "version: 1\nfrom_the_future: {a: [1, 2], b: 2026-01-02}\nlog_store: {backend: otel, endpoint: http://h}\n",
    )
    register_model_alias("fast", model="openai/gpt-5-mini")
    reset_global_log_store()
    content = yaml.safe_load((own_store / "kitaru.yaml").read_text())
    assert set(content) == {"version", "from_the_future", "model_registry"}
    assert str(content["from_the_future"]["b"]) == "2026-01-02"


BROKEN = {
    "version: [1\nlogin: {auth_token: sk-very-secret": "not valid YAML",
    "- a\n- b\n": "not a mapping",
    "just text": "not a mapping",
    "version: two\n": "`version`",
    "version: true\n": "`version`",
    "version: 99\n": "newer Kitaru",
    "date: 2026-99-99\n": "cannot represent",
    "\x00": "not valid YAML",
}


@pytest.mark.parametrize("text", BROKEN, ids=BROKEN.values())
def test_a_broken_file_is_named_explained_and_never_touched(own_store: Path, text: str) -> None:
    file = write(own_store, text)
    for use in (
        resolve_log_store,
        resolve_model_selection,
        reset_global_log_store,
        lambda: register_model_alias("fast", model="m"),
        lambda: set_global_log_store("otel", endpoint="http://host"),
        kitaru.KitaruClient,
    ):
        with pytest.raises(KitaruConfigError) as raised:
            use()
        assert str(file) in str(raised.value) and BROKEN[text] in str(raised.value)
        assert "sk-very-secret" not in str(raised.value)
    assert file.read_text() == text
    assert not list(own_store.glob(".kitaru.yaml-*"))


def test_a_section_of_the_wrong_kind_is_explained(own_store: Path) -> None:
    file = write(own_store, "model_registry: 3\nlog_store: [a]\n")
    with pytest.raises(KitaruConfigError, match="`model_registry` is not a mapping"):
        register_model_alias("fast", model="m")
    with pytest.raises(KitaruConfigError, match="`log_store` is not a mapping"):
        resolve_log_store()
    assert file.read_text() == "model_registry: 3\nlog_store: [a]\n"


def test_an_update_that_fails_changes_nothing(own_store: Path) -> None:
    file = write(own_store, "version: 1\nkept: 1\n")

    def fail(content: dict[str, object]) -> None:
        content.clear()
        raise KitaruUsageError("no")

    with pytest.raises(KitaruUsageError, match="no"):
        files.update(own_store, fail)
    assert file.read_text() == "version: 1\nkept: 1\n"


UPDATER = """
import sys
from kitaru.config import register_model_alias
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    register_model_alias(f"{sys.argv[1]}-{number}", model="m")
"""


def test_processes_that_update_at_once_lose_nothing(own_store: Path) -> None:
    processes = [
        subprocess.Popen([sys.executable, "-c", UPDATER, name, "15"], stdin=subprocess.PIPE) for name in ("a", "b", "c")
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.close()
    assert [process.wait(timeout=60) for process in processes] == [0, 0, 0]
    aliases = files.section(own_store, "model_registry")["aliases"]
    assert set(aliases) == {f"{name}-{number}" for name in ("a", "b", "c") for number in range(15)}


def test_a_link_stays_a_link(own_store: Path, tmp_path: Path) -> None:
    own_store.mkdir()
    kept = tmp_path / "dotfiles.yaml"
    kept.write_text("version: 1\n")
    (own_store / "kitaru.yaml").symlink_to(kept)
    register_model_alias("fast", model="m")
    assert (own_store / "kitaru.yaml").is_symlink()
    assert "fast" in kept.read_text()

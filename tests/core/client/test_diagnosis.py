"""What doctor finds: a sound journal, and journals that cannot be used, which it never changes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kitaru import KitaruClient
from kitaru.client.diagnosis import diagnose
from kitaru.stack import assembly


def test_a_sound_journal(own_store: Path) -> None:
    found = KitaruClient().doctor()
    assert found.sound and found.problems == []
    store = found.store
    assert store["path"] == str(own_store / "kitaru.db")
    assert store["durability"] == "full" and store["sound"] is True
    assert {"schema_version", "file_system", "sqlite_version", "executions"} <= set(store)
    assert "local" in {plugin["name"] for plugin in found.plugins}


def make_damaged(path: Path) -> None:
    path.write_bytes(b"this is no database at all\n" * 100)


def make_foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def make_newer(path: Path) -> None:
    diagnose()
    assembly.reset()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 999")
        connection.commit()


@pytest.mark.parametrize(
    ("make", "said"),
    [(make_damaged, "not a SQLite database"), (make_foreign, "another program"), (make_newer, "newer Kitaru")],
)
def test_a_journal_that_cannot_be_used_is_a_finding_and_stays_as_it_is(
    own_store: Path, make: object, said: str
) -> None:
    own_store.mkdir()
    path = own_store / "kitaru.db"
    make(path)  # type: ignore[operator]
    before = path.read_bytes()
    found = diagnose()
    assert not found.sound and said in found.problems[0] and said in found.store["error"]
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_journal_that_is_not_writable(own_store: Path) -> None:
    own_store.mkdir(mode=0o500)
    found = diagnose()
    assert not found.sound and "cannot be created" in found.problems[0]


def test_a_journal_path_that_is_a_directory(own_store: Path) -> None:
    (own_store / "kitaru.db").mkdir(parents=True)
    found = diagnose()
    assert not found.sound and "is a directory" in found.problems[0]


def test_a_journal_below_a_file_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = diagnose(f"sqlite:///{tmp_path}/file/kitaru.db")
    assert not found.sound and "cannot be created" in found.problems[0]

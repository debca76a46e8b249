"""Every journal of the core, through the contract that a stranger's journal has to pass too."""

from __future__ import annotations

import pytest

from kitaru.journal.memory import MemoryJournal
from kitaru.journal.sqlite import SqliteJournal
from kitaru.testing.conformance import JournalConformance


class _Sqlite(JournalConformance):
    durability = "full"

    @pytest.fixture
    def journal(self, tmp_path):
        journal = SqliteJournal(str(tmp_path / "kitaru.db"), durability=self.durability)
        yield journal
        journal.close()

    @pytest.fixture
    def reopen(self, tmp_path):
        return lambda: SqliteJournal(str(tmp_path / "kitaru.db"), durability=self.durability)


class TestSqliteFull(_Sqlite):
    pass


class TestSqliteProcess(_Sqlite):
    durability = "process"


class TestMemory(JournalConformance):
    @pytest.fixture
    def journal(self):
        return MemoryJournal()

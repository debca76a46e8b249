"""Every journal of the core, through the contract that a stranger's journal has to pass too."""

from __future__ import annotations

import pytest
from tests.emulators.postgres import emptied, new_database, postgres

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


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory):
    with postgres(tmp_path_factory.mktemp("pg") / "data") as url:
        yield url


@pytest.fixture(scope="module")
def postgres_database(postgres_server):
    return new_database(postgres_server)


class _Postgres(JournalConformance):
    durability = "full"

    @pytest.fixture
    def address(self, postgres_database):
        return emptied(postgres_database)

    @pytest.fixture
    def journal(self, address):
        from kitaru.journal.postgres import PostgresJournal

        journal = PostgresJournal(address, durability=self.durability)
        yield journal
        journal.close()

    @pytest.fixture
    def reopen(self, address):
        from kitaru.journal.postgres import PostgresJournal

        return lambda: PostgresJournal(address, durability=self.durability)


class TestPostgresFull(_Postgres):
    pass


class TestPostgresProcess(_Postgres):
    durability = "process"

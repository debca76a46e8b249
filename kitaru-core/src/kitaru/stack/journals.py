"""Opens a journal by its address."""

from __future__ import annotations

from typing import Literal

from kitaru.config.journal_url import hide_password
from kitaru.errors import KitaruFeatureNotAvailableError
from kitaru.journal.protocol import Journal


def open_journal(url: str, durability: Literal["full", "process"]) -> Journal:
    """The journal at an address in canonical form.

    Raises:
        KitaruJournalError: it cannot be opened.
        KitaruFeatureNotAvailableError: this version opens no journal of its kind.
    """
    kind, _, rest = url.partition(":")
    if kind == "sqlite":
        from kitaru.journal.sqlite import SqliteJournal

        return SqliteJournal(rest[3:], durability=durability)
    if kind == "memory":
        from kitaru.journal.memory import MemoryJournal

        return MemoryJournal(durability=durability)
    remote = kind in ("http", "https")
    missing = "the journal of a Kitaru server" if remote else "the PostgreSQL journal"
    undo = " To forget a login, call kitaru.config.forget_login()." if remote else ""
    raise KitaruFeatureNotAvailableError(
        f"{hide_password(url)}: {missing} is not part of this version of Kitaru. Upgrade with `pip install -U kitaru`, "
        "or use a file: `export KITARU_JOURNAL_URL=sqlite:///path/to/kitaru.db`." + undo
    )

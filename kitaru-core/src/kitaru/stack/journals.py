"""Opens a journal by its address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from typing import Literal

from kitaru.config.journal_url import hide_password
from kitaru.errors import KitaruFeatureNotAvailableError
from kitaru.journal.protocol import Journal
from kitaru.runtime.lease import this_owner
from kitaru.stack.components import ArtifactStore

_REGISTER = "journals/"


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


def register_journal(store: ArtifactStore, url: str) -> None:
    """Note in an artifact store that a journal may refer to its values; one in memory ends with its process."""
    if not url.startswith("memory:"):
        text = f"{this_owner().host}\n{url}".encode()
        store.put(_REGISTER + hashlib.sha256(text).hexdigest()[:32], text)


def other_journals(store: ArtifactStore, url: str) -> Iterator[str]:
    """Addresses of the journals, other than ``url``, that may refer to values of an artifact store; files of this
    host that do not exist any more are left out."""
    here = this_owner().host
    for key in store.list(_REGISTER):
        host, _, other = store.get(key).decode().partition("\n")
        if host == here and (other == url or (other.startswith("sqlite:///") and not os.path.exists(other[10:]))):
            continue
        yield other

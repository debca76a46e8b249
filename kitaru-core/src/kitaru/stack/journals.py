"""Opens a journal by its address."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
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
    if kind in ("postgresql", "postgres"):
        return _postgres(url, durability)
    remote = kind in ("http", "https")
    missing = "the journal of a Kitaru server" if remote else "this kind of journal"
    undo = " To forget a login, call kitaru.config.forget_login()." if remote else ""
    raise KitaruFeatureNotAvailableError(
        f"{hide_password(url)}: {missing} is not part of this version of Kitaru. Upgrade with `pip install -U kitaru`, "
        "or use a file: `export KITARU_JOURNAL_URL=sqlite:///path/to/kitaru.db`." + undo
    )


def _postgres(url: str, durability: Literal["full", "process"]) -> Journal:
    from importlib.util import find_spec

    if find_spec("psycopg") is None:
        raise KitaruFeatureNotAvailableError(
            f"{hide_password(url)}: a journal in PostgreSQL needs the package psycopg: pip install 'kitaru[postgres]'"
        )
    from kitaru.journal.postgres import PostgresJournal

    return PostgresJournal(url, durability=durability)


@dataclass(frozen=True, slots=True)
class Users:
    """Who may refer to the values of an artifact store.

    ``stacks``: ids of the stacks under which one journal does (None: the default stack), so that the references it has
    can be told; ``others``: addresses of other journals.
    """

    stacks: frozenset[str | None]
    others: frozenset[str]


def register_journal(store: ArtifactStore, url: str, stack: str | None = None) -> None:
    """Note in an artifact store that a journal may refer to its values, as those of ``stack``.

    A journal in memory ends with its process and is not noted.
    """
    if not url.startswith("memory:"):
        text = f"{this_owner().host}\n{url}" + (f"\n{stack}" if stack is not None else "")
        data = text.encode()
        store.put(_REGISTER + hashlib.sha256(data).hexdigest()[:32], data)


def users_of(store: ArtifactStore, url: str) -> Users:
    """Who may refer to the values of an artifact store, seen from the journal ``url``.

    Journals that are files of this host and do not exist any more are left out.
    """
    stacks: set[str | None] = set()
    others: set[str] = set()
    for host, other, stack in _registered(store):
        if host == this_owner().host and other == url:
            stacks.add(stack)
        elif not (host == this_owner().host and other.startswith("sqlite:///") and not os.path.exists(other[10:])):
            others.add(other)
    return Users(frozenset(stacks), frozenset(others))


def _registered(store: ArtifactStore) -> Iterator[tuple[str, str, str | None]]:
    for key in store.list(_REGISTER):
        host, _, rest = store.get(key).decode().partition("\n")
        url, newline, stack = rest.partition("\n")
        yield host, url, stack if newline else None

"""What SQLite reports, as errors that say which file, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from kitaru.errors import KitaruCorruptionError, KitaruJournalError


@contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn apsw's errors inside the block into :class:`KitaruJournalError` (or its corruption child)."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error, path, doing) from error


def translate(error: apsw.Error, path: str, doing: str) -> KitaruJournalError:
    """The Kitaru error for ``error``; ``doing`` completes "cannot ..."."""
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError)):
        what = "is not a SQLite database" if isinstance(error, apsw.NotADBError) else "is damaged"
        return KitaruCorruptionError(
            f"cannot {doing}: the journal file {path} {what} ({error}). It was left as it is. Run `kitaru doctor`; to "
            "start with a new journal move the file away, or name another one with KITARU_JOURNAL_URL."
        )
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return KitaruJournalError(f"cannot {doing} in the journal {path}: {sentence} ({error})")
    return KitaruJournalError(f"cannot {doing} in the journal {path}: {error}. Run `kitaru doctor`.")


_SENTENCES: tuple[tuple[type[apsw.Error], str], ...] = (
    (
        apsw.FullError,
        "the disk (or a quota) is full. Free some space; what was committed is kept, the rest is sent again",
    ),
    (apsw.BusyError, "another process has held it for longer than 30 s. Look for a stuck process, then try again"),
    (apsw.ReadOnlyError, "it is not writable. Check owner and mode of the file and of its directory"),
    (apsw.PermissionsError, "access is denied. Check owner and mode of the file and of its directory"),
    (apsw.CantOpenError, "it cannot be opened. Check that the path is a file in a directory you may write"),
    (apsw.IOError, "the operating system reported an input/output error. Check the disk; what was committed is kept"),
    (apsw.TooBigError, "a value is larger than SQLite can store in one row. Save it as an artifact instead"),
)

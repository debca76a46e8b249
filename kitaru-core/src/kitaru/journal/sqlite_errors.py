"""What SQLite reports, as errors that say which file, what it means, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import apsw

from kitaru.errors import KitaruCorruptionError, KitaruJournalError, KitaruRuntimeError, KitaruSerializationError

#: What apsw raises for the database, and what it raises for values that cannot be bound or read.
TRANSLATED = (apsw.Error, UnicodeError, OverflowError)


@contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn apsw's errors inside the block into Kitaru's: see :func:`translate`."""
    try:
        yield
    except TRANSLATED as error:
        raise translate(error, path, doing) from error


def translate(error: Exception, path: str, doing: str) -> KitaruRuntimeError:
    """The Kitaru error for ``error``; ``doing`` completes "cannot ...".

    KitaruCorruptionError for damage, KitaruSerializationError for a value that no second try could store (text with
    lone surrogates, a row beyond SQLite's limit), KitaruJournalError for the rest.
    """
    if isinstance(error, (UnicodeEncodeError, OverflowError, apsw.TooBigError)):
        return KitaruSerializationError(
            f"cannot {doing} in the journal {path}: a name or value in it cannot be stored ({error}). Names and keys "
            "must be text without lone surrogates, and what one row holds stays below 1 GB."
        )
    if isinstance(error, (apsw.CorruptError, apsw.NotADBError, UnicodeDecodeError)):
        what = "is not a SQLite database" if isinstance(error, apsw.NotADBError) else "is damaged"
        return KitaruCorruptionError(
            f"cannot {doing}: the journal file {path} {what} ({error}). It was left as it is. `kitaru doctor --salvage "
            "NEW_FILE` copies what can still be read into a new journal; to start afresh move the file away, or name "
            "another one with KITARU_JOURNAL_URL."
        )
    for kind, sentence in _SENTENCES:
        if isinstance(error, kind):
            return KitaruJournalError(f"cannot {doing} in the journal {path}: {sentence} ({error})")
    return KitaruJournalError(f"cannot {doing} in the journal {path}: {error}. Run `kitaru doctor`.")


def refusal(path: str, *, forked: bool) -> KitaruJournalError:
    """Why a journal that was closed, or that came here by a fork, does nothing any more."""
    if forked:
        return KitaruJournalError(
            f"the journal {path} was opened before this process was forked, and a SQLite connection must not cross a "
            "fork. Start flows in the parent, or use multiprocessing's `spawn` or `forkserver`."
        )
    return KitaruJournalError(f"the journal {path} is closed.")


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
    (apsw.ConnectionClosedError, "it is closed"),
    (apsw.CursorClosedError, "it is closed"),
)

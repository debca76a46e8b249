"""Journal addresses: which kinds there are, and how they are written."""

from __future__ import annotations

import os
from urllib.parse import urlsplit, urlunsplit

from kitaru.errors import KitaruUsageError

_KINDS = ("sqlite", "memory", "postgresql", "postgres", "http", "https")


def normalise_journal_url(url: str) -> str:
    """A journal's address in its one canonical form, so that equal journals have equal addresses.

    ``sqlite:///relative/path`` is taken from the working directory, ``sqlite:////absolute/path`` is absolute,
    ``sqlite:///~/path`` lies in the home directory. Other kinds are returned stripped.

    Raises KitaruUsageError for an address that is none; what it says about passwords stays out of the text.
    """
    url = url.strip()
    kind, colon, rest = url.partition(":")
    if not colon or kind.lower() not in _KINDS:
        raise KitaruUsageError(
            f"{hide_password(url)!r} is not a journal's address. Use sqlite:///path/to/kitaru.db, "
            "postgresql://..., https://... (a Kitaru server) or memory:"
        )
    kind = kind.lower()
    if kind == "memory":
        if rest.strip("/"):
            raise KitaruUsageError(f"journal address {url!r}: a journal in memory has no path. Write memory:")
        return "memory:"
    if kind != "sqlite":
        return f"{kind}:{rest}"
    if not rest.startswith("///") or not rest[3:].strip("/"):
        raise KitaruUsageError(
            f"journal address {url!r} names no file. Write sqlite:///path/to/kitaru.db, with four slashes for an "
            "absolute path: sqlite:////var/lib/kitaru.db"
        )
    return f"sqlite:///{os.path.abspath(os.path.expanduser(rest[3:]))}"


def hide_password(url: str) -> str:
    """An address that may be shown: what stands before the ``@`` is left out of it, and so are query parameters."""
    try:
        parts = urlsplit(url)
        host = parts.netloc.rpartition("@")[2]
        hidden = f"***@{host}" if "@" in parts.netloc else host
        return urlunsplit((parts.scheme, hidden, parts.path, "***" if parts.query else "", ""))
    except ValueError:
        return "***"

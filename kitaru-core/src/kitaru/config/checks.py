"""Checks that several readers of settings share. Each raises KitaruUsageError that names what it was given for."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kitaru.config.journal_url import hide_password
from kitaru.errors import KitaruUsageError


def text(what: str, value: Any) -> str | None:
    """A text, stripped; None stays None, blank is an error."""
    if value is None:
        return None
    if not isinstance(value, str) or not value.strip():
        shown = repr(value) if isinstance(value, str) else type(value).__name__
        raise KitaruUsageError(f"{what} must be a text that is not blank, not {shown}.")
    return value.strip()


def truth(what: str, value: Any) -> bool | None:
    """True or False; None stays None."""
    if value is None or isinstance(value, bool):
        return value
    raise KitaruUsageError(f"{what} must be true or false, not {value!r}.")


def whole_number(what: str, value: Any, minimum: int) -> int | None:
    """A whole number of at least ``minimum``; None stays None."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise KitaruUsageError(f"{what} must be a whole number >= {minimum}, not {value!r}.")
    return value


def http_url(what: str, value: Any) -> str:
    """An ``http(s)://host`` address without the ``/`` at its end. User names and passwords in it are refused."""
    address = text(what, value)
    if address is None:
        raise KitaruUsageError(f"{what} is missing: give an address like https://kitaru.example.com.")
    shown = hide_password(address)
    try:
        parts = urlsplit(address)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or any(character.isspace() for character in address):
        raise KitaruUsageError(f"{what}={shown!r} is not a server's address. Write https://host or http://host:port.")
    if "@" in parts.netloc:
        raise KitaruUsageError(
            f"{what}={shown!r} has a user name or password in it. Leave them out, and pass the token by itself."
        )
    if parts.query or parts.fragment:
        raise KitaruUsageError(f"{what}={shown!r} has a query or fragment. Give the server's address only.")
    return address.rstrip("/")

"""Addresses of journals."""

from __future__ import annotations

from urllib.parse import urlsplit

_HARMLESS = ("host", "port", "dbname")


def without_secrets(url: str) -> str:
    """An address without user, password, and parameters that may be secret. That of a file stays as it is."""
    if not url.startswith("postgres"):
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return f"{url.partition(':')[0]}://"
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(one for one in parts.query.split("&") if one.partition("=")[0] in _HARMLESS)
    return f"{parts.scheme}://{host}{parts.path}{f'?{query}' if query else ''}"

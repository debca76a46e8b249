"""Checks of arguments that several client methods share."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from kitaru.errors import KitaruUsageError

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdw])\s*")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_limit(limit: Any, name: str = "limit") -> None:
    """Raises KitaruUsageError unless ``limit`` is None or a whole number of at least 1."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise KitaruUsageError(f"{name}={limit!r}: must be a whole number, 1 or more.")


def check_id(exec_id: Any) -> str:
    """The id of an execution as it is. Raises KitaruUsageError when it is blank or no text."""
    if not isinstance(exec_id, str) or not exec_id.strip():
        raise KitaruUsageError(f"exec_id={exec_id!r}: must be the id of an execution. See `kitaru executions list`.")
    return exec_id


def parse_duration(value: Any, name: str) -> timedelta:
    """A length of time: a timedelta as it is, or a text: a number and one of s, m, h, d, w (``"90m"``, ``"30d"``).

    Raises KitaruUsageError naming the argument.
    """
    found = value
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        try:
            found = timedelta(**{_UNITS[match[2]]: float(match[1])})
        except OverflowError:
            found = None
    if not isinstance(found, timedelta) or found < timedelta(0):
        raise KitaruUsageError(f"{name}={value!r}: must be a length of time such as 90m, 12h or 30d.")
    return found


def parse_moment(value: Any, name: str, now: int) -> int | None:
    """A moment in microseconds since the epoch: a datetime (naive: UTC), an ISO text, or how long before ``now``.

    Raises KitaruUsageError naming the argument.
    """
    if value is None:
        return None
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            pass
    if isinstance(moment, datetime):
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(microseconds=1)
    try:
        return now - parse_duration(value, name) // timedelta(microseconds=1)
    except KitaruUsageError as error:
        raise KitaruUsageError(
            f"{name}={value!r}: must be a time such as 2026-05-01T12:00 (UTC unless it says otherwise), or how long "
            "ago it was, such as 90m, 12h or 30d."
        ) from error

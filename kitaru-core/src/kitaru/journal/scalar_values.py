"""Marked forms of standard-library values that are written as one text or a flat list."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any

#: An int up to here is written as JSON digits: below Python's limit for digit conversion (4300 digits).
PLAIN_INT_BITS_MAX = 8192


def write(value: Any) -> tuple[str, Any] | None:
    """Tag and JSON form of a value of exactly one of the known types, or None."""
    kind = type(value)
    writer = _WRITERS.get(kind)
    if writer is not None:
        return writer(value)
    # Types of modules that are rarely loaded: no instance can exist before its module does.
    lazy = _LAZY.get((kind.__module__, kind.__qualname__))
    return lazy(value) if lazy is not None else None


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _from_b64(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _datetime(value: datetime) -> tuple[str, Any] | None:
    zone = _zone(value.tzinfo)
    return None if zone is False else ("datetime", [value.replace(tzinfo=None).isoformat(), value.fold, zone])


def _time(value: time) -> tuple[str, Any] | None:
    zone = _zone(value.tzinfo)
    return None if zone is False else ("time", [value.replace(tzinfo=None).isoformat(), value.fold, zone])


def _zone(zone: Any) -> Any:
    """JSON form of a tzinfo: None, seconds (with name, if it has one of its own), or a zone key; False: unknown."""
    if zone is None:
        return None
    if type(zone) is timezone:
        seconds = zone.utcoffset(None).total_seconds()
        return (
            seconds if zone == UTC or repr(zone).count(",") == 0 or not _named(zone) else [seconds, zone.tzname(None)]
        )
    key = getattr(zone, "key", None)
    return key if type(zone).__module__ == "zoneinfo" and isinstance(key, str) else False


def _named(zone: timezone) -> bool:
    return zone.tzname(None) != timezone(zone.utcoffset(None)).tzname(None)


def _read_zone(zone: Any) -> Any:
    if zone is None:
        return None
    if isinstance(zone, str):
        from zoneinfo import ZoneInfo

        return ZoneInfo(zone)
    if isinstance(zone, list):
        return timezone(timedelta(seconds=zone[0]), zone[1])
    return UTC if zone == 0 else timezone(timedelta(seconds=zone))


def _read_datetime(form: list[Any]) -> datetime:
    return datetime.fromisoformat(form[0]).replace(fold=form[1], tzinfo=_read_zone(form[2]))


def _read_time(form: list[Any]) -> time:
    return time.fromisoformat(form[0]).replace(fold=form[1], tzinfo=_read_zone(form[2]))


def _read_uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


def _read_decimal(text: str) -> Any:
    from decimal import Decimal

    return Decimal(text)


def _read_fraction(form: list[str]) -> Any:
    from fractions import Fraction

    return Fraction(int(form[0], 16), int(form[1], 16))


def _read_path(form: list[str]) -> Any:
    import pathlib

    # Only classes of pathlib, by a closed list of names: a stored text never picks another attribute.
    return {name: getattr(pathlib, name) for name in _PATHS}[form[0]](form[1])


_PATHS = ("PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath")

_WRITERS: dict[type, Callable[[Any], tuple[str, Any] | None]] = {
    bytes: lambda value: ("bytes", _b64(value)),
    bytearray: lambda value: ("bytearray", _b64(bytes(value))),
    complex: lambda value: ("complex", [repr(value.real), repr(value.imag)]),
    range: lambda value: ("range", [value.start, value.stop, value.step]),
    datetime: _datetime,
    date: lambda value: ("date", value.isoformat()),
    time: _time,
    timedelta: lambda value: ("timedelta", [value.days, value.seconds, value.microseconds]),
    timezone: lambda value: ("timezone", _zone(value)),
    type(Ellipsis): lambda _: ("ellipsis", None),
}

_LAZY: dict[tuple[str, str], Callable[[Any], tuple[str, Any] | None]] = {
    ("uuid", "UUID"): lambda value: ("uuid", str(value)),
    ("decimal", "Decimal"): lambda value: ("decimal", str(value)),
    ("fractions", "Fraction"): lambda value: ("fraction", [hex(value.numerator), hex(value.denominator)]),
    ("zoneinfo", "ZoneInfo"): lambda value: ("zone", value.key) if value.key else None,
    **{
        (module, name): lambda value: ("path", [type(value).__name__, str(value)])
        for name in _PATHS
        for module in ("pathlib", "pathlib._local")
    },
}

READERS: dict[str, Callable[[Any], Any]] = {
    "bytes": _from_b64,
    "bytearray": lambda form: bytearray(_from_b64(form)),
    "complex": lambda form: complex(float(form[0]), float(form[1])),
    "range": lambda form: range(*form),
    "datetime": _read_datetime,
    "date": date.fromisoformat,
    "time": _read_time,
    "timedelta": lambda form: timedelta(days=form[0], seconds=form[1], microseconds=form[2]),
    "timezone": _read_zone,
    "zone": _read_zone,
    "ellipsis": lambda _: ...,
    "uuid": _read_uuid,
    "decimal": _read_decimal,
    "fraction": _read_fraction,
    "path": _read_path,
    "float": float,
    "int": lambda form: int(form, 16),
}

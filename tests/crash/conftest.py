"""Fixtures of the crash battery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.crash.processes import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.close()

"""Fixtures of the crash battery."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.crash import battery
from tests.crash.processes import Forks


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    server = Forks()
    yield server
    server.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how much was killed: the figures of "what we promise, by which test"."""
    if battery.total.kills:
        terminalreporter.write_line(
            f"crash battery: {battery.total.points} write points, {battery.total.kills} kills in all"
        )

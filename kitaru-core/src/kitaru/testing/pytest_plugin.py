"""The pytest plugin ``kitaru``: a store of its own for every test that asks for one.

Installed with Kitaru; loading it imports nothing but pytest. See ``docs/guide/testing.md``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kitaru.testing.store import KitaruStore


@pytest.fixture
def kitaru_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KitaruStore]:
    """An empty store in a temporary directory, used by everything the test runs, with a clock that the test moves.

    Nothing is read from the developer's own configuration: ``KITARU_*`` variables and what ``configure()`` has set are
    gone while the test runs. Afterwards everything is as it was.
    """
    from kitaru.testing.store import KitaruStore, variables

    for name in [name for name in os.environ if name.startswith("KITARU_")]:
        monkeypatch.delenv(name)
    directory = tmp_path / "kitaru"
    for name, value in variables(directory).items():
        monkeypatch.setenv(name, value)
    with KitaruStore(directory) as store:
        yield store

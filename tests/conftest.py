"""Every test gets a store of its own: nothing is read from, or written to, the developer's own configuration."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty configuration directory, and no kernel left over from another test."""
    import os

    for name in list(os.environ):
        if name.startswith("KITARU_") and not name.startswith("KITARU_TEST_"):
            monkeypatch.delenv(name)
    directory = tmp_path / "kitaru-config"
    monkeypatch.setenv("KITARU_CONFIG_PATH", str(directory))
    monkeypatch.chdir(tmp_path)
    yield directory
    assembly.reset()


@pytest.fixture
def kernel(own_store: Path) -> Kernel:
    """The kernel that flows of this test run on."""
    return assembly.open_kernel()

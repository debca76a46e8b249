"""Fixtures of the kernel's tests."""

from __future__ import annotations

import pytest
from tests.core.runtime.world import ran, world

from kitaru.runtime.kernel import Kernel


@pytest.fixture
def fresh_world(kernel: Kernel) -> None:
    """An empty world that knows the test's kernel."""
    ran.clear()
    world.clear()
    world["kernel"] = kernel

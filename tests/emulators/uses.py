"""What a store on an emulator has to stand beyond its conformance class, whichever cloud it is of."""

from __future__ import annotations

import os
from typing import Any

import pytest

from kitaru.errors import KitaruError
from kitaru.stack.components import ArtifactStore


class Torn:
    """A source that breaks after 20 MB: some parts have been sent by then."""

    left = 20

    def read(self, size: int) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise OSError("the source broke")
        return b"x" * size


def break_an_upload(store: ArtifactStore) -> None:
    """Put a value that breaks far in, which must leave nothing to be seen."""
    torn: Any = Torn()
    with pytest.raises((OSError, KitaruError)):
        store.put("large", torn)
    assert not store.exists("large") and list(store.list()) == []


def use_in_a_forked_child(store: ArtifactStore) -> None:
    """Have a forked child read what this process has put, and put something itself."""
    store.put("parent", b"x")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            store.put("child", store.get("parent"))
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert list(store.list()) == ["child", "parent"]

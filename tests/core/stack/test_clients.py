"""Clients that a process, or each of its threads, makes for itself."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest

from kitaru.stack.clients import PerProcess, PerThread


class Client:
    """A client that knows where it was made."""

    def __init__(self) -> None:
        self.made_by = os.getpid(), threading.get_ident()


def test_all_threads_of_a_process_get_the_same_one() -> None:
    client = PerProcess(Client)
    with ThreadPoolExecutor(8) as pool:
        assert len({id(one) for one in pool.map(lambda _: client(), range(64))}) == 1


def test_or_each_its_own() -> None:
    client, together = PerThread(Client), threading.Barrier(4)

    def mine(_: int) -> bool:
        together.wait(30)
        return client() is client() and client().made_by[1] == threading.get_ident()

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(mine, range(4)))


@pytest.mark.parametrize("kind", [PerProcess, PerThread])
def test_a_forked_child_makes_its_own(kind: type[PerProcess[Client]]) -> None:
    client = kind(Client)
    parents = client()
    pid = os.fork()
    if pid == 0:
        os._exit(not (client() is not parents and client().made_by[0] == os.getpid() and client() is client()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert client() is parents


@pytest.mark.parametrize("kind", [PerProcess, PerThread])
def test_nothing_keeps_a_client_whose_component_is_gone(kind: type[PerProcess[Client]]) -> None:
    client = kind(Client)
    made = weakref.ref(client())
    del client
    gc.collect()
    assert made() is None

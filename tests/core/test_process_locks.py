"""Locks that modules keep, in a child that was forked while somebody held them."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import kitaru
from kitaru.process_locks import ProcessLock

PLAIN = (type(threading.Lock()), type(threading.RLock()), threading.Condition)


def test_it_excludes_other_threads() -> None:
    lock, order = ProcessLock(), list[int]()

    def late() -> None:
        with lock:
            order.append(2)

    with lock:
        thread = threading.Thread(target=late)
        thread.start()
        order.append(1)
    thread.join()
    assert order == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_is_not_held_up_by_what_the_parent_held(tmp_path: Path) -> None:
    """In a process of its own: every lock that a module of Kitaru keeps is held while it forks a user of Kitaru."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent("""
            import contextlib, os, sys, threading
            import kitaru.prompting
            from kitaru import checkpoint, configure, flow
            from kitaru.process_locks import ProcessLock
            from kitaru.stack import assembly

            @checkpoint
            def double(n):
                return n * 2

            @flow
            def doubled(n):
                return double(n)

            assert doubled.run(1).wait() == 2
            assembly.reset()
            locks = [
                value
                for name, module in list(sys.modules.items()) if name.startswith("kitaru")
                for value in vars(module).values() if isinstance(value, ProcessLock)
            ]
            assert len(locks) >= 6, locks
            held, done = threading.Event(), threading.Event()

            def hold():
                with contextlib.ExitStack() as stack:
                    for lock in locks:
                        stack.enter_context(lock)
                    held.set()
                    done.wait()

            threading.Thread(target=hold, daemon=True).start()
            held.wait()
            pid = os.fork()
            if pid == 0:
                configure(cache=False)
                os._exit(doubled.run(2).wait() != 4)
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            done.set()
        """)
    )
    environment = {**os.environ, "KITARU_PLUGINS": "local"}
    subprocess.run([sys.executable, program], check=True, timeout=60, cwd=tmp_path, env=environment)


def test_no_module_keeps_a_lock_that_a_fork_would_freeze() -> None:
    found = []
    for module in pkgutil.walk_packages(kitaru.__path__, "kitaru."):
        if module.name != "kitaru.__main__" and ".template" not in module.name:
            kept = vars(importlib.import_module(module.name))
            found += [f"{module.name}.{name}" for name, value in kept.items() if isinstance(value, PLAIN)]
    assert found == []

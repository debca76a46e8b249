"""Flows started from many threads, several event loops, and processes made by multiprocessing."""

from __future__ import annotations

import asyncio
import contextvars
import os
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kitaru import checkpoint, flow
from kitaru.client import KitaruClient
from kitaru.errors import KitaruUserCodeError


@checkpoint
def double(n: int) -> int:
    return n * 2


@checkpoint
async def adouble(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


@flow
def doubles(n: int) -> int:
    return sum(double(i) for i in range(n))


@flow
async def adoubles(n: int) -> int:
    return sum(await asyncio.gather(*(adouble(i) for i in range(n))))


def test_many_threads_start_flows_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda n: (doubles if n % 2 else adoubles).run(n).wait(), range(40)))
    assert results == [n * (n - 1) for n in range(40)]
    assert {one.status for one in KitaruClient().executions.list(limit=50)} == {"completed"}


def test_several_event_loops_one_after_another_and_side_by_side() -> None:
    async def main(n: int) -> int:
        first, second = doubles.run(n), adoubles.run(n)
        return await first + await second

    assert [asyncio.run(main(n)) for n in (3, 4)] == [12, 24]
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(asyncio.run(main(5)))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [40, 40, 40]


def test_one_handle_is_awaited_in_two_loops() -> None:
    handle = adoubles.run(3)

    async def result() -> int:
        value: int = await handle
        return value

    assert asyncio.run(result()) == asyncio.run(result()) == handle.wait() == 6


def test_many_threads_wait_for_one_handle() -> None:
    handle = doubles.run(6)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda _: handle.wait(timeout=30), range(16))) == [30] * 16


def test_flows_are_waited_for_inside_a_running_loop() -> None:
    """Their own loop is another thread's: blocking this one is unwise, but nothing locks up."""

    async def main() -> list[int]:
        return [adoubles.run(4).wait(timeout=30), doubles.run(4).wait(timeout=30), await adoubles.run(4)]

    assert asyncio.run(main()) == [12, 12, 12]


async def twice(n: int) -> int:
    await asyncio.sleep(0)
    return n * 2


@checkpoint
def with_a_loop_of_its_own(n: int) -> int:
    coroutine = twice(n)
    try:
        return asyncio.run(coroutine)
    finally:
        coroutine.close()  # where it was refused


@flow
def loops_in_bodies(n: int) -> int:
    return with_a_loop_of_its_own(n) + with_a_loop_of_its_own.submit(n).result() + asyncio.run(twice(n))


@flow
async def loops_on_the_pool(n: int) -> int:
    return int(await with_a_loop_of_its_own.submit(n))


@flow
async def a_loop_in_the_loop(n: int) -> int:
    return with_a_loop_of_its_own(n)


def test_a_body_may_run_a_loop_of_its_own_wherever_none_is_running() -> None:
    assert loops_in_bodies.run(3).wait(timeout=30) == 18
    assert loops_on_the_pool.run(3).wait(timeout=30) == 6
    handle = a_loop_in_the_loop.run(3)
    with pytest.raises(KitaruUserCodeError, match=r"asyncio\.run\(\) cannot be called from a running event loop"):
        handle.wait(timeout=30)
    assert handle.status == "failed"


@checkpoint
def with_a_thread(context: bool) -> str:
    """A thread of the user's own knows its execution only where it is given the context."""
    said: list[str] = []

    def work() -> None:
        try:
            said.append(str(double(4)))
        except Exception as error:
            said.append(type(error).__name__)

    around = contextvars.copy_context()
    thread = threading.Thread(target=(lambda: around.run(work)) if context else work)
    thread.start()
    thread.join()
    return said[0]


@flow
def threads_in_bodies() -> list[str]:
    return [with_a_thread(True), with_a_thread(False), with_a_thread.submit(True).result()]


def test_threads_inside_bodies() -> None:
    handle = threads_in_bodies.run()
    assert handle.wait(timeout=30) == ["8", "KitaruContextError", "8"]
    called = [one.invocation_id for one in KitaruClient().executions.get(handle.exec_id).checkpoints]
    bodies = ["with_a_thread", "with_a_thread#2", "with_a_thread#3"]
    assert sorted(called) == sorted([*bodies, "with_a_thread#3/double", "with_a_thread/double"])


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_processes_made_by_multiprocessing(method: str, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(
        textwrap.dedent(f"""
        import multiprocessing
        from kitaru import checkpoint, flow

        @checkpoint
        def double(n):
            return n * 2

        @flow
        def doubles(n):
            return sum(double(i) for i in range(n))

        def child(n):
            try:
                return doubles.run(n).wait()
            except Exception as error:
                return f"{{type(error).__name__}}: {{error}}"

        if __name__ == "__main__":
            assert doubles.run(2).wait() == 2
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                print(pool.map(child, [3, 4]))
            assert doubles.run(5).wait() == 20
        """)
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if method == "fork":  # a flow was run before the fork: each child opens a journal of its own, or says why not
        assert "[6, 12]" in done.stdout or "fork" in done.stdout
    else:
        assert "[6, 12]" in done.stdout


@flow
def submits_and_fails(n: int) -> None:
    adouble.submit(n)
    raise ValueError("after the loop was opened")


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors in /proc")
def test_a_flow_gives_its_event_loop_back() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    with pytest.raises(KitaruUserCodeError, match="after the loop"):
        submits_and_fails.run(0).wait()
    before = descriptors()
    for n in range(20):
        with pytest.raises(KitaruUserCodeError, match="after the loop"):
            submits_and_fails.run(n).wait()
    deadline = time.monotonic() + 30
    while descriptors() > before + 6:  # two loops' worth: the last ones may still be winding down
        assert time.monotonic() < deadline
        time.sleep(0.01)

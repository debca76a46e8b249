"""Flows started from many threads, several event loops, and processes made by multiprocessing."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kitaru import checkpoint, flow
from kitaru.client import KitaruClient


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

"""The flows that are measured: a 100-byte text argument, a 200-byte dict result, unless a figure says otherwise."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from kitaru import checkpoint, flow

ARGUMENT = "a" * 100
RESULT = {"summary": "b" * 150, "score": 0.25, "tokens": 1234}

#: Set by a figure, called by the flow bodies below. They run in the same process.
hooks: dict[str, Callable[[int], None]] = {}


@checkpoint
def small(text: str) -> dict[str, Any]:
    return {**RESULT, "first": text[:1]}


@checkpoint
def numbered(text: str) -> dict[str, Any]:
    return {**RESULT, "number": int(text)}


@checkpoint
def large(number: int) -> bytes:
    return number.to_bytes(4, "big") * 250_000


@checkpoint
async def naps(number: int) -> int:
    await asyncio.sleep(0.02)
    return number


@checkpoint
def naps_in_thread(number: int) -> int:
    time.sleep(0.02)
    return number


@flow
def one(text: str) -> dict[str, Any]:
    return small(text)


@flow
def sequential(count: int) -> int:
    measured = hooks["sequential"]
    for number in range(count):
        measured(number)
    return count


@flow
async def together(count: int) -> int:
    begun = time.perf_counter()
    await asyncio.gather(*(naps(number) for number in range(count)))
    hooks["together"](round((time.perf_counter() - begun) * 1e6))
    return count


@flow(max_concurrency=200)
def submitted(count: int) -> int:
    begun = time.perf_counter()
    futures = [naps_in_thread.submit(number) for number in range(count)]
    for future in futures:
        future.result()
    hooks["submitted"](round((time.perf_counter() - begun) * 1e6))
    return count


@flow
def large_results(count: int) -> int:
    begun = time.perf_counter()
    for number in range(count):
        large(number)
    hooks["large"](round((time.perf_counter() - begun) * 1e6))
    return count


@flow
def recorded(count: int, report: str) -> int:
    """Make ``count`` calls and one more. The process that makes them first is killed before that one."""
    for number in range(count):
        numbered(f"{number:0100}")
    if "reused" in hooks:
        hooks["reused"](count)
    if os.environ.get("KITARU_BENCH_DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    last(report)
    return count


@checkpoint
def last(report: str) -> None:
    if report:
        with open(report, "w") as file:
            file.write(str(time.time_ns()))

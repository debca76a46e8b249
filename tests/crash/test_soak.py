"""Long conversations and large stores: what they cost grows with their size, and never faster.

Assurance section 1, test 20. Everything is compared with a smaller store measured in the same run: ratios, no seconds.
The battery takes 5,000 executions of ten calls and 1,000 turns; ``KITARU_TEST_SOAK=100000`` is the nightly scale.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash import kernels

from kitaru import KitaruClient, checkpoint, flow
from kitaru.client.retention import Cleaning
from kitaru.stack import assembly

SOAK_VARIABLE = "KITARU_TEST_SOAK"
EXECUTIONS = int(os.environ.get(SOAK_VARIABLE, "5000"))
TURNS = 1_000
CALLS = 10
#: What grows with the square of the size is this much worse for each execution of the larger store.
STEP = 8
#: Noise of a loaded machine; far below what a quadratic cost would show.
SLACK = 3.0


@checkpoint
def reply(message: str, number: int) -> str:
    return f"reply {number} to " + message[:100].ljust(100, ".")


@checkpoint
def reply_to_all(messages: list[str]) -> str:
    return f"reply {len(messages)} ".ljust(120, ".")


@flow
def conversation(turns: int) -> str:
    message = "hello"
    for number in range(turns):
        message = reply(message, number)
    return message


@flow
def remembering(turns: int) -> int:
    """As agents do: every turn hands over all messages so far."""
    messages = ["hello"]
    for _ in range(turns):
        messages = [*messages, reply_to_all(messages)]
    return len(messages)


@checkpoint
def number(n: int) -> int:
    return n


@checkpoint
def page(n: int) -> str:
    return f"{n} ".ljust(20_000, ".")


@flow
def ten(n: int) -> int:
    if n % 10 == 0:
        page(n)
        return sum(number(i) for i in range(CALLS - 1))
    return sum(number(i) for i in range(CALLS))


def _bytes_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _bytes_after(base: Path, definition: object, turns: int) -> int:
    directory = base / f"{definition.spec.name}-{turns}"  # type: ignore[attr-defined]
    with kernels.store(directory):
        kernels.start(definition, turns).wait(timeout=3_000)  # type: ignore[arg-type]
    return _bytes_of(directory)


def _check_turns(base: Path, turns: int) -> None:
    # Of a growing argument the first 16 KB are kept whole, then its beginning: linear from about 140 turns on.
    for definition, start in ((conversation, 0), (remembering, 150)):
        first, middle, last = (_bytes_after(base, definition, start + turns * part // 4) for part in (1, 2, 4))
        early, late = (middle - first) / (turns / 4), (last - middle) / (turns / 2)
        assert 0 < late < 1.5 * early, f"{definition.spec.name}: {early:.0f}, then {late:.0f} bytes a turn"
        assert late < 6_000, f"{definition.spec.name}: {late:.0f} bytes a turn"


def test_bytes_per_turn(tmp_path: Path) -> None:
    _check_turns(tmp_path, 200)


@pytest.mark.battery
@pytest.mark.timeout(3_600)
def test_bytes_per_turn_of_a_long_conversation(tmp_path: Path) -> None:
    _check_turns(tmp_path, TURNS)


# -- large stores -----------------------------------------------------------------------------------------------


class Store:
    """A store of so many finished executions, and what looking at it takes."""

    def __init__(self, directory: Path, executions: int) -> None:
        self.directory = directory
        self.executions = executions
        with kernels.store(directory):
            for n in range(executions):
                kernels.start(ten, n).wait(timeout=60)

    def timed(self, what: Callable[[], object], times: int = 7) -> float:
        """Seconds, the best of several: the others measure what else the machine does."""
        best = float("inf")
        for _ in range(times):
            begun = time.perf_counter()
            what()
            best = min(best, time.perf_counter() - begun)
        return best

    def looked_at(self) -> dict[str, float]:
        def opened() -> None:
            assembly.reset()
            assembly.open_kernel().journal.version()

        with kernels.store(self.directory):
            client = KitaruClient()
            (newest, *_) = client.executions.list(limit=20)
            found = {
                "list": self.timed(lambda: client.executions.list(limit=20)),
                "list completed": self.timed(lambda: client.executions.list(flow="ten", status="completed", limit=20)),
                "list failed": self.timed(lambda: client.executions.list(status="failed", limit=20)),
                "get": self.timed(lambda: client.executions.get(newest.exec_id)),
                "start": self.timed(lambda: ten.run(1).wait(timeout=60)),
                "recoverable": self.timed(lambda: client.executions.list(status="interrupted", limit=20)),
            }
            found["open"] = self.timed(opened)
        return found

    def cleaned(self) -> tuple[float, Cleaning]:
        """Seconds for each execution that is removed."""
        for path in self.directory.rglob("sha256/*"):
            os.utime(path, (1e9, 1e9))
        with kernels.store(self.directory):
            begun = time.perf_counter()
            done = KitaruClient().clean(older_than="0s")
            seconds = time.perf_counter() - begun
        return seconds / len(done.removed), done


def _check_stores(base: Path, executions: int) -> None:
    small, large = Store(base / "small", executions // STEP), Store(base / "large", executions)
    sizes = [_bytes_of(one.directory) / one.executions for one in (small, large)]
    assert sizes[1] < 1.5 * sizes[0], f"bytes an execution: {sizes}"

    fast, slow = small.looked_at(), large.looked_at()
    for name, seconds in slow.items():
        assert seconds < SLACK * fast[name] + 0.002, f"{name}: {fast[name]:.6f} s, then {seconds:.6f} s"

    (quick, _), (heavy, done) = small.cleaned(), large.cleaned()
    assert len(done.removed) >= executions and done.artifacts == executions // 10
    assert heavy < SLACK * quick, f"clean: {quick:.6f} s, then {heavy:.6f} s an execution"
    assert _bytes_of(large.directory / "artifacts") < 1_000, "large values are left"
    with kernels.store(large.directory) as kernel:
        assert kernel.journal.info()["sound"] and KitaruClient().executions.list() == []
        assert kernels.start(ten, 1).wait(timeout=60) == 45


def test_looking_at_a_store_does_not_depend_on_its_size(tmp_path: Path) -> None:
    _check_stores(tmp_path, 400)


@pytest.mark.battery
@pytest.mark.timeout(3 * 3_600)
def test_looking_at_a_large_store_does_not_depend_on_its_size(tmp_path: Path) -> None:
    _check_stores(tmp_path, EXECUTIONS)


def _check_memory(directory: Path, executions: int) -> None:
    """What a process keeps of executions that have ended: nothing."""

    with kernels.store(directory) as kernel:

        def objects() -> int:
            if kernel.events is not None:
                kernel.events.drain(60)  # observers of installed plugins have heard of everything
            gc.collect()
            return len(gc.get_objects())

        for n in range(100):  # what is kept on purpose, once
            kernels.start(ten, n).wait(timeout=60)
        before = objects()
        for n in range(executions):
            kernels.start(ten, n).wait(timeout=60)
        grown = objects() - before
        assert not kernel.runs
    assert grown < 300, f"{grown} objects are left of {executions} executions"


def test_nothing_is_kept_of_what_has_ended(tmp_path: Path) -> None:
    _check_memory(tmp_path, 200)


@pytest.mark.battery
@pytest.mark.timeout(3_600)
def test_nothing_is_kept_of_many_that_have_ended(tmp_path: Path) -> None:
    _check_memory(tmp_path, EXECUTIONS)

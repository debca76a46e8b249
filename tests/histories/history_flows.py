"""The flows of the recorded histories. What they call, and with what, never changes: executions of every released
version are resumed with them. New features get new flows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import kitaru
from kitaru import checkpoint, flow

#: Bodies that ran in this process.
ran: list[str] = []

STOP_VARIABLE = "KITARU_TEST_HISTORY_STOP"
CURED_VARIABLE = "KITARU_TEST_HISTORY_CURED"


def stop_at(place: str) -> None:
    """While a history is written: die here."""
    if os.environ.get(STOP_VARIABLE) == place:
        os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Paper:
    title: str
    pages: int
    price: Decimal
    tags: frozenset[str]


class ServiceDownError(ConnectionError):
    """What the services of these flows raise."""


@checkpoint
def fetch(n: int) -> Paper:
    ran.append(f"fetch {n}")
    return Paper(f"paper {n}", n * 10, Decimal(n) / 4, frozenset({"a", str(n)}))


@checkpoint
def outer(n: int) -> int:
    ran.append(f"outer {n}")
    return fetch(n).pages + fetch(n + 1).pages


@checkpoint
def large(letter: str) -> bytes:
    ran.append(f"large {letter}")
    return letter.encode() * 1_000


@checkpoint(retries=2)
def flaky(n: int) -> str:
    ran.append(f"flaky {n}")
    if kitaru.current().attempt == 1:
        raise ServiceDownError("not yet")
    return f"worked in attempt {kitaru.current().attempt}"


@checkpoint
def broken(n: int) -> None:
    ran.append(f"broken {n}")
    raise ServiceDownError(f"no {n}", {"code": 503})


@checkpoint
def slow(n: int) -> int:
    """Long enough for a record that it has started."""
    ran.append(f"slow {n}")
    time.sleep(0.05)
    stop_at("slow")
    return n


@flow
def part(n: int) -> int:
    return fetch(n).pages + 1


def _basics(n: int) -> dict[str, Any]:
    papers = [one.result() for one in fetch.map([1, 2, 3])]
    found: dict[str, Any] = {"pages": outer(n), "flaky": flaky(n), "titles": tuple(one.title for one in papers)}
    try:
        broken(n)
    except ServiceDownError as error:
        found["caught"] = error.args
    found["seeded"] = (kitaru.now(), str(kitaru.uuid4()), kitaru.random())
    kitaru.sleep(0.001)
    found["child"] = part.run(5).wait()
    found["large"] = len(large("a"))
    stop_at("basics")
    found["slow"] = slow(n)
    return found


@flow
def basics(n: int) -> dict[str, Any]:
    """What the first schema could hold."""
    return _basics(n)


# -- the second schema ------------------------------------------------------------------------------------------


@checkpoint
def notes(n: int) -> int:
    ran.append(f"notes {n}")
    kitaru.log(cost=0.5, tokens={"in": n})
    kitaru.save("draft", {"text": "d" * 1_000}, type="response", tags=["first"])
    return n


@checkpoint(effect="once", in_doubt="ask")
def charge(amount: int) -> str:
    ran.append(f"charge {amount}")
    stop_at("charge")
    return f"charged {amount}"


@checkpoint(cache=True)
def lookup(word: str) -> str:
    ran.append(f"lookup {word}")
    return word.upper()


@flow
def everything(n: int) -> dict[str, Any]:
    found = _basics(n)
    kitaru.log(model="m")
    found["notes"] = notes(n)
    found["cached"] = lookup("word")
    found["answer"] = kitaru.wait(name="approve", schema=bool, question="Publish?", timeout=0, metadata={"n": n})
    found["paid"] = charge(n)
    stop_at("everything")
    found["last"] = fetch(9).title
    return found


@flow
def fails(n: int) -> int:
    first = fetch(n).pages
    return first + cured(n)


@checkpoint
def cured(n: int) -> int:
    ran.append(f"cured {n}")
    if os.environ.get(CURED_VARIABLE) is None:
        raise ServiceDownError("still down")
    return n


@flow
def asks_inside(n: int) -> int:
    return int(asking.run(n).wait()) + 1


@flow
def asking(n: int) -> int:
    return fetch(n).pages + int(kitaru.wait(name="how many", schema=int, timeout=0))


@checkpoint
async def afetch(n: int) -> int:
    ran.append(f"afetch {n}")
    await asyncio.sleep(0.001 * (5 - n))
    return n * n


@checkpoint
async def never(n: int) -> int:
    ran.append(f"never {n}")
    await asyncio.sleep(60)
    return n


@flow
async def branches(n: int) -> list[Any]:
    found: list[Any] = list(await asyncio.gather(*(afetch(i) for i in range(n))))
    try:
        async with asyncio.timeout(0.02):
            await never(1)
    except TimeoutError:
        found.append("timed out")
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(afetch(i)) for i in range(2)]
    found += [task.result() for task in tasks]
    stop_at("branches")
    return [*found, await afetch(4)]

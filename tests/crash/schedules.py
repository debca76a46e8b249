"""Concurrent flows whose bodies take as many turns of the event loop as a schedule says, and what they observed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from kitaru import checkpoint, flow


@dataclass
class Schedule:
    """How one run of a flow goes: which call ends when, in which order branches are made; and what happened."""

    turns: dict[str, int] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)


now = Schedule()


@checkpoint
async def fetch(label: str) -> str:
    now.ran.append(label)
    for _ in range(now.turns[label]):
        await asyncio.sleep(0)
    return label.upper()


async def chain(label: str) -> list[str]:
    first = await fetch(label)
    now.seen.append(label)
    second = await fetch(label + "2")
    now.seen.append(label + "2")
    return [first, second]


@flow
async def gathered(labels: list[str]) -> dict[str, list[str]]:
    return dict(zip(labels, await asyncio.gather(*map(chain, labels)), strict=True))


@flow
async def reordered(labels: list[str]) -> dict[str, list[str]]:
    """The branches are made in another order each time."""
    order = [label for label in now.order if label in labels]
    values = await asyncio.gather(*(fetch(label) for label in order))
    return {label: [value, await fetch(label + "2")] for label, value in sorted(zip(order, values, strict=True))}


@flow
async def nested(labels: list[str]) -> list[str]:
    """Like :func:`as_they_come`, but some results have to come through more tasks than others."""

    async def through(label: str, tasks: int) -> str:
        if tasks == 0:
            return await fetch(label)
        return await asyncio.create_task(through(label, tasks - 1))

    arrived = []
    branches = [asyncio.create_task(through(label, 3 - number)) for number, label in enumerate(labels)]
    for done in asyncio.as_completed(branches):
        value = await done
        now.seen.append(value.lower())
        arrived.append(value)
    arrived.append(await fetch("".join(arrived).lower() + "end"))
    return arrived


@flow
async def grouped(labels: list[str]) -> dict[str, list[str]]:
    async with asyncio.TaskGroup() as group:
        started = {label: group.create_task(chain(label)) for label in labels}
    return {label: task.result() for label, task in started.items()}


@flow
async def as_they_come(labels: list[str]) -> list[str]:
    """The order in which results arrive decides what is called next: it must be the same when the code runs again."""
    arrived = []
    for done in asyncio.as_completed([asyncio.ensure_future(fetch(label)) for label in labels]):
        value = await done
        now.seen.append(value.lower())
        arrived.append(value)
    arrived.append(await fetch("".join(arrived).lower() + "end"))
    return arrived


@flow
async def raced(labels: list[str]) -> str:
    """The first one wins, the others are cancelled; the winner's name goes into the next call."""
    tasks = [asyncio.ensure_future(fetch(label)) for label in labels]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    winners = "".join(sorted(task.result() for task in done))
    now.seen.append(winners)
    return await fetch(winners.lower() + "won") + await fetch("last")

"""The flows that are killed. Every body leaves a line in a file outside the store before it does anything.

Results are deterministic, so that :mod:`tests.crash.models` can say what must come out. The flow's own code leaves a
``seen`` line for each value it got: what was seen must have been recorded.
"""

import asyncio
import json
import os
import time
from pathlib import Path

import kitaru
from kitaru import checkpoint, flow

EFFECTS_VARIABLE = "KITARU_TEST_EFFECTS"


def note(what: str, name: str, label: object) -> None:
    """Append one line to the effects file: one write to an O_APPEND descriptor, synced."""
    call = kitaru.current()
    _append([what, name, str(label), call.call_id, call.attempt, os.getpid()])


def _append(row: list[object]) -> None:
    line = json.dumps(row) + "\n"
    file = os.open(os.environ[EFFECTS_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, line.encode())
        os.fsync(file)
    finally:
        os.close(file)


def mark(what: str, name: str, label: object) -> None:
    """Append one line from outside a flow."""
    _append([what, name, str(label), None, 0, os.getpid()])


def runs_so_far(name: str, label: object) -> int:
    """How often the body of this call was begun, in all processes."""
    lines = Path(os.environ[EFFECTS_VARIABLE]).read_text().splitlines()
    return sum(json.loads(line)[:3] == ["run", name, str(label)] for line in lines)


def spread(label: object) -> float:
    """Seconds of work: different for each label, a little over the delay after which a start is recorded, or none."""
    return (sum(map(ord, str(label))) * 7 % 5) * 0.002


@checkpoint
def add(label: object, value: int) -> int:
    note("run", "add", label)
    return value * 3 + len(str(label))


@checkpoint
def slow(label: object, value: int) -> int:
    note("run", "slow", label)
    time.sleep(spread(label))
    return value + 1


@checkpoint
async def aadd(label: object, value: int) -> int:
    note("run", "aadd", label)
    await asyncio.sleep(spread(label))
    return value * 5 + len(str(label))


@checkpoint
def outer(label: str, value: int) -> int:
    note("run", "outer", label)
    for number in range(3):
        value = add(f"{label}.{number}", value)
    return value


@checkpoint
async def aouter(label: str, value: int) -> int:
    note("run", "aouter", label)
    parts = await asyncio.gather(*(aadd(f"{label}.{number}", value + number) for number in range(3)))
    return sum(parts)


class ServiceDownError(ConnectionError):
    """What the flaky service raises."""


@checkpoint(retries=3, backoff=0.004, retry_on=(ServiceDownError,))
def flaky(label: str, value: int, failures: int) -> int:
    note("run", "flaky", label)
    if runs_so_far("flaky", label) <= failures:
        raise ServiceDownError(f"{label} is not there yet")
    return value + 100


@checkpoint(retries=3, backoff=0.004)
async def aflaky(label: str, value: int, failures: int) -> int:
    note("run", "aflaky", label)
    await asyncio.sleep(0)
    if runs_so_far("aflaky", label) <= failures:
        raise ServiceDownError(f"{label} is not there yet")
    return value + 100


@checkpoint
def echo(label: str, value: object) -> object:
    note("run", "echo", label)
    return value


GATES_VARIABLE = "KITARU_TEST_GATES"


@checkpoint
def hold(label: str) -> str:
    """Stays inside until the gate of this process is opened."""
    note("run", "hold", label)
    gate = Path(os.environ[GATES_VARIABLE]) / f"gate-{os.getpid()}"
    while not gate.exists():
        time.sleep(0.001)
    return label


def seen(name: str, label: object, value: object) -> object:
    """Note that the flow's own code has this value, and pass it on."""
    note("seen", name, label)
    return value


@flow
def line(size: int) -> int:
    value = 1
    for number in range(size):
        value = seen("add", number, add(number, value))
    return value


@flow(max_concurrency=4)
def fan(size: int) -> int:
    mapped = slow.map(list(range(size)), 10)
    chained = [slow.submit(f"late{number}", one) for number, one in enumerate(mapped[:3])]
    last = slow.submit("last", 7, after=chained)
    values = [seen("slow", number, one.result()) for number, one in enumerate(mapped)]
    values += [one.result() for one in chained]
    return seen("add", "end", add("end", sum(values) + last.result()))


@flow
def nested(size: int) -> int:
    value = 1
    for number in range(size):
        value = seen("outer", f"o{number}", outer(f"o{number}", value))
    return value


@flow
async def gather(size: int) -> int:
    async def chain(number: int) -> int:
        first = seen("aadd", f"{number}a", await aadd(f"{number}a", number))
        return await aadd(f"{number}b", first)

    values = await asyncio.gather(*(chain(number) for number in range(size)))
    async with asyncio.TaskGroup() as group:
        inside = [group.create_task(aouter(f"n{number}", number)) for number in range(2)]
    total = sum(values) + sum(one.result() for one in inside)
    return seen("aadd", "end", await aadd("end", total))


@flow
def part(label: str, value: int) -> int:
    value = add(f"{label}.0", value)
    return add(f"{label}.1", value)


@flow
def child(size: int) -> int:
    first = add("start", 1)
    alone = part.run("alone", first).wait()
    together = [part.run(f"q{number}", number) for number in range(size)]
    total = alone + sum(handle.wait() for handle in together)
    return seen("add", "end", add("end", total))


@flow
def retry(size: int) -> int:
    value = 1
    for number in range(size):
        value = seen("flaky", f"f{number}", flaky(f"f{number}", value, number % 3))
        value = add(f"then{number}", value)
    return value


@checkpoint
def fill(label: object) -> str:
    note("run", "fill", label)
    return str(label)[:1] * 8_000


@flow
def filling(size: int) -> int:
    return sum(len(fill(number)) for number in range(size))


@flow
def held(size: int) -> int:
    value = 1
    for number in range(size):
        value = add(f"before{number}", value)
    hold("middle")
    for number in range(size):
        value = add(f"after{number}", value)
    return value


def answer_to(number: int) -> int:
    """The answer to the wait of this number."""
    return number * 7 + 1


@checkpoint
def approved(label: str, value: int) -> int:
    note("run", "approved", label)
    given = kitaru.wait(schema={"type": "object"}, name=f"in-{label}")
    return value + given["value"]


@flow
def answered(size: int) -> int:
    value = add("start", 1)
    for number in range(size):
        timeout = 0 if number % 2 else 600  # every second answer comes after the owner has let go
        given = kitaru.wait(schema={"type": "object"}, name=f"wait-{number}", timeout=timeout)
        value = seen("add", number, add(number, value + given["value"]))
    return seen("approved", "last", approved("last", value))


def fired(label: str) -> bool:
    """Whether the effect of this label has happened."""
    return any(line[2] == label for line in _fired())


def fired_by(call_id: str) -> str | None:
    """The label of the effect that this call had, if it has happened."""
    return next((line[2] for line in _fired() if line[3] == call_id), None)


def _fired() -> list[list[str]]:
    path = Path(os.environ[EFFECTS_VARIABLE])
    lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return [line for line in lines if line[0] == "fired"]


def look_up(doubt: kitaru.InDoubt) -> object:
    label, value = doubt.args
    return value * 10 if fired(label) else doubt.run_again()


def charge(label: str, value: int) -> int:
    note("fired", "charge", label)
    return value * 10


#: One checkpoint for each policy of ``in_doubt``.
CHARGES = [checkpoint(effect="once", in_doubt=policy)(charge) for policy in ("ask", "retry", "fail", look_up)]


@flow
def once(policy: int) -> list[object]:
    taken: list[object] = []
    for number in range(3):
        add(f"before{number}", number)
        try:
            taken.append(CHARGES[policy](f"c{number}", number))
        except kitaru.KitaruInDoubtError:
            taken.append("in doubt")
    return taken


async def acharge(label: str, value: int) -> int:
    await asyncio.sleep(0)
    note("fired", "charge", label)
    await asyncio.sleep(0)
    return value * 10


ACHARGES = [checkpoint(effect="once", in_doubt=policy)(acharge) for policy in ("ask", "retry", "fail", look_up)]


@flow
async def aonce(policy: int) -> list[object]:
    """Effects of async bodies, all under way at once."""

    async def one(number: int) -> object:
        await aadd(f"before{number}", number)
        try:
            return await ACHARGES[policy](f"c{number}", number)
        except kitaru.KitaruInDoubtError:
            return "in doubt"

    return await asyncio.gather(*(one(number) for number in range(3)))


@flow
def sonce(policy: int) -> list[object]:
    """Submitted effects: two on the pool's threads, one on the event loop's."""
    taken: list[object] = []
    for future in [
        CHARGES[policy].submit("c0", 0),
        ACHARGES[policy].submit("c1", 1),
        CHARGES[policy].submit("c2", 2),
    ]:
        try:
            taken.append(future.result())
        except kitaru.KitaruInDoubtError:
            taken.append("in doubt")
    return taken


@flow
async def mix(size: int) -> dict[str, object]:
    now, unique, number = kitaru.now(), kitaru.uuid4(), kitaru.random()
    drawn = [echo("now", now), echo("uuid", unique), echo("random", number)]
    big = echo("big", b"x" * 40_000)
    later = slow.map([f"m{one}" for one in range(size)], 1)
    tried = await aflaky("first", 1, 2)
    inside = outer("mixed", tried)
    values = [await one for one in later]
    ended = kitaru.now()
    end = await aadd("end", sum(values) + inside)
    return {"drawn": drawn, "given": [now, unique, number], "big": len(big), "ended": ended >= now, "end": end}

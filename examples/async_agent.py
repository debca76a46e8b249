"""An async agent: concurrent tool calls, a race with a time limit, a child flow, and a durable pause.

python examples/async_agent.py
"""

import asyncio

from kitaru import checkpoint, flow, now, sleep, uuid4


@checkpoint(type="tool_call")
async def search(query: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"results for {query}"


@checkpoint
async def write(title: str, parts: list[str]) -> str:
    return "\n".join([f"# {title}", *parts])


@flow
async def research(topic: str) -> list[str]:
    """A flow of its own, started by the one below as its child."""
    return list(await asyncio.gather(search(f"{topic} basics", 0.05), search(f"{topic} news", 0.05)))


@flow
async def report(topics: list[str]) -> str:
    ticket, started = uuid4(), now()  # recorded: the same again on a resume
    handles = [research.run(topic) for topic in topics]
    parts = [part for handle in handles for part in await handle]
    try:
        async with asyncio.timeout(0.1):
            parts.append(await search("something slow", 30.0))
    except TimeoutError:
        parts.append("(no slow results today)")
    await sleep(0.05)
    return await write(f"Report {str(ticket)[:8]} of {started:%Y-%m-%d}", parts)


if __name__ == "__main__":
    print(report.run(["durable execution", "agents"]).wait())

"""`kitaru mcp`, asked by the protocol's own client: over stdio, as agents start it, and over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client

from kitaru import KitaruClient
from kitaru.mcp.limits import limited
from kitaru.mcp.tools import TOOLS

KITARU = str(Path(sys.executable).with_name("kitaru"))
FLOWS = """
import time
import kitaru

class Odd:
    def __reduce__(self):
        return (print, ("a pickle was loaded",))

@kitaru.checkpoint
def step(n: int) -> int:
    print("stepping", n)
    kitaru.save("odd", Odd(), type="blob")
    return n * 2

@kitaru.checkpoint
def slow(n: int) -> int:
    time.sleep(0.5)
    return n

@kitaru.flow
def fine(n: int = 1) -> list:
    return [step(n), "x" * 5000]

@kitaru.flow
def long() -> int:
    return sum(slow(n) for n in range(4))

@kitaru.flow
def broken() -> None:
    step(1)
    raise ValueError("broken")

@kitaru.flow
def asks() -> str:
    return kitaru.wait(name="approve", schema=str, timeout=0)
"""


class Agent:
    """Calls tools."""

    def __init__(self, session: ClientSession) -> None:
        self.session = session

    async def names(self) -> set[str]:
        return {tool.name for tool in (await self.session.list_tools()).tools}

    async def raw(self, name: str, /, **arguments: Any) -> Any:
        return await self.session.call_tool(name, arguments)

    async def __call__(self, name: str, /, **arguments: Any) -> Any:
        answer = await self.raw(name, **arguments)
        assert not answer.is_error, answer.content
        found = answer.structured_content
        return found["result"] if set(found) == {"result"} else found

    async def error(self, name: str, /, **arguments: Any) -> str:
        answer = await self.raw(name, **arguments)
        assert answer.is_error
        return str(answer.content[0].text)

    async def until(self, exec_id: str, *statuses: str) -> Any:
        deadline = time.monotonic() + 30
        while True:
            found = await self("kitaru_executions_get", exec_id=exec_id)
            if found["status"] in statuses:
                return found
            assert time.monotonic() < deadline, found["status"]
            await asyncio.sleep(0.05)


def ask(work: Callable[[Agent], Awaitable[Any]], *options: str) -> Any:
    """Start a server with these options and have an agent work with it."""

    async def session() -> Any:
        parameters = StdioServerParameters(command=KITARU, args=["mcp", *options], env=dict(os.environ))
        async with stdio_client(parameters) as (read, write), ClientSession(read, write) as connected:
            await connected.initialize()
            return await work(Agent(connected))

    return asyncio.run(session())


@pytest.fixture
def flows(tmp_path: Path) -> str:
    (tmp_path / "flows.py").write_text(FLOWS)
    return str(tmp_path / "flows.py")


def test_it_looks_only_unless_more_is_allowed() -> None:
    by_level = {level: {tool.function.__name__ for tool in TOOLS if tool.level == level} for level in ("read", "write")}

    async def names(agent: Agent) -> set[str]:
        return await agent.names()

    assert ask(names) == by_level["read"]
    assert ask(names, "--allow", "write") == by_level["read"] | by_level["write"]
    every = ask(names, "--allow", "destructive")
    assert every == {tool.function.__name__ for tool in TOOLS}

    async def refused(agent: Agent) -> None:
        assert "Unknown tool" in await agent.error("kitaru_executions_cancel", exec_id="x")

    ask(refused)

    async def not_deleted(agent: Agent) -> None:
        told = await agent.error("manage_stack", action="delete", name="x")
        assert "kitaru mcp --allow destructive" in told

    ask(not_deleted, "--allow", "write")


def test_a_day_of_an_agent(flows: str) -> None:
    async def day(agent: Agent) -> None:
        started = await agent("kitaru_executions_run", target=f"{flows}:fine", args={"n": 3})
        assert started["target"] == f"{flows}:fine" and started["warning"] is None
        exec_id = started["exec_id"]
        done = await agent.until(exec_id, "completed")
        assert done["checkpoints"][0]["invocation_id"] == "step"
        assert (await agent("kitaru_executions_latest", flow="fine"))["exec_id"] == exec_id
        assert [one["exec_id"] for one in await agent("kitaru_executions_list", status="completed")] == [exec_id]
        assert "INFO [step] stepping 3" in await agent("get_execution_logs", exec_id=exec_id)
        artifacts = await agent("kitaru_artifacts_list", exec_id=exec_id)
        values = {}
        for one in artifacts:
            got = await agent("kitaru_artifacts_get", artifact_id=one["artifact_id"])
            values[one["name"]] = got["value"]
        assert values["step"] == 6 and "odd" in values
        again = await agent("kitaru_executions_replay", exec_id=exec_id, flow_inputs={"n": 4})
        assert again["available"] and again["operation"] == "replay"
        second = again["execution"]["exec_id"]
        await agent.until(second, "completed")
        compared = await agent("kitaru_executions_diff", first=exec_id, second=second)
        assert compared["calls"][0]["verdict"] == "value differs"
        counted = await agent("kitaru_executions_statistics", since="1h")
        assert counted["total"]["executions"] == 2

    ask(day, "--allow", "write")


def test_waits_failures_and_stacks(flows: str) -> None:
    async def work(agent: Agent) -> None:
        waiting = (await agent("kitaru_executions_run", target=f"{flows}:asks"))["exec_id"]
        found = await agent.until(waiting, "waiting")
        wait = found["pending_waits"][0]["wait_id"]
        assert "schema type" in await agent.error("kitaru_executions_input", exec_id=waiting, wait=wait, value=3)
        await agent("kitaru_executions_input", exec_id=waiting, wait="approve", value="yes")
        await agent.until(waiting, "completed")
        second = (await agent("kitaru_executions_run", target=f"{flows}:asks"))["exec_id"]
        await agent.until(second, "waiting")
        assert (await agent("kitaru_executions_abort", exec_id=second, wait="approve"))["exec_id"] == second
        failed = (await agent("kitaru_executions_run", target=f"{flows}:broken"))["exec_id"]
        await agent.until(failed, "failed")
        assert (await agent("kitaru_executions_check", exec_id=failed))["verdict"] == "fails"
        await agent("kitaru_executions_retry", exec_id=failed)
        await agent.until(failed, "failed")
        third = (await agent("kitaru_executions_run", target=f"{flows}:asks"))["exec_id"]
        await agent.until(third, "waiting")
        await agent("kitaru_executions_cancel", exec_id=third)
        await agent.until(third, "cancelled")
        await agent("kitaru_executions_resume", exec_id=third)
        made = await agent("manage_stack", action="create", name="agents", activate=False)
        assert made["components_created"]
        assert {one["name"] for one in await agent("kitaru_stacks_list")} == {"default", "agents"}
        gone = await agent("manage_stack", action="delete", name="agents")
        assert gone["deleted_stack"] == "agents"
        assert (await agent("kitaru_status"))["active_stack"] == "default"

    ask(work, "--allow", "destructive")


def test_what_bodies_print_does_not_get_into_the_protocol_and_pickles_are_not_loaded(flows: str) -> None:
    async def work(agent: Agent) -> None:
        exec_id = (await agent("kitaru_executions_run", target=f"{flows}:fine"))["exec_id"]
        await agent.until(exec_id, "completed")
        for one in await agent("kitaru_artifacts_list", exec_id=exec_id):
            await agent("kitaru_artifacts_get", artifact_id=one["artifact_id"])
        logs = await agent("get_execution_logs", exec_id=exec_id, source="all")
        assert "a pickle was loaded" not in logs

    ask(work, "--allow", "write")


def test_an_agent_that_leaves_ends_nothing(flows: str) -> None:
    async def work(agent: Agent) -> str:
        return str((await agent("kitaru_executions_run", target=f"{flows}:long"))["exec_id"])

    exec_id = ask(work, "--allow", "write")
    deadline = time.monotonic() + 30
    while KitaruClient().executions.status(exec_id).value != "completed":
        assert time.monotonic() < deadline, KitaruClient().executions.status(exec_id)
        time.sleep(0.05)
    assert KitaruClient().executions.result(exec_id) == 6


def test_results_are_cut(flows: str) -> None:
    async def work(agent: Agent) -> None:
        exec_id = (await agent("kitaru_executions_run", target=f"{flows}:fine"))["exec_id"]
        await agent.until(exec_id, "completed")
        got = await agent("kitaru_executions_get", exec_id=exec_id)
        assert len(json.dumps(got)) <= 2000 and (got["exec_id"], got["status"]) == (exec_id, "completed")

    ask(work, "--allow", "write", "--max-output", "2000")


def test_cutting() -> None:
    value = {"rows": [{"text": "x" * 300, "n": n} for n in range(300)]}
    assert limited(value, 10**6) == (value, False)
    for most in (50_000, 5_000, 1_000):
        cut, was_cut = limited(value, most)
        assert was_cut and len(json.dumps(cut)) <= most
        assert "(+" in json.dumps(cut)
    deep: Any = "x"
    for _ in range(300):
        deep = {"deeper": deep}
    cut, was_cut = limited({"exec_id": "a" * 36, "deep": deep}, 1000)
    assert was_cut and cut["exec_id"] == "a" * 36 and "(cut)" in json.dumps(cut)
    many = {f"key{number}": number for number in range(1000)}
    assert isinstance(limited(many, 1000)[0], str)


HOSTILE = ["", " ", "\x00", "../../etc/passwd", "a" * 10_000, "'; DROP TABLE executions; --", "💥", "None", "-1", "\n"]


def test_hostile_arguments(flows: str) -> None:
    count = 0

    async def work(agent: Agent) -> None:
        nonlocal count
        odd: list[Any] = [*HOSTILE, None, 3, [], {}, True]
        for tool in TOOLS:
            name = tool.function.__name__
            if name in ("kitaru_status", "kitaru_stacks_list"):
                continue
            for value in odd:
                for arguments in _arguments(name, value):
                    answer = await agent.raw(name, **arguments)
                    text = "".join(part.text for part in answer.content)
                    assert "Traceback" not in text
                    if answer.is_error:
                        assert text.strip() not in ("", f"Error executing tool {name}"), (name, arguments)
                    count += 1
        assert (await agent("kitaru_status"))["active_stack"] == "default", "it still answers"

    ask(work, "--allow", "destructive")
    assert count >= 250


def _arguments(tool: str, value: Any) -> list[dict[str, Any]]:
    first = {
        "kitaru_executions_list": "status",
        "kitaru_executions_latest": "flow",
        "kitaru_executions_statistics": "since",
        "kitaru_artifacts_get": "artifact_id",
        "kitaru_executions_run": "target",
        "kitaru_executions_diff": "first",
    }.get(tool, "exec_id")
    if tool == "manage_stack":
        return [{"action": "create", "name": value, "stack_type": "nowhere"}, {"action": value, "name": "x"}]
    more = {"kitaru_executions_input": {"wait": "w", "value": value}, "kitaru_executions_diff": {"second": "x"}}
    return [{first: value, **more.get(tool, {})}]


def test_over_http_with_a_token(flows: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    monkeypatch.setenv("KITARU_MCP_TOKEN", "canary-token-123")
    server = subprocess.Popen(
        [KITARU, "mcp", "--transport", "http", "--port", "0"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert server.stderr is not None
        url = server.stderr.readline().split()[-1]
        assert "the one in KITARU_MCP_TOKEN" in server.stderr.readline()
        for headers in ({}, {"Authorization": "Bearer nonsense"}):
            assert httpx.post(url, json={}, headers=headers).status_code == 401
        signed = {"Authorization": "Bearer canary-token-123"}
        assert httpx.post(url, json={}, headers={**signed, "Host": "evil.example"}).status_code in (403, 421)

        async def session() -> Any:
            import httpx2

            async with (
                httpx2.AsyncClient(headers=signed) as http,
                streamable_http_client(url, http_client=http) as streams,
                ClientSession(streams[0], streams[1]) as connected,
            ):
                await connected.initialize()
                return await Agent(connected)("kitaru_status")

        assert asyncio.run(session())["active_stack"] == "default"
    finally:
        server.terminate()
        server.wait(20)
        assert server.stderr is not None
        server.stderr.close()


def test_importing_it_loads_no_server() -> None:
    code = "import sys, kitaru.mcp; assert 'kitaru.mcp.server' not in sys.modules and 'mcp.server' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_the_extra() -> None:
    code = (
        "import sys\n"
        "from importlib import util\n"
        "real = util.find_spec\n"
        "util.find_spec = lambda name, *rest: None if name == 'mcp' else real(name, *rest)\n"
        "from kitaru.cli.main import main\n"
        "main(['mcp'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'kitaru[mcp]'" in done.stderr and "Traceback" not in done.stderr

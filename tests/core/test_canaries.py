"""Secrets are planted everywhere they may stand, everything is used, and then nothing that was written holds one."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import stat
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.emulators.models import Answer, ModelServer

from kitaru import KitaruClient

KITARU = str(Path(sys.executable).with_name("kitaru"))
CANARIES = {
    "secret": "canary-in-the-secret-store-8d1f",
    "environment": "canary-in-the-environment-91c2",
    "image": "canary-in-the-image-settings-44ab",
    "log store": "canary-of-the-log-store-0e7d",
    "aws": "canary-of-the-aws-account-5b3a",
    "mcp": "canary-of-the-mcp-server-c0de",
}
FLOWS = """
import os
import kitaru

IMAGE = {"environment": {"SERVICE_TOKEN": os.environ["PLANTED_IMAGE"]}}

@kitaru.checkpoint
def uses_a_secret() -> int:
    return len(kitaru.get_secret("planted")["OPENAI_API_KEY"])

@kitaru.flow(image=IMAGE)
def asks(model: str) -> str:
    uses_a_secret()
    return kitaru.llm("hello", model=model, retries=0)
"""


@contextmanager
def watched() -> Iterator[set[str]]:
    """The command lines of all processes meanwhile."""
    seen: set[str] = set()
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            for place in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(place.read_bytes().decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.02)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_no_secret_is_written_anywhere(own_store: Path, tmp_path: Path) -> None:
    provider = ModelServer()
    said: list[str] = []
    env = {**os.environ, "PLANTED_IMAGE": CANARIES["image"], "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    env.pop("OPENAI_API_KEY", None)
    env["OPENAI_API_BASE"] = provider.url
    (tmp_path / "flows.py").write_text(FLOWS)

    def kitaru(*words: str, stdin: str = "", **more: str) -> str:
        done = subprocess.run(
            [KITARU, *words], input=stdin, env={**env, **more}, cwd=tmp_path, capture_output=True, text=True, timeout=90
        )
        said.extend((done.stdout, done.stderr))
        return done.stdout

    try:
        with watched() as command_lines:
            kitaru("secrets", "set", "planted", "OPENAI_API_KEY", "--stdin", stdin=CANARIES["secret"])
            kitaru("model", "register", "fast", "--model", "openai/gpt-4o-mini", "--secret", "planted")
            kitaru("run", "flows.py:asks", "--args", '{"model": "fast"}')
            quoting = json.dumps(
                {"error": {"message": f"bad key {CANARIES['secret']}", "type": "invalid_request_error"}}
            )
            provider.answers = [Answer(status=401, body=quoting)]
            kitaru("run", "flows.py:asks", "--args", '{"model": "fast"}', "--output", "json")
            quoting = quoting.replace(CANARIES["secret"], CANARIES["environment"])
            provider.answers = [Answer(status=500, body=quoting)]
            kitaru("run", "flows.py:asks", "--args", '{"model": "fast"}', OPENAI_API_KEY=CANARIES["environment"])
            _everything_else(kitaru, tmp_path)
            asyncio.run(_an_agent(env, said))
        assert set(provider.keys) == {CANARIES["secret"], CANARIES["environment"]}, "they were really used"
    finally:
        provider.close()
    assert any(b"SERVICE_TOKEN" in _content(file) for file in own_store.rglob("kitaru.db*")), "by name, it is there"
    for name, canary in CANARIES.items():
        for form in (canary, base64.b64encode(canary.encode()).decode().rstrip("=")):
            assert not any(form in text for text in said), f"{name} was shown"
            assert not any(form in line for line in command_lines), f"{name} stood in a command line"
            for file in (*own_store.rglob("*"), *tmp_path.glob("*.kitaru")):
                if file.is_file() and form.encode() in _content(file):
                    assert (name, file.name) == ("log store", "kitaru.yaml"), f"{name} is in {file}"
                    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def _everything_else(kitaru: Any, tmp_path: Path) -> None:
    key = CANARIES["aws"]
    spec = {"name": "cloud", "type": "sagemaker", "verify": False, "activate": False}
    spec |= {"artifact_store": "s3://bucket/x", "container_registry": "123456789012.dkr.ecr.eu-west-1.amazonaws.com"}
    spec |= {"region": "eu-west-1", "execution_role": "arn:aws:iam::123456789012:role/x"}
    spec["credentials"] = f"aws-access-keys:AKIAEXAMPLE:{key}"
    (tmp_path / "stack.yaml").write_text(json.dumps(spec))
    kitaru("stack", "create", "--file", "stack.yaml")
    (tmp_path / "stack.yaml").unlink()
    kitaru("stack", "show", "cloud", "--output", "json")
    for execution in KitaruClient().executions.list():
        for words in (("get",), ("get", "--output", "json"), ("logs", "-vv"), ("export",)):
            file = (str(tmp_path / f"{execution.exec_id}.kitaru"),) if words == ("export",) else ()
            kitaru("executions", words[0], execution.exec_id, *words[1:], *file)
    kitaru("secrets", "show", "planted", "--output", "json")
    kitaru("status", OPENAI_API_KEY=CANARIES["environment"], KITARU_LOG_STORE_API_KEY=CANARIES["log store"])
    kitaru("doctor", "--output", "json")
    kitaru(
        "log-store", "set", "otel", "--endpoint", "http://127.0.0.1:9", "--api-key", "-", stdin=CANARIES["log store"]
    )
    kitaru("log-store", "show", "--output", "json")
    kitaru("info", "--output", "json")
    kitaru("log-store", "nonsense", KITARU_MCP_TOKEN=CANARIES["mcp"])


async def _an_agent(env: dict[str, str], said: list[str]) -> None:
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    more = {"KITARU_MCP_TOKEN": CANARIES["mcp"], "OPENAI_API_KEY": CANARIES["environment"]}
    parameters = StdioServerParameters(command=KITARU, args=["mcp"], env={**env, **more})
    async with stdio_client(parameters) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        for one in KitaruClient().executions.list():
            for tool in ("kitaru_executions_get", "get_execution_logs", "kitaru_artifacts_list"):
                said.append(str(await session.call_tool(tool, {"exec_id": one.exec_id})))
            for artifact in one.refresh().artifacts:
                said.append(str(await session.call_tool("kitaru_artifacts_get", {"artifact_id": artifact.artifact_id})))
        said.extend([str(await session.call_tool(name, {})) for name in ("kitaru_status", "kitaru_stacks_list")])


def _content(file: Path) -> bytes:
    """A file's bytes, and what is compressed in them."""
    data = file.read_bytes()
    try:
        import zipfile

        with zipfile.ZipFile(file) as archive:
            return data + b"".join(archive.read(name) for name in archive.namelist())
    except zipfile.BadZipFile:
        pass
    for wbits in (zlib.MAX_WBITS, 16 + zlib.MAX_WBITS):
        try:
            return data + zlib.decompress(data, wbits)
        except zlib.error:
            continue
    return data

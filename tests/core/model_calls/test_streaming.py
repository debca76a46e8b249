"""Streamed answers: heard as they come, journaled once whole, and never half."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.core.model_calls.conftest import MODEL, result_of
from tests.emulators.models import Answer, ModelServer

from kitaru import FlowHandle, KitaruClient, KitaruStateError, checkpoint, flow, llm
from kitaru.errors import KitaruUserCodeError


@checkpoint
def write(retries: int) -> str:
    found: str = llm("write", model=MODEL, name="text", stream=True, retries=retries)
    return found


@flow
def streamed(again: int = 0, deep: bool = False) -> str:
    return write(again) if deep else llm("write", model=MODEL, name="text", stream=True, retries=again)


@flow
async def streamed_async() -> str:
    found: str = await llm("write", model=MODEL, name="text", stream=True)
    return found


@pytest.mark.parametrize("how", ["flow", "checkpoint", "async"])
def test_pieces_come_one_by_one(provider: ModelServer, how: str) -> None:
    provider.answers = [Answer(["Once ", "upon\n", "a time"], pause=0.4)]
    handle = streamed_async.run() if how == "async" else streamed.run(deep=how == "checkpoint")
    heard = [(time.monotonic(), piece) for piece in handle.stream()]
    assert handle.wait() == "Once upon\na time"
    assert [piece.text for _, piece in heard] == ["Once ", "upon\n", "a time"]
    assert {(piece.call, piece.name) for _, piece in heard} == {
        ("write" if how == "checkpoint" else "text", "text"),
    }
    assert heard[-1][0] - heard[0][0] > 0.3, "as they come, not all at the end"
    assert provider.asked[0]["stream_options"] == {"include_usage": True}
    told = KitaruClient().executions.get(handle.exec_id).checkpoints[0].metadata["llm_calls"]["text"]
    assert told["streamed"] and told["total_tokens"] == 15 and told["cost_usd"] > 0
    lines = [entry for entry in KitaruClient().executions.logs(handle.exec_id) if entry.source == "model"]
    assert [entry.message for entry in lines] == ["Once upon", "a time"], "elsewhere it is seen line by line"


def test_a_late_listener_gets_what_was_said(provider: ModelServer) -> None:
    provider.answers = [Answer(["a", "b", "c"], pause=0.3)]
    handle = streamed.run()
    time.sleep(0.8)
    assert "".join(piece.text for piece in handle.stream()) == "abc"
    assert list(handle.stream()) == [], "after the end there is nothing to hear"
    with pytest.raises(KitaruStateError, match="does not run in this process"):
        FlowHandle(handle._kernel, handle.exec_id).stream()


def test_a_cut_answer_is_tried_again(provider: ModelServer) -> None:
    provider.answers = [Answer(["half an ans"], cut=True), Answer(["a whole one"])]
    handle = streamed.run(1)
    heard = list(handle.stream())
    assert handle.wait() == "a whole one"
    assert "".join(piece.text for piece in heard) == "half an ansa whole one"
    call = KitaruClient().executions.get(handle.exec_id).checkpoints[0]
    (failed,) = call.metadata["llm_calls"]["text"]["failed_tries"]
    assert "HalfAnswer" in failed["error"] and failed["retried"]
    assert {one.name: one.load() for one in call.artifacts}["text_response"] == "a whole one"


def test_a_cut_answer_fails_where_it_is_not_to_be_retried(provider: ModelServer) -> None:
    provider.answers = [Answer(["half an ans"], cut=True)]
    handle = streamed.run(0)
    with pytest.raises(KitaruUserCodeError, match="HalfAnswer: the stream ended before the answer was complete"):
        handle.wait()
    call = KitaruClient().executions.get(handle.exec_id).checkpoints[0]
    (failed,) = call.metadata["llm_calls"]["text"]["failed_tries"]
    assert not failed["retried"]
    assert [one.name for one in call.artifacts] == ["text_prompt"], "half an answer is no answer"


def test_a_dripping_answer_is_given_up(provider: ModelServer) -> None:
    provider.answers = [Answer(["x"] * 50, pause=0.1)]
    handle = one_second.run()
    with pytest.raises(KitaruUserCodeError, match="Timeout"):
        handle.wait(timeout=20)


@flow
def one_second() -> Any:
    return llm("write", model=MODEL, stream=True, timeout=0.6, retries=0)


PROGRAM = """
from kitaru import flow, llm

@flow
def killed():
    first = llm("one", model="openai/gpt-4o-mini")
    return first + llm("two", model="openai/gpt-4o-mini", stream=True)

if __name__ == "__main__":
    handle = killed.run()
    print(handle.exec_id, flush=True)
    for piece in handle.stream():
        print(piece.text, flush=True)
"""


def test_killed_in_the_middle_of_an_answer(provider: ModelServer, tmp_path: Path) -> None:
    provider.answers = [Answer(["paid"]), Answer(["half", "never"], pause=3), Answer([" again"])]
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen([sys.executable, "program.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as child:
        assert child.stdout is not None
        exec_id = child.stdout.readline().strip()
        assert child.stdout.readline().strip() == "half"
        os.kill(child.pid, signal.SIGKILL)
    sys.path.insert(0, str(tmp_path))
    try:
        KitaruClient().executions.resume(exec_id)
        assert result_of(exec_id) == "paid again"
    finally:
        sys.path.remove(str(tmp_path))
    asked = [body["messages"][0]["content"] for body in provider.asked]
    assert asked == ["one", "two", "two"], "only the one that had not ended is asked again"

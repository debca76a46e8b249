"""kitaru.llm(): asked once, recorded whole, never paid for twice."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from pydantic import BaseModel
from tests.core.model_calls.conftest import KEY, MODEL, result_of
from tests.emulators.models import Answer, ModelServer

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow, llm
from kitaru.errors import (
    KitaruBackendError,
    KitaruContextError,
    KitaruRuntimeError,
    KitaruUsageError,
    KitaruUserCodeError,
)
from kitaru.model_calls import ModelReply, ToolCall

trouble = {"fail": True}


class Plan(BaseModel):
    steps: list[str]
    hours: int = 1


@flow
def plain(prompt: Any, options: dict[str, Any]) -> Any:
    return llm(prompt, **{"model": MODEL, **options})


def run(prompt: Any = "Hi", **options: Any) -> FlowHandle:
    return plain.run(prompt, options)


@flow
def thrice() -> list[str]:
    found = [llm("one", model=MODEL), llm("two", model=MODEL, name="named"), llm("three", model=MODEL, name="named")]
    if trouble["fail"]:
        raise ValueError("after all calls")
    return found


@checkpoint
def inside(topic: str) -> str:
    first: str = llm(f"about {topic}", model=MODEL, name="draft")
    second: str = llm(first, model=MODEL, name="draft", system="Be short.")
    return second


@flow
def nested(topic: str) -> str:
    found: str = inside(topic)
    return found


@checkpoint
async def inside_async(topic: str) -> str:
    return "".join(await asyncio.gather(llm(topic, model=MODEL), llm(topic, model=MODEL)))


@flow
async def concurrent() -> list[str]:
    return list(await asyncio.gather(llm("a", model=MODEL), llm("b", model=MODEL), inside_async("c")))


def made(exec_id: str) -> Any:
    return KitaruClient().executions.get(exec_id)


def line(exec_id: str, call: int = 0) -> dict[str, Any]:
    """The metadata of the only model call of a checkpoint call."""
    (found,) = made(exec_id).checkpoints[call].metadata["llm_calls"].values()
    return dict(found)


def test_an_answer_is_recorded_whole(provider: ModelServer) -> None:
    handle = run("Hi", system=" Be kind. ", temperature=0.2, max_tokens=9)
    assert handle.wait() == "Hello"
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    asked = provider.asked[0]
    assert (asked["messages"], asked["temperature"], asked["max_tokens"]) == (messages, 0.2, 9)
    (call,) = made(handle.exec_id).checkpoints
    assert (call.invocation_id, call.checkpoint_type) == ("llm_1", "llm_call")
    kept = {one.name: (one.kind, one.load()) for one in call.artifacts}
    assert kept["llm_1_prompt"] == ("prompt", messages)
    assert kept["llm_1_response"] == ("response", "Hello")
    told = call.metadata["llm_calls"]["llm_1"]
    assert told.pop("latency_ms") > 0
    assert told == {
        "requested_model": MODEL,
        "resolved_model": MODEL,
        "credential_source": "environment",
        "tokens_input": 10,
        "tokens_output": 5,
        "tokens_cached": 4,
        "total_tokens": 15,
        "cost_usd": pytest.approx(4.2e-06),
        "finish_reason": "stop",
    }
    assert KitaruClient().executions.statistics().total.cost == pytest.approx(4.2e-06)


def test_a_call_is_not_made_again(provider: ModelServer) -> None:
    trouble["fail"] = True
    handle = thrice.run()
    with pytest.raises(KitaruUserCodeError):
        handle.wait()
    trouble["fail"] = False
    KitaruClient().executions.retry(handle.exec_id)
    assert result_of(handle.exec_id) == ["Hello"] * 3
    assert [body["messages"][0]["content"] for body in provider.asked] == ["one", "two", "three"]
    assert [call.invocation_id for call in made(handle.exec_id).checkpoints] == ["llm_1", "named", "named#2"]


def test_what_a_replay_reuses_is_told_apart(provider: ModelServer) -> None:
    trouble["fail"] = False
    first = thrice.run()
    first.wait()
    again = thrice.replay(first.exec_id, from_="named#2")
    assert again.wait() == ["Hello"] * 3
    assert len(provider.asked) == 4
    total = KitaruClient().executions.statistics().total
    assert total.cost == pytest.approx(4 * 4.2e-06) and total.cost_reused == pytest.approx(2 * 4.2e-06)


def test_in_a_checkpoint_it_is_part_of_that(provider: ModelServer) -> None:
    handle = nested.run("rust")
    assert handle.wait() == "Hello"
    (call,) = made(handle.exec_id).checkpoints
    assert list(call.metadata["llm_calls"]) == ["draft", "draft#2"]
    assert {one.name for one in call.artifacts if one.save_type == "manual"} == {
        "draft_prompt",
        "draft_response",
        "draft#2_prompt",
        "draft#2_response",
    }


def test_async_code_awaits_it(provider: ModelServer) -> None:
    provider.answers = [Answer(pause=0.2)]
    handle = concurrent.run()
    assert handle.wait() == ["Hello", "Hello", "HelloHello"]
    assert len(provider.asked) == 4


def test_a_form_is_validated_and_repaired_once(provider: ModelServer) -> None:
    provider.answers = [Answer(['{"steps": 3}']), Answer(['```json\n{"steps": ["a"]}\n```']), Answer(["no"])]
    handle = run(response_format=Plan)
    assert handle.wait() == Plan(steps=["a"])
    assert provider.asked[0]["response_format"]["type"] == "json_schema"
    repair = provider.asked[1]["messages"][-1]["content"]
    assert "steps: Input should be a valid array" in repair
    told = line(handle.exec_id)
    assert told["repaired"] and told["total_tokens"] == 30, "both exchanges are paid for"
    with pytest.raises(KitaruUserCodeError, match=r"does not fit Plan, also after it was asked to repair it"):
        run(response_format=Plan).wait()


def weather(city: str, days: int = 1) -> str:
    """What the sky will do."""
    raise AssertionError("tools are not called")


def test_tools_are_offered_and_their_calls_returned(provider: ModelServer) -> None:
    provider.answers = [Answer([], tool_calls=[("weather", '{"city": "Rome"}')], finish="tool_calls")]
    reply = run(tools=[weather]).wait()
    assert reply == ModelReply(None, (ToolCall("call_0", "weather", {"city": "Rome"}),))
    (tool,) = provider.asked[0]["tools"]
    assert tool["function"]["name"] == "weather" and tool["function"]["description"] == "What the sky will do."
    assert tool["function"]["parameters"]["required"] == ["city"]
    back = reply.message()
    assert back["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Rome"}'}
    provider.answers = [Answer([], tool_calls=[("weather", "[1")])]
    with pytest.raises(KitaruUserCodeError, match="arguments of a tool call are no JSON object"):
        run(tools=[weather]).wait()


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_that_passes_is_tried_again(provider: ModelServer, status: int) -> None:
    provider.answers = [Answer(status=status, headers={"Retry-After": "0.05"}), Answer()]
    handle = run()
    assert handle.wait() == "Hello"
    (failed,) = line(handle.exec_id)["failed_tries"]
    assert failed["retried"] and failed["error"]
    if status == 429:
        assert failed["paused_seconds"] == 0.05 and "RateLimitError" in failed["error"]


def test_retries_end(provider: ModelServer) -> None:
    provider.answers = [Answer(status=429, headers={"Retry-After": "0"})]
    handle = run(retries=1)
    with pytest.raises(
        KitaruUserCodeError, match=r"calling `openai/gpt-4o-mini` failed after 2 tries: RateLimitError"
    ) as caught:
        handle.wait()
    assert isinstance(caught.value.__cause__, KitaruBackendError)
    call = made(handle.exec_id).checkpoints[0]
    kept = line(handle.exec_id)
    assert [one["retried"] for one in kept["failed_tries"]] == [True, False]
    assert kept["error"].startswith("KitaruBackendError")
    assert [one.name for one in call.artifacts] == ["llm_1_prompt"], "the prompt is kept, also of what failed"
    assert len(provider.asked) == 2


def test_what_will_not_pass_is_not_tried_again(provider: ModelServer) -> None:
    body = f'{{"error": {{"message": "Incorrect API key provided: {KEY}", "type": "invalid_request_error"}}}}'
    provider.answers = [Answer(status=401, body=body)]
    handle = run()
    with pytest.raises(KitaruUserCodeError, match="AuthenticationError") as caught:
        handle.wait()
    assert len(provider.asked) == 1
    assert KEY not in f"{caught.value} {caught.value.__cause__} {made(handle.exec_id)}", "an answer that quotes the key"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("not json", "failed"),
        ('{"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": []}', "no choices|failed"),
        ('{"choices": [{"index": 0, "message": {"role": "assistant", "content": null}}]}', "without text|failed"),
        ("[]", "failed"),
    ],
)
def test_malformed_answers(provider: ModelServer, body: str, told: str) -> None:
    provider.answers = [Answer(body=body)]
    with pytest.raises(KitaruUserCodeError, match=told):
        run(retries=0).wait()


def test_a_silent_provider_is_given_up(provider: ModelServer) -> None:
    provider.answers = [Answer(pause=5)]
    handle = run(timeout=0.3, retries=0)
    with pytest.raises(KitaruUserCodeError, match="Timeout"):
        handle.wait(timeout=20)


def test_a_secret_of_the_alias_signs_in(provider: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru.config import register_model_alias

    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.delenv("OPENAI_API_BASE")
    KitaruClient().secrets.set("models", {"OPENAI_API_KEY": "sk-of-the-secret", "OPENAI_API_BASE": provider.url})
    register_model_alias("Fast", model=MODEL, secret="models")
    before = dict(os.environ)
    handle = run(model="FAST")
    assert handle.wait() == "Hello"
    assert provider.keys == ["sk-of-the-secret"]
    assert dict(os.environ) == before
    told = line(handle.exec_id)
    assert (told["alias"], told["credential_source"], told["requested_model"]) == ("fast", "secret", "FAST")
    assert "sk-of-the-secret" not in made(handle.exec_id).model_dump_json()


def test_the_environment_comes_before_a_secret(provider: ModelServer) -> None:
    from kitaru.config import register_model_alias

    register_model_alias("fast", model=MODEL, secret="not-even-read")
    assert run(model=None).wait() == "Hello"
    assert provider.keys == [KEY]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (None, r"the secret `models`, which the alias `fast` names, is not there"),
        ({"OTHER": "x"}, r"the secret `models` has no OPENAI_API_KEY"),
    ],
)
def test_secrets_that_do_not_do(
    monkeypatch: pytest.MonkeyPatch, provider: ModelServer, values: dict[str, str] | None, told: str
) -> None:
    from kitaru.config import register_model_alias

    monkeypatch.delenv("OPENAI_API_KEY")
    if values is not None:
        KitaruClient().secrets.set("models", values)
    register_model_alias("fast", model=MODEL, secret="models")
    with pytest.raises(KitaruUserCodeError, match=told):
        run(model="fast").wait()
    assert provider.asked == []


def test_no_credentials(monkeypatch: pytest.MonkeyPatch, provider: ModelServer) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    with pytest.raises(
        KitaruUserCodeError, match=r"no credentials for `openai/gpt-4o-mini`: set OPENAI_API_KEY"
    ) as caught:
        run().wait()
    assert isinstance(caught.value.__cause__, KitaruRuntimeError)


def test_ollama_needs_no_key(monkeypatch: pytest.MonkeyPatch, provider: ModelServer) -> None:
    monkeypatch.setenv("OLLAMA_HOST", provider.url.removesuffix("/v1") + "/")
    handle = run(model="ollama/qwen3:4b")
    assert handle.wait() == "Hello"
    assert provider.asked[0]["model"] == "qwen3:4b" and provider.keys == ["ollama"]
    assert "cost_usd" not in line(handle.exec_id)


def test_a_mock_answers_without_a_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITARU_LLM_MOCK_RESPONSE", "")
    handle = run(model="nobody/knows")
    assert handle.wait() == ""
    told = line(handle.exec_id)
    assert told == {
        "requested_model": "nobody/knows",
        "resolved_model": "nobody/knows",
        "credential_source": "environment",
        "latency_ms": 0.0,
    }
    monkeypatch.setenv("KITARU_LLM_MOCK_RESPONSE", '{"steps": ["x"]}')
    assert run(response_format=Plan).wait() == Plan(steps=["x"])
    monkeypatch.setenv("KITARU_LLM_MOCK_RESPONSE", "prose")
    with pytest.raises(KitaruUserCodeError, match="KITARU_LLM_MOCK_RESPONSE does not fit Plan"):
        run(response_format=Plan).wait()
    with pytest.raises(KitaruUserCodeError, match="no model was named"):
        run(model=None).wait()


def test_outside_a_flow() -> None:
    with pytest.raises(KitaruContextError, match=r"kitaru\.llm\(\) works only inside a flow"):
        kitaru.llm("x")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prompt": "  "}, "the prompt is blank"),
        ({"prompt": []}, "the list of messages is empty"),
        ({"prompt": [], "system": "x"}, "the list of messages is empty"),
        ({"prompt": 3}, "a text or a list of messages, not int"),
        ({"prompt": ["x"]}, "message 0 is str, not a mapping"),
        ({"prompt": [{"role": "user"}]}, "message 0 has no `content`"),
        ({"prompt": [{}]}, "no `role` and no `content`"),
        ({"prompt": [{"role": "user", "content": [{}]}]}, "part 0 of message 0 is not a mapping with a `type`"),
        ({"prompt": [{"role": "user", "content": {"x": b"1"}}]}, "message 0 is not JSON data"),
        ({"system": " "}, "system=' '"),
        ({"name": "--"}, "a name needs a letter or digit"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"max_tokens": 0}, "max_tokens=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"retries": -1}, "retries=-1"),
        ({"tools": []}, "a list of tools that is not empty"),
        ({"tools": [3]}, "tool 0 is int"),
        ({"response_format": dict}, "takes a pydantic model"),
        ({"response_format": Plan, "tools": [weather]}, "not both"),
        ({"model": " "}, "model must be a text that is not blank"),
        ({"model": "gpt-4o"}, "does not say whose it is"),
        ({"model": "openai/"}, "has no name behind its provider"),
        ({"model": "nobody/x"}, "`nobody` of `nobody/x` is not a provider that LiteLLM knows"),
    ],
)
def test_what_cannot_be_asked(provider: ModelServer, options: dict[str, Any], told: str) -> None:
    prompt = options.pop("prompt", "Hi")
    with pytest.raises(KitaruUserCodeError, match=told) as caught:
        run(prompt, **options).wait()
    assert isinstance(caught.value.__cause__, KitaruUsageError)
    assert provider.asked == []


def test_names(provider: ModelServer) -> None:
    handle = run(name=" 2 b - or ")
    handle.wait()
    assert made(handle.exec_id).checkpoints[0].invocation_id == "llm_2_b_or"


def test_litellm_is_not_there(provider: ModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from kitaru.model_calls import litellm_client

    monkeypatch.setattr(litellm_client, "_library", None)
    monkeypatch.setitem(sys.modules, "litellm", None)
    with pytest.raises(KitaruUserCodeError, match=r"needs the package litellm: pip install 'kitaru\[llm\]'"):
        run().wait()


def test_system_messages_of_anthropic_come_first(monkeypatch: pytest.MonkeyPatch, provider: ModelServer) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "x" * 20)
    late = [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]
    with pytest.raises(KitaruUserCodeError, match="system messages only before all others"):
        run(late, model="anthropic/claude-sonnet-4-5").wait()

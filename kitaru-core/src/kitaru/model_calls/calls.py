"""``kitaru.llm()``."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kitaru.checkpoints import CheckpointDefinition
from kitaru.config import environment
from kitaru.config.model_registry import resolve_model_selection
from kitaru.errors import KitaruRuntimeError
from kitaru.model_calls import asking, spending
from kitaru.model_calls.asking import ModelRequest
from kitaru.model_calls.conversation import Conversation, converse, drive, drive_async, fitted
from kitaru.model_calls.recording import Kept
from kitaru.model_calls.replies import ModelReply, ProviderAnswer
from kitaru.model_calls.selection import ENVIRONMENT, route
from kitaru.runtime import live
from kitaru.runtime.context import Frame, current, require_frame
from kitaru.runtime.retry import RetryPolicy
from kitaru.runtime.specs import CheckpointSpec
from kitaru.secrets import get_secret

if TYPE_CHECKING:
    from pydantic import BaseModel

_MOCK = environment.KITARU_LLM_MOCK_RESPONSE_ENV


def llm(
    prompt: str | Sequence[Mapping[str, Any]],
    *,
    model: str | None = None,
    system: str | None = None,
    temperature: float | None = None,
    max_tokens: int | None = None,
    name: str | None = None,
    response_format: type[BaseModel] | None = None,
    tools: Sequence[Mapping[str, Any] | Callable[..., Any]] | None = None,
    stream: bool = False,
    timeout: float = 600.0,
    retries: int = 2,
) -> Any:
    """Ask a language model, through LiteLLM (``pip install 'kitaru[llm]'``), and give its answer.

    In a flow body it is a checkpoint call of type ``llm_call``: once it has returned, it is never made, or paid for,
    again. In a checkpoint it is part of that. Blocks in ``def`` code; in ``async def`` code it must be awaited.
    Recorded are prompt and response as artifacts ``<name>_prompt`` and ``<name>_response``, and under
    ``llm_calls`` of the call's metadata model, alias, credential source, latency, tokens, cost in US dollars and every
    failed try, also when the call fails. Credentials come from the environment, else from the secret that the alias
    names; they are recorded nowhere.

    Args:
        prompt: a text, or messages: mappings with ``role`` and ``content``, a text or a list of parts.
        model: an alias (``kitaru model register``) or ``provider/model``; default: ``KITARU_DEFAULT_MODEL``, then the
            default alias.
        system: text of a system message, put first.
        temperature, max_tokens: sent only if given; Anthropic, which asks for ``max_tokens``, gets 4096.
        name: what the call is called; default ``llm_1``, ``llm_2`` ...
        response_format: a pydantic model: the answer is validated, once repaired by asking again, and an instance.
        tools: functions (described by signature and docstring) or mappings of OpenAI's form. They are not called.
        stream: pieces of the answer go to ``handle.stream()`` and, line by line, to the runtime logs as they come.
        timeout: seconds until a try has failed.
        retries: extra tries after rate limits, timeouts, broken connections, half answers and errors of the server,
            with growing pauses, or those that the provider asks for (up to 120 s).

    Returns:
        The text; with ``response_format`` an instance of it; with ``tools`` a
        :class:`~kitaru.model_calls.replies.ModelReply`. With ``KITARU_LLM_MOCK_RESPONSE`` that text, without any call.

    Raises:
        KitaruContextError: outside a flow.
        KitaruUsageError: arguments, model or provider cannot be used, or LiteLLM is not installed.
        KitaruRuntimeError: no credentials, or an answer that is none.
        KitaruBackendError: the provider failed, also after the retries. The text names provider and model.
        KitaruBudgetExceededError: a budget has nothing left.
    """
    frame = require_frame("kitaru.llm()")
    asked_name = asking.call_name(name)
    messages = asking.messages_of(prompt, system)
    asking.check_format(response_format, tools)
    asking.numbers(temperature, max_tokens, timeout, retries)
    listed = asking.tools_of(tools)
    request = ModelRequest(
        messages, model, temperature, max_tokens, response_format, listed, bool(stream), timeout, retries
    )
    root = frame.root
    if root.key:
        return _in_checkpoint(root, request, asked_name or f"llm_{_count(root, '!llm')}")
    return _as_checkpoint(root.is_async, request, asked_name or f"llm_{_count(frame, '!llm')}")


def _count(frame: Frame, name: str) -> int:
    if frame.counters is None:
        frame.counters = {}
    number = frame.counters[name] = frame.counters.get(name, 0) + 1
    return number


def _in_checkpoint(frame: Frame, request: ModelRequest, name: str) -> Any | Awaitable[Any]:
    number = _count(frame, f"!llm:{name}")
    label = name if number == 1 else f"{name}#{number}"
    steps = _steps(frame, request, label)
    return drive_async(steps, frame) if frame.is_async else drive(steps, frame)


def _as_checkpoint(is_async: bool, request: ModelRequest, name: str) -> Any | Awaitable[Any]:
    """A call in a flow body: a checkpoint made for it. Only what makes the question is compared on resume."""

    def body(messages: list[dict[str, Any]], asked: dict[str, Any]) -> Any:  # noqa: ARG001
        frame = require_frame("kitaru.llm()").root
        return drive(_steps(frame, _with(request, messages), _own_name()), frame)

    async def body_async(messages: list[dict[str, Any]], asked: dict[str, Any]) -> Any:  # noqa: ARG001
        frame = require_frame("kitaru.llm()").root
        return await drive_async(_steps(frame, _with(request, messages), _own_name()), frame)

    function = body_async if is_async else body
    # Its own retries are made inside: those of the flow would multiply them.
    spec = CheckpointSpec(name, function, is_async, ("messages", "asked"), RetryPolicy(retries=0), "llm_call")
    return CheckpointDefinition[Any, Any](spec)(request.messages, request.identity())


def _own_name() -> str:
    return str(current().invocation_id)


def _with(request: ModelRequest, messages: list[dict[str, Any]]) -> ModelRequest:
    # The call's own copy: an argument that a body changes would be a divergence.
    import copy
    import dataclasses

    return dataclasses.replace(request, messages=copy.deepcopy(messages))


def _steps(frame: Frame, request: ModelRequest, name: str) -> Conversation[Any]:
    """One call from its model to its record; what stops the execution passes through and leaves no record."""
    chosen = resolve_model_selection(request.model)
    purse = spending.purse(frame)
    try:
        if purse is not None:
            chosen = yield from purse.enter(chosen)
        kept = Kept(name, chosen, request.stream)
        kept.prompt(request.messages)
        try:
            value = yield from _answer(frame, request, kept)
        except Exception as error:
            kept.finish(None, error)
            raise
        kept.finish(value, None)
        return value
    finally:
        if purse is not None:
            purse.leave()


def _answer(frame: Frame, request: ModelRequest, kept: Kept) -> Conversation[Any]:
    listener = live.speaker(frame, kept.name) if request.stream else None
    try:
        mock = os.environ.get(_MOCK)
        if mock is not None:
            return _mocked(request, kept, mock, listener)
        way = route(kept.chosen, get_secret)
        kept.credential_source = way.credential_source
        return (yield from converse(request, way, kept, listener))
    finally:
        if listener is not None:
            listener.end()


def _mocked(request: ModelRequest, kept: Kept, text: str, listener: Callable[[str], None] | None) -> Any:
    kept.credential_source = ENVIRONMENT
    kept.response = text
    kept.answered(ProviderAnswer(text), 0.0)
    if listener is not None:
        listener(text)
    if request.tools is not None:
        return ModelReply(text)
    if request.response_format is None:
        return text
    value, problem = fitted(request, text)
    if problem is not None:
        raise KitaruRuntimeError(f"{_MOCK} does not fit {request.response_format.__name__}: {problem}.")
    return value

"""The only module that knows LiteLLM: one exchange with a provider, sync or async, streamed or whole.

LiteLLM is imported at the first call: that takes seconds. It then looks for newer prices on the network, unless
``LITELLM_LOCAL_MODEL_COST_MAP=True`` is set.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.model_calls.replies import ProviderAnswer, ProviderFailure, ToolCall, Usage
from kitaru.model_calls.selection import Route
from kitaru.process_locks import ProcessLock

Listener = Callable[[str], None]

_RETRIABLE = frozenset(
    (
        "RateLimitError",
        "Timeout",
        "APITimeoutError",
        "APIConnectionError",
        "InternalServerError",
        "ServiceUnavailableError",
        "BadGatewayError",
        "GatewayTimeoutError",
    )
)
_TEXT_MAX = 2000
_lock = ProcessLock()
_library: Any = None


def require(route_: Route) -> Any:
    """LiteLLM, loaded. Raises KitaruUsageError when it is not installed, or does not know the provider."""
    global _library
    with _lock:
        if _library is None:
            _library = _load(f"{route_.provider}/{route_.model}")
    if not _knows(_library, route_):
        raise KitaruUsageError(
            f"`{route_.provider}` of `{route_.provider}/{route_.model}` is not a provider that LiteLLM knows "
            "(https://docs.litellm.ai/docs/providers): openai, anthropic, openrouter, ollama and a hundred more. "
            "Anything else can be called with its own library in a checkpoint."
        )
    return _library


def _load(model: str) -> Any:
    chatter = logging.getLogger("LiteLLM")
    chatter.addFilter(lambda record: record.filename != "get_model_cost_map.py")  # that prices may be of yesterday
    try:
        import litellm
    except ImportError as error:
        raise KitaruUsageError(f"calling `{model}` needs the package litellm: pip install 'kitaru[llm]'") from error
    litellm.suppress_debug_info = True  # it prints advice on stdout, which may be a pipe
    return litellm


def _knows(litellm: Any, route_: Route) -> bool:
    known = {str(getattr(one, "value", one)) for one in litellm.provider_list}
    return route_.provider in known or route_.provider == "ollama"


def takes_schema(route_: Route) -> bool:
    """Whether the model can be told the form of its answer; otherwise the prompt has to."""
    litellm = require(route_)
    if route_.provider in ("openai", "ollama"):
        return True
    try:
        return bool(litellm.supports_response_schema(model=route_.target, custom_llm_provider=None))
    except Exception:  # it does not know the model
        return False


def exchange(route_: Route, arguments: Mapping[str, Any], listener: Listener | None) -> ProviderAnswer:
    """Ask once and wait for the whole answer; its pieces go to ``listener``, if there is one.

    Raises ProviderFailure, and KitaruUsageError for what LiteLLM cannot do.
    """
    litellm = require(route_)
    deadline = time.monotonic() + arguments["timeout"]
    try:
        answer = litellm.completion(**_complete(route_, arguments, listener))
        if listener is None:
            return _read(litellm, route_, answer)
        pieces = []
        for piece in answer:
            _heard(piece, listener, deadline)
            pieces.append(piece)
        return _read(litellm, route_, litellm.stream_chunk_builder(pieces, messages=arguments["messages"]))
    except ProviderFailure:
        raise
    except Exception as error:
        raise _failure(route_, error) from None


async def exchange_async(route_: Route, arguments: Mapping[str, Any], listener: Listener | None) -> ProviderAnswer:
    """The async twin of :func:`exchange`."""
    litellm = require(route_)
    deadline = time.monotonic() + arguments["timeout"]
    try:
        answer = await litellm.acompletion(**_complete(route_, arguments, listener))
        if listener is None:
            return _read(litellm, route_, answer)
        pieces = []
        async for piece in answer:
            _heard(piece, listener, deadline)
            pieces.append(piece)
        return _read(litellm, route_, litellm.stream_chunk_builder(pieces, messages=arguments["messages"]))
    except ProviderFailure:
        raise
    except Exception as error:
        raise _failure(route_, error) from None


def _complete(route_: Route, arguments: Mapping[str, Any], listener: Listener | None) -> dict[str, Any]:
    # Retries are ours: each one is recorded. What a provider does not take is left out rather than refused.
    fixed: dict[str, Any] = {"num_retries": 0, "max_retries": 0, "drop_params": True}
    if listener is not None:
        fixed.update(stream=True, stream_options={"include_usage": True})
    return {**route_.options, **arguments, **fixed}


def _heard(piece: Any, listener: Listener, deadline: float) -> None:
    for choice in getattr(piece, "choices", None) or ():
        text = getattr(getattr(choice, "delta", None), "content", None)
        if isinstance(text, str) and text:
            listener(text)
    if time.monotonic() > deadline:
        raise ProviderFailure("Timeout", "the answer was not complete in time", retriable=True)


def _read(litellm: Any, route_: Route, answer: Any) -> ProviderAnswer:
    choices = getattr(answer, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    if not choices or message is None:
        raise ProviderFailure("MalformedAnswer", "the answer has no choices", retriable=True)
    calls, broken = [], None
    for one in getattr(message, "tool_calls", None) or ():
        try:
            arguments = json.loads(one.function.arguments or "{}")
            if not isinstance(arguments, dict):
                raise ValueError("not an object")
            calls.append(ToolCall(str(one.id), str(one.function.name), arguments))
        except (ValueError, AttributeError) as error:
            broken = f"the arguments of a tool call are no JSON object ({error})"
    return ProviderAnswer(
        _text(getattr(message, "content", None)),
        tuple(calls),
        _usage(getattr(answer, "usage", None)),
        _cost(litellm, route_, answer),
        getattr(choices[0], "finish_reason", None),
        broken,
    )


def _text(content: Any) -> str | None:
    if isinstance(content, str):
        return content
    if isinstance(content, list):  # parts: those of text, one per line
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return "\n".join(text for text in texts if isinstance(text, str)) or None
    return None


def _usage(usage: Any) -> Usage:
    given, got = _whole(usage, "prompt_tokens"), _whole(usage, "completion_tokens")
    total = _whole(usage, "total_tokens")
    if total is None and given is not None and got is not None:
        total = given + got
    return Usage(given, got, total, _whole(getattr(usage, "prompt_tokens_details", None), "cached_tokens"))


def _whole(where: Any, name: str) -> int | None:
    value = getattr(where, name, None)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _cost(litellm: Any, route_: Route, answer: Any) -> float | None:
    if route_.provider == "ollama":
        return None
    try:
        return float(litellm.completion_cost(completion_response=answer, model=route_.target))
    except Exception:  # it has no price for the model
        return None


def _failure(route_: Route, error: Exception) -> Exception:
    kind = type(error).__name__
    if kind == "MidStreamFallbackError":  # nested twice by then, with advice on LiteLLM's own fallbacks
        return ProviderFailure("HalfAnswer", "the stream ended before the answer was complete", retriable=True)
    text = route_.scrubbed(str(error)).strip() or kind
    if len(text) > _TEXT_MAX:
        text = f"{text[:_TEXT_MAX]}..."
    return ProviderFailure(
        kind, text.removeprefix(f"litellm.{kind}: "), retriable=kind in _RETRIABLE, retry_after=_retry_after(error)
    )


def _retry_after(error: Exception) -> float | None:
    headers = getattr(getattr(error, "response", None), "headers", None) or getattr(error, "headers", None) or {}
    try:
        seconds = float(headers.get("retry-after", ""))
    except (ValueError, TypeError, AttributeError):
        return None
    return seconds if 0 <= seconds < float("inf") else None

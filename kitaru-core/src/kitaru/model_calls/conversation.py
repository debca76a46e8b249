"""The exchange with a provider as a sequence of steps, so that ``def`` and ``async def`` code share every decision.

A conversation is a generator of steps; :func:`drive` and :func:`drive_async` do them and send back what came of them.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from kitaru.errors import KitaruBackendError, KitaruRuntimeError, KitaruUsageError
from kitaru.model_calls import litellm_client
from kitaru.model_calls.asking import ModelRequest
from kitaru.model_calls.litellm_client import Listener
from kitaru.model_calls.recording import Kept
from kitaru.model_calls.replies import ModelReply, ProviderAnswer, ProviderFailure
from kitaru.model_calls.selection import Route

if TYPE_CHECKING:
    from kitaru.runtime.context import Frame

T = TypeVar("T")

_PAUSE_SECONDS, _PAUSE_MAX_SECONDS = 0.5, 8.0
_RETRY_AFTER_MAX_SECONDS = 120.0


@dataclass(slots=True)
class Ask:
    """Ask the provider once."""

    route: Route
    arguments: dict[str, Any]
    listener: Listener | None

    def perform(self, _frame: Frame) -> ProviderAnswer:
        return litellm_client.exchange(self.route, self.arguments, self.listener)

    async def perform_async(self, _frame: Frame) -> ProviderAnswer:
        return await litellm_client.exchange_async(self.route, self.arguments, self.listener)


@dataclass(slots=True)
class Load:
    """Have the library loaded, so that its seconds are nobody's latency."""

    route: Route

    def perform(self, _frame: Frame) -> None:
        litellm_client.require(self.route)

    async def perform_async(self, _frame: Frame) -> None:
        await asyncio.to_thread(litellm_client.require, self.route)  # the loop does not stand still meanwhile


@dataclass(slots=True)
class Pause:
    """Wait before the next try; a stopping execution ends it."""

    seconds: float

    def perform(self, frame: Frame) -> None:
        if frame.run.isolated:
            time.sleep(self.seconds)
        else:
            frame.run.pause(self.seconds)

    async def perform_async(self, frame: Frame) -> None:
        if frame.run.isolated:
            await asyncio.sleep(self.seconds)
        else:
            await frame.run.require_loop().pause(self.seconds)


@dataclass(slots=True)
class WaitFor:
    """Open a wait, with these arguments of ``kitaru.wait``."""

    arguments: dict[str, Any]

    def perform(self, _frame: Frame) -> Any:
        from kitaru.waits import wait

        return wait(**self.arguments)

    async def perform_async(self, _frame: Frame) -> Any:
        from kitaru.waits import wait

        return await wait(**self.arguments)


Step = Load | Ask | Pause | WaitFor
Conversation = Generator[Step, Any, T]


def drive(steps: Conversation[T], frame: Frame) -> T:
    """Do the steps on this thread; gives what the conversation ends with."""
    try:
        step = next(steps)
        while True:
            try:
                answer = step.perform(frame)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


async def drive_async(steps: Conversation[T], frame: Frame) -> T:
    """The async twin of :func:`drive`."""
    try:
        step = next(steps)
        while True:
            try:
                answer = await step.perform_async(frame)
            except Exception as error:
                step = steps.throw(error)
            else:
                step = steps.send(answer)
    except StopIteration as end:
        value: T = end.value
        return value
    finally:
        steps.close()


def converse(request: ModelRequest, route: Route, kept: Kept, listener: Listener | None) -> Conversation[Any]:
    """Ask, again where that may help, and give what ``llm()`` returns. Everything that happens goes to ``kept``.

    Raises:
        KitaruBackendError: the provider failed, also after the retries.
        KitaruRuntimeError: its answer has no text, or does not have the form that was asked for.
    """
    if route.provider == "anthropic":
        _refuse_late_system(request)
    yield Load(route)
    arguments = _arguments(request, route)
    answer = yield from _asked(request, route, arguments, kept, listener)
    if request.tools is not None:
        return _reply(answer, route)
    text = _text_of(answer, route)
    kept.response = text
    if request.response_format is None:
        return text
    value, problem = fitted(request, text)
    if problem is None:
        return value
    kept.repaired = True
    repair = {
        "role": "user",
        "content": f"That does not fit: {problem}. Answer with the corrected JSON object only, without any other text.",
    }
    again = [*arguments["messages"], {"role": "assistant", "content": text}, repair]
    answer = yield from _asked(request, route, {**arguments, "messages": again}, kept, listener)
    text = kept.response = _text_of(answer, route)
    value, problem = fitted(request, text)
    if problem is not None:
        raise KitaruRuntimeError(
            f"the answer of `{route.provider}/{route.model}` does not fit {request.response_format.__name__}, also "
            f"after it was asked to repair it: {problem}. The artifact `{kept.name}_response` holds it."
        )
    return value


def _asked(
    request: ModelRequest, route: Route, arguments: dict[str, Any], kept: Kept, listener: Listener | None
) -> Conversation[ProviderAnswer]:
    """One answer, after as many tries as are allowed."""
    tries = 0
    while True:
        begun = time.perf_counter()
        try:
            answer: ProviderAnswer = yield Ask(route, arguments, listener)
        except ProviderFailure as error:
            kept.failed(error, time.perf_counter() - begun)
            if not error.retriable or tries >= request.retries:
                after = f" after {tries + 1} tries" if tries else ""
                told = KitaruBackendError(f"calling `{route.provider}/{route.model}` failed{after}: {error}")
                raise told from error
            pause = _pause(tries, error.retry_after)
            kept.paused(pause)
            yield Pause(pause)
            tries += 1
        else:
            kept.answered(answer, time.perf_counter() - begun)
            return answer


def _pause(tries: int, retry_after: float | None) -> float:
    if retry_after is not None:
        return min(float(retry_after), _RETRY_AFTER_MAX_SECONDS)
    # Exponential, half of it by chance ("equal jitter", https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)
    full = min(_PAUSE_SECONDS * 2.0**tries, _PAUSE_MAX_SECONDS)
    return full / 2 + random.uniform(0, full / 2)  # noqa: S311  not a secret


def _arguments(request: ModelRequest, route: Route) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": route.target, "messages": request.messages, "timeout": request.timeout}
    for name in ("temperature", "max_tokens", "tools"):
        value = getattr(request, name)
        if value is not None:
            arguments[name] = value
    if request.response_format is not None:
        if litellm_client.takes_schema(route):
            arguments["response_format"] = request.response_format
        else:
            arguments["messages"] = [*request.messages, _form(request)]
    return arguments


def _form(request: ModelRequest) -> dict[str, Any]:
    import json

    assert request.response_format is not None
    schema = json.dumps(request.response_format.model_json_schema())
    return {
        "role": "user",
        "content": f"Answer with one JSON object that fits this JSON Schema, nothing else: {schema}",
    }


def _refuse_late_system(request: ModelRequest) -> None:
    roles = [str(one["role"]) for one in request.messages]
    if "system" in roles[next((place for place, role in enumerate(roles) if role != "system"), len(roles)) :]:
        raise KitaruUsageError("llm(prompt): Anthropic's models take system messages only before all others.")


def _reply(answer: ProviderAnswer, route: Route) -> ModelReply:
    if answer.broken is not None:
        raise KitaruRuntimeError(f"the answer of `{route.provider}/{route.model}` cannot be used: {answer.broken}.")
    if not answer.text and not answer.tool_calls:
        raise _nothing(answer, route)
    return ModelReply(answer.text, answer.tool_calls)


def _text_of(answer: ProviderAnswer, route: Route) -> str:
    if not answer.text:
        raise _nothing(answer, route)
    return answer.text


def _nothing(answer: ProviderAnswer, route: Route) -> KitaruRuntimeError:
    return KitaruRuntimeError(
        f"`{route.provider}/{route.model}` answered without text (finish reason: {answer.finish_reason}). llm() gives "
        "text, tool calls where tools= were offered, and response_format=; for anything else, call the provider's own "
        "library in a checkpoint."
    )


def fitted(request: ModelRequest, text: str) -> tuple[Any, str | None]:
    """An answer in the form that was asked for; or None, and why it does not have that form."""
    from pydantic import ValidationError

    assert request.response_format is not None
    try:
        return request.response_format.model_validate_json(_without_fence(text)), None
    except ValidationError as error:
        told = [f"{'.'.join(map(str, one['loc'])) or 'the answer'}: {one['msg']}" for one in error.errors()[:5]]
        return None, "; ".join(told)


def _without_fence(text: str) -> str:
    """The text inside a Markdown code fence, where a model has put one around its answer."""
    stripped = text.strip()
    if stripped.startswith("```") and stripped.endswith("```"):
        return stripped[3:-3].partition("\n")[2]
    return stripped

"""What ``llm()`` may be asked, checked and in one form."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruUsageError

if TYPE_CHECKING:
    from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One question to a model. ``timeout`` is in seconds, per exchange; ``retries`` are extra ones after a failure."""

    messages: list[dict[str, Any]]
    model: str | None
    temperature: float | None
    max_tokens: int | None
    response_format: type[BaseModel] | None
    tools: list[dict[str, Any]] | None
    stream: bool
    timeout: float
    retries: int

    def identity(self) -> dict[str, Any]:
        """What makes two questions the same one, beside their messages: JSON data without what is not set."""
        asked: dict[str, Any] = {"model": self.model, "temperature": self.temperature, "max_tokens": self.max_tokens}
        asked["response_schema"] = self.response_format.model_json_schema() if self.response_format else None
        asked["tools"] = self.tools
        return {name: value for name, value in asked.items() if value is not None}


def call_name(name: str | None) -> str | None:
    """The name of a call: runs of other than word characters become ``_``. None stays None.

    Raises KitaruUsageError when nothing is left of it.
    """
    if name is None:
        return None
    given = name.strip() if isinstance(name, str) else ""
    usable = re.sub(r"\W+", "_", given)
    if not usable.strip("_"):
        raise KitaruUsageError(f"llm(name={name!r}): a name needs a letter or digit.")
    return f"llm_{usable}" if usable[0].isdigit() else usable


def messages_of(prompt: Any, system: str | None) -> list[dict[str, Any]]:
    """The messages that a prompt and a system text stand for; those given as a list are copied as they are.

    Raises KitaruUsageError: blank texts, no messages, one without ``role`` or ``content``, or no JSON data.
    """
    found: list[dict[str, Any]] = []
    if system is not None:
        if not isinstance(system, str) or not system.strip():
            raise KitaruUsageError(f"llm(system={system!r}): must be a text that is not blank, or None.")
        found.append({"role": "system", "content": system.strip()})
    if isinstance(prompt, str):
        if not prompt.strip():
            raise KitaruUsageError("llm(prompt): the prompt is blank.")
        return [*found, {"role": "user", "content": prompt.strip()}]
    if isinstance(prompt, (bytes, Mapping)) or not isinstance(prompt, Sequence):
        raise KitaruUsageError(f"llm(prompt): a text or a list of messages, not {type(prompt).__name__}.")
    for place, one in enumerate(prompt):
        found.append(_message(place, one))
    if not prompt:
        raise KitaruUsageError("llm(prompt): the list of messages is empty.")
    return found


def _message(place: int, one: Any) -> dict[str, Any]:
    if not isinstance(one, Mapping):
        raise KitaruUsageError(f"llm(prompt): message {place} is {type(one).__name__}, not a mapping.")
    missing = [key for key in ("role", "content") if key not in one]
    if missing:
        raise KitaruUsageError(f"llm(prompt): message {place} has no `{'` and no `'.join(missing)}`.")
    content = one["content"]
    if isinstance(content, Sequence) and not isinstance(content, (str, bytes)):
        for number, part in enumerate(content):
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                raise KitaruUsageError(
                    f"llm(prompt): part {number} of message {place} is not a mapping with a `type`, such as "
                    '{"type": "text", "text": "..."}.'
                )
    try:
        json.dumps(one)
    except (TypeError, ValueError) as error:
        raise KitaruUsageError(
            f"llm(prompt): message {place} is not JSON data ({error}). Give images and files as data URLs."
        ) from None
    return dict(one)


def check_format(response_format: Any, tools: Any) -> None:
    """Raises KitaruUsageError when it is no pydantic model, or tools are offered, too."""
    if response_format is None:
        return
    from pydantic import BaseModel

    if not (inspect.isclass(response_format) and issubclass(response_format, BaseModel)):
        raise KitaruUsageError(f"llm(response_format={response_format!r}): takes a pydantic model (the class).")
    if tools is not None:
        raise KitaruUsageError("llm(response_format=, tools=): a model answers in a form or with tools, not both.")


def tools_of(tools: Sequence[Any] | None) -> list[dict[str, Any]] | None:
    """Tools in the form of OpenAI's interface; a Python function is described by its signature and docstring.

    Raises KitaruUsageError when one of them is neither a mapping with ``type`` nor such a function.
    """
    if tools is None:
        return None
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Sequence) or not tools:
        raise KitaruUsageError("llm(tools=): takes a list of tools that is not empty.")
    return [_tool(place, one) for place, one in enumerate(tools)]


def _tool(place: int, tool: Any) -> dict[str, Any]:
    if isinstance(tool, Mapping) and isinstance(tool.get("type"), str):
        try:
            plain: dict[str, Any] = json.loads(json.dumps(tool))
        except (TypeError, ValueError) as error:
            raise KitaruUsageError(f"llm(tools=): tool {place} is not JSON data ({error}).") from None
        return plain
    if not inspect.isfunction(tool):
        raise KitaruUsageError(
            f"llm(tools=): tool {place} is {type(tool).__name__}: give a function, or a mapping such as "
            '{"type": "function", "function": {"name": ..., "parameters": ...}}.'
        )
    return {"type": "function", "function": _described(place, tool)}


def _described(place: int, function: Callable[..., Any]) -> dict[str, Any]:
    from pydantic import TypeAdapter
    from pydantic.errors import PydanticUserError

    name = function.__name__
    try:
        schema = TypeAdapter[Any](function).json_schema()  # type: ignore[arg-type]  # pydantic takes functions, too
    except (PydanticUserError, NameError, TypeError) as error:
        told = str(error).splitlines()[0]
        raise KitaruUsageError(
            f"llm(tools=): the parameters of tool {place}, `{name}`, have no schema: {told}"
        ) from None
    if schema.get("type") != "object":
        raise KitaruUsageError(f"llm(tools=): tool {place}, `{name}`, takes positional parameters; name them all.")
    described: dict[str, Any] = {"name": name, "parameters": schema}
    text = inspect.getdoc(function)
    return {**described, "description": text} if text else described


def numbers(temperature: Any, max_tokens: Any, timeout: Any, retries: Any) -> None:
    """Raises KitaruUsageError for numbers that are none, or out of range."""
    checks = (
        ("temperature", temperature, (int, float), 0, True),
        ("max_tokens", max_tokens, int, 1, True),
        ("timeout", timeout, (int, float), 0.001, False),
        ("retries", retries, int, 0, False),
    )
    for name, value, kind, least, may_be_none in checks:
        if value is None and may_be_none:
            continue
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value < float("inf"):
            raise KitaruUsageError(f"llm({name}={value!r}): must be a number, {least} or more.")

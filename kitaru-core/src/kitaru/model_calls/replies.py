"""What ``llm(tools=...)`` gives, and what a provider's answer is reduced to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool that the model wants called. ``arguments`` is what it gave, ``id`` what its result is to be sent with."""

    id: str
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The answer of a model that was offered tools: text, calls of tools, or both."""

    text: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()

    def message(self) -> dict[str, Any]:
        """This reply as a message, to be appended to the prompt before the results of its tools."""
        import json

        calls = [
            {"id": one.id, "type": "function", "function": {"name": one.name, "arguments": json.dumps(one.arguments)}}
            for one in self.tool_calls
        ]
        return {"role": "assistant", "content": self.text, **({"tool_calls": calls} if calls else {})}


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one exchange; None: the provider did not say. ``cached`` are among the ones that went in."""

    input: int | None = None
    output: int | None = None
    total: int | None = None
    cached: int | None = None


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """One answer of a provider."""

    text: str | None
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    cost_usd: float | None = None
    finish_reason: str | None = None
    broken: str | None = None  # why its tool calls cannot be read


class ProviderFailure(Exception):  # noqa: N818  what went wrong at a provider; callers see a KitaruError made of it
    """A provider did not answer. ``retriable``: asking again may help; ``retry_after``: seconds it asked to wait.

    Its text holds no credentials.
    """

    def __init__(self, kind: str, text: str, *, retriable: bool, retry_after: float | None = None) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.retriable = retriable
        self.retry_after = retry_after

"""What is kept of a model call: its prompt and response as artifacts, and one line of metadata, also when it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from kitaru.artifacts import safe_save, save
from kitaru.config.model_registry import ResolvedModelSelection
from kitaru.metadata import log
from kitaru.model_calls.replies import ModelReply, ProviderAnswer, ProviderFailure


@dataclass(slots=True)
class Kept:
    """The record of one ``llm()`` while it is made."""

    name: str
    chosen: ResolvedModelSelection
    streamed: bool
    credential_source: str | None = None
    response: str | None = None
    repaired: bool = False
    latency: float = 0.0
    usages: dict[str, int] = field(default_factory=dict)
    cost_usd: float | None = None
    finish_reason: str | None = None
    tries: list[dict[str, Any]] = field(default_factory=list)

    def prompt(self, messages: list[dict[str, Any]]) -> None:
        """Keep the prompt."""
        safe_save(f"{self.name}_prompt", messages, artifact_type="prompt", save_func=save)

    def answered(self, answer: ProviderAnswer, seconds: float) -> None:
        """The provider has answered: a repair's tokens and cost come on top."""
        self.latency += seconds
        for name in ("input", "output", "total", "cached"):
            number = getattr(answer.usage, name)
            if number is not None:
                self.usages[name] = self.usages.get(name, 0) + number
        if answer.cost_usd is not None:
            self.cost_usd = (self.cost_usd or 0.0) + answer.cost_usd
        self.finish_reason = answer.finish_reason

    def failed(self, failure: ProviderFailure, seconds: float) -> None:
        """A try has failed."""
        self.latency += seconds
        self.tries.append({"error": str(failure), "latency_ms": round(seconds * 1000, 3), "retried": False})

    def paused(self, seconds: float) -> None:
        """The latest failed try is made again after a pause."""
        self.tries[-1].update(retried=True, paused_seconds=round(seconds, 3))

    def finish(self, value: Any, error: BaseException | None) -> None:
        """Write it down: ``value`` is what ``llm()`` returns, or ``error`` what it raises."""
        if isinstance(value, ModelReply):
            self.response = json.dumps(value.message())
        if self.response is not None:
            safe_save(f"{self.name}_response", self.response, artifact_type="response", save_func=save)
        log(llm_calls={self.name: self.metadata(error)})

    def metadata(self, error: BaseException | None = None) -> dict[str, Any]:
        """The line of metadata, without what is not known."""
        line: dict[str, Any] = {
            "requested_model": self.chosen.requested_model,
            "alias": self.chosen.alias,
            "resolved_model": self.chosen.resolved_model,
            "credential_source": self.credential_source,
            "latency_ms": round(self.latency * 1000, 3),
            "tokens_input": self.usages.get("input"),
            "tokens_output": self.usages.get("output"),
            "tokens_cached": self.usages.get("cached"),
            "total_tokens": self.usages.get("total"),
            "cost_usd": self.cost_usd,
            "finish_reason": self.finish_reason,
            "failed_tries": self.tries or None,
            "streamed": self.streamed or None,
            "repaired": self.repaired or None,
            "error": f"{type(error).__name__}: {error}" if error is not None else None,
        }
        return {name: value for name, value in line.items() if value is not None}

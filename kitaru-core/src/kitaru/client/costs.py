"""What calls cost, from what they logged: as ``executions.statistics`` adds it up, for one snapshot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kitaru.models import CheckpointCall, Execution


@dataclass(frozen=True, slots=True)
class Costs:
    """``cost`` in the unit it was logged in (``llm()``: US dollars), with the tokens and number of model calls.

    The ``reused`` ones belong to records that a replay took over: they were paid for by its original.
    """

    cost: float = 0.0
    tokens: int = 0
    model_calls: int = 0
    cost_reused: float = 0.0
    model_calls_reused: int = 0


def costs_of_call(call: CheckpointCall) -> Costs:
    """What all attempts of a call cost."""
    found = [_logged(attempt.metadata) for attempt in call.attempts] or [_logged(call.metadata)]
    cost = sum(one[0] for one in found)
    calls = sum(one[2] for one in found)
    if call.original_call_id is not None:
        return Costs(cost_reused=cost, model_calls_reused=calls)
    return Costs(cost, sum(one[1] for one in found), calls)


def costs_of(execution: Execution) -> Costs:
    """What an execution cost: its calls, and what its flow body logged."""
    parts = [costs_of_call(call) for call in execution.checkpoints]
    own = _logged(execution.metadata)
    return Costs(
        own[0] + sum(one.cost for one in parts),
        own[1] + sum(one.tokens for one in parts),
        own[2] + sum(one.model_calls for one in parts),
        sum(one.cost_reused for one in parts),
        sum(one.model_calls_reused for one in parts),
    )


def _logged(metadata: Mapping[str, Any]) -> tuple[float, int, int]:
    """Cost, tokens and number of model calls of one attempt."""
    calls = metadata.get("llm_calls")
    lines = [one for one in calls.values() if isinstance(one, Mapping)] if isinstance(calls, Mapping) else []
    cost = _number(metadata.get("cost"))
    if cost is None:
        cost = sum(_number(one.get("cost", one.get("cost_usd"))) or 0.0 for one in lines)
    return cost, int(sum(_number(one.get("total_tokens")) or 0 for one in lines)), len(lines)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

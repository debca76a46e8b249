"""``executions.diff``: two executions side by side, call by call."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kitaru.client.costs import Costs, costs_of, costs_of_call
from kitaru.errors import KitaruError
from kitaru.journal import plain_values
from kitaru.journal.codec import canonical_json
from kitaru.journal.records import Entry, EntryKind, Payload
from kitaru.runtime import identity
from kitaru.runtime.inputs import Difference, compare

if TYPE_CHECKING:
    from kitaru.models import CallDifference, CheckDifference, CheckpointCall, Execution, ExecutionDiff, ExecutionSide
    from kitaru.runtime.kernel import Kernel

_SHOWN_MAX = 200


def diff(kernel: Kernel, first: Execution, second: Execution) -> ExecutionDiff:
    """See ``Executions.diff``."""
    from kitaru import models

    sides = [_Side(kernel, one) for one in (first, second)]
    order = _merged(
        [call.invocation_id for call in first.checkpoints], [call.invocation_id for call in second.checkpoints]
    )
    records = [kernel.journal.get(one.exec_id) for one in (first, second)]
    differences = compare(records[0].inputs or b"{}", records[1].inputs or b"{}")
    results = [_shown(kernel, one.result) for one in records]
    return models.ExecutionDiff(
        first=_side(first),
        second=_side(second),
        same_flow=first.flow_name == second.flow_name,
        inputs=_differences(differences),
        results_differ=_digest(records[0].result) != _digest(records[1].result),
        first_result=results[0],
        second_result=results[1],
        calls=[_call(kernel, sides[0], sides[1], name) for name in order],
    )


class _Side:
    """One execution's calls by their invocation id, with what only the journal has of them."""

    def __init__(self, kernel: Kernel, execution: Execution) -> None:
        self.calls: dict[str, CheckpointCall] = {call.invocation_id: call for call in execution.checkpoints}
        self._ends: dict[str, Entry] = {}
        for entry in kernel.journal.entries(execution.exec_id):
            if entry.kind in (EntryKind.STARTED, EntryKind.COMPLETED, EntryKind.FAILED, EntryKind.CANCELLED):
                self._ends[identity.call_id(execution.exec_id, entry.key)] = entry

    def end(self, name: str) -> Entry | None:
        call = self.calls.get(name)
        return self._ends.get(call.call_id) if call is not None else None


def _side(execution: Execution) -> ExecutionSide:
    from kitaru import models

    costs = costs_of(execution)
    took = None
    if execution.started_at is not None and execution.ended_at is not None:
        took = (execution.ended_at - execution.started_at).total_seconds()
    return models.ExecutionSide(
        exec_id=execution.exec_id,
        flow_name=execution.flow_name,
        status=execution.status,
        seconds=took,
        cost=costs.cost,
        cost_reused=costs.cost_reused,
        tokens=costs.tokens,
    )


def _call(kernel: Kernel, first: _Side, second: _Side, name: str) -> CallDifference:
    from kitaru import models

    one, two = first.calls.get(name), second.calls.get(name)
    before, after = first.end(name), second.end(name)
    differences: Sequence[Difference] = ()
    if before is not None and after is not None and before.inputs_digest != after.inputs_digest:
        differences = compare(before.inputs or b"{}", after.inputs or b"{}")
    outputs = [entry.output if entry is not None else None for entry in (before, after)]
    values_differ = one is not None and two is not None and _digest(outputs[0]) != _digest(outputs[1])
    return models.CallDifference(
        invocation_id=name,
        verdict=_verdict(one, two, bool(differences), values_differ),
        first_status=one.status if one is not None else None,
        second_status=two.status if two is not None else None,
        first_seconds=_seconds(one),
        second_seconds=_seconds(two),
        first_cost=_cost(one),
        second_cost=_cost(two),
        inputs=_differences(differences),
        first_value=_shown(kernel, outputs[0]) if values_differ or two is None else None,
        second_value=_shown(kernel, outputs[1]) if values_differ or one is None else None,
        reused=two is not None and two.original_call_id is not None,
    )


def _differences(found: Sequence[Difference]) -> list[CheckDifference]:
    from kitaru import models

    return [models.CheckDifference(argument=one.argument, recorded=one.recorded, now=one.now) for one in found]


def _verdict(one: CheckpointCall | None, two: CheckpointCall | None, inputs: bool, values: bool) -> str:
    if one is None or two is None:
        return "only in the second" if one is None else "only in the first"
    if one.status is not two.status:
        return "status differs"
    if values:
        return "value differs"
    return "inputs differ" if inputs else "same"


def _seconds(call: CheckpointCall | None) -> float | None:
    if call is None or call.started_at is None or call.ended_at is None:
        return None
    return (call.ended_at - call.started_at).total_seconds()


def _cost(call: CheckpointCall | None) -> float | None:
    if call is None:
        return None
    costs: Costs = costs_of_call(call)
    return costs.cost if costs.model_calls or costs.cost else None


def _digest(payload: Payload | None) -> bytes | None:
    return payload.digest if payload is not None else None


def _shown(kernel: Kernel, payload: Payload | None) -> str | None:
    """A value in short, without loading a class; None where there is none."""
    if payload is None:
        return None
    try:
        value, _ = plain_values.as_data(payload.codec, kernel.read(payload))
    except KitaruError as error:
        return f"(cannot be read: {error})"[:_SHOWN_MAX]
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."


def _merged(first: Sequence[str], second: Sequence[str]) -> list[str]:
    """Both orders in one: what only the second has comes behind what it follows there."""
    merged = list(first)
    known = set(first)
    place = 0
    for name in second:
        if name in known:
            place = merged.index(name) + 1
        else:
            merged.insert(place, name)
            known.add(name)
            place += 1
    return merged

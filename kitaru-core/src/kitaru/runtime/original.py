"""The execution that a replay is made from: read, checked, and its inputs as the replay gets them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kitaru.errors import (
    KitaruBackendError,
    KitaruJournalError,
    KitaruNotFoundError,
    KitaruStateError,
    KitaruUsageError,
)
from kitaru.journal.records import Entry, ExecutionRecord, WaitRecord
from kitaru.runtime import inputs, outcome
from kitaru.statuses import ExecutionStatus

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.specs import FlowSpec


@dataclass(slots=True, frozen=True)
class Original:
    """A replayed execution as it is now; ``args`` and ``kwargs`` are its inputs, those given for the replay put in."""

    record: ExecutionRecord
    entries: Sequence[Entry]
    waits: Sequence[WaitRecord]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def read_record(kernel: Kernel, exec_id: str) -> ExecutionRecord:
    """The record of an execution that may be replayed.

    Raises:
        KitaruBackendError: it cannot be read, or there is none; the text names the id.
        KitaruStateError: it runs, or has not begun.
    """
    try:
        record, status = outcome.looked_at(kernel, kernel.journal.get(exec_id))
    except (KitaruNotFoundError, KitaruJournalError) as error:
        raise KitaruBackendError(f"execution {exec_id} cannot be loaded for a replay: {error}") from error
    if status in (ExecutionStatus.RUNNING, ExecutionStatus.PENDING):
        raise KitaruStateError(
            f"execution {exec_id} is {status}: a replay needs one that nobody drives. Wait for its end, or stop it "
            f"with `kitaru executions cancel {exec_id}`."
        )
    return record


def read(kernel: Kernel, spec: FlowSpec, exec_id: str, flow_inputs: Mapping[str, Any]) -> Original:
    """Read an execution of the flow ``spec`` for a replay of it. Raises like :func:`read_record`, and:

    Raises:
        KitaruUsageError: it is an execution of another flow, or ``flow_inputs`` do not fit the flow's parameters.
        KitaruSerializationError: one of its inputs cannot be rebuilt here.
    """
    record = read_record(kernel, exec_id)
    if record.flow_name != spec.name:
        raise KitaruUsageError(
            f"execution {exec_id} is one of flow `{record.flow_name}`, not of `{spec.name}`: replay it with "
            f"`{record.flow_name}.replay(...)` or `kitaru executions replay {exec_id}`."
        )
    entries = kernel.journal.entries(exec_id)
    args, kwargs = inputs.decode_inputs(record.inputs, spec.parameters, kernel.codec)
    args, kwargs = _with(spec, args, kwargs, flow_inputs)
    return Original(record, entries, kernel.journal.waits(exec_id), args, kwargs)


def _with(
    spec: FlowSpec, args: tuple[Any, ...], kwargs: dict[str, Any], changes: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    given, named = list(args), dict(kwargs)
    for name, value in changes.items():
        place = spec.parameters.index(name) if name in spec.parameters else len(given)
        if place < len(given):
            given[place] = value
        else:
            named[name] = value
    try:
        signature = inspect.signature(spec.function)
    except (TypeError, ValueError):  # a builtin, say: the call itself will tell
        return tuple(given), named
    try:
        signature.bind(*given, **named)
    except TypeError as error:
        changed = ", ".join(changes) or "none"
        raise KitaruUsageError(
            f"the inputs of the replay do not fit flow `{spec.name}`: {error}. It takes {signature}; inputs given for "
            f"the replay: {changed}."
        ) from error
    return tuple(given), named

"""Calls against the journal: what a recorded history answers, and what the divergence policy does about the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruSerializationError
from kitaru.journal.records import EntryKind
from kitaru.runtime.context import Frame
from kitaru.runtime.control import ExecutionDiverged
from kitaru.runtime.history import History, Recorded
from kitaru.runtime.inputs import compare, equal_inputs

if TYPE_CHECKING:
    from kitaru.runtime.specs import CheckpointSpec

#: Answer of :func:`reuse` when the call must go the long way.
MISSING = object()

_COMPLETED = EntryKind.COMPLETED  # looking a member up costs as much as a call


def reuse(frame: Frame, spec: CheckpointSpec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The recorded value of a plain call of a flow body, by the shortest way; :data:`MISSING` where it is not so plain.

    A resumed flow makes all its recorded calls again before it does anything new: what this saves per call (a frame,
    its search, a few calls) is what a user waits for. It changes nothing when it answers MISSING, and never answers
    what the long way (``calls.perform``) would not.
    """
    run = frame.run
    history = run.history
    if history is None or frame is not run.frame or frame.labels is not None or run.stopping is not None:
        return MISSING
    counters = frame.counters
    if counters is None:
        counters = frame.counters = {}
    name = spec.name
    number = counters.get(name, 0) + 1
    key = f"{spec.key_name}#{number}"
    recorded = history.calls.get(key)
    if recorded is None:
        return MISSING
    outcome = recorded.outcome
    if outcome is None or outcome.kind is not _COMPLETED or outcome.name != name:
        return MISSING
    output, digest = outcome.output, outcome.inputs_digest
    if output is None or digest is None:
        return MISSING
    try:
        if not equal_inputs(spec.parameters, args, kwargs, run.codec, outcome.inputs, digest):
            return MISSING
    except KitaruSerializationError:
        return MISSING  # the long way says what is wrong
    value = run.kernel.decode(output)
    if not history.take(recorded):
        return MISSING
    counters[name] = number
    frame.count_digest(name, digest)
    if not history.calls:
        with run.lock:
            if history.empty and not history.labels:
                run.history = None
    if output.data is not None:
        run.lineage.reused.append((key, value, output))
    else:  # large: not to be held
        run.lineage.note_key(key, value, output)
    return value


def match(frame: Frame) -> Recorded | None:
    """Find and consume the record of the call in ``frame``, which takes over the record's key; None: a new call.

    Raises ExecutionDiverged (and stops the execution) when a flow body's call contradicts its record under the
    policy ``error``.
    """
    run = frame.run
    history = run.history
    assert history is not None and frame.parent is not None and frame.inputs is not None
    in_flow_body = not frame.parent.root.key
    with run.lock:
        found = history.match(frame.key, frame.name, frame.inputs.digest, strict=in_flow_body)
        recorded = found.recorded
        if recorded is None and history.source is not None:
            recorded = history.source.answer(frame, found.key)
        if found.differs and run.spec.on_divergence != "error":
            history.consume(found.key)
            recorded = recorded if run.spec.on_divergence == "reuse" else _in_doubt(frame, recorded)
        elif history.empty and not history.labels:
            run.history = None
    if found.differs and run.spec.on_divergence == "error":
        assert recorded is not None
        diverged = _divergence(frame, recorded)
        run.stop(diverged)
        raise diverged
    if found.key != frame.key:
        frame.key = found.key
        frame.base = frame.prefix = found.key + "/"
    outcome = recorded.outcome if recorded is not None and not in_flow_body else None
    if recorded is not None and outcome is not None and outcome.kind is not EntryKind.COMPLETED:
        recorded.outcome, recorded.failed_attempts = None, 0  # inside a body that runs again, failures run again
    return recorded


def _in_doubt(frame: Frame, recorded: Recorded | None) -> Recorded | None:
    """Under ``on_divergence="rerun"`` a call simply runs anew, but about an effect somebody must decide."""
    if recorded is None or frame.spec is None or not frame.spec.effect:
        return None
    recorded.doubt = recorded.doubt or recorded.outcome
    recorded.outcome, recorded.failed_attempts = None, 0
    return recorded if recorded.doubt is not None else None


def reopen_inner(frame: Frame) -> None:
    """Before the next attempt of a call: make the inner calls of its earlier attempts available for reuse."""
    run = frame.run
    entries = run.journal.entries(run.exec_id, prefix=frame.base)
    with run.lock:
        if run.history is None:
            run.history = History()
        run.history.add(entries)


def _divergence(frame: Frame, recorded: Recorded) -> ExecutionDiverged:
    run = frame.run
    inputs = frame.inputs
    assert inputs is not None
    differences = compare(recorded.inputs or b"{}", inputs.data)
    lines = [
        f"argument `{one.argument}`: recorded {one.recorded or 'nothing'}, now {one.now or 'nothing'}"
        for one in differences
    ]
    ended = "was recorded" if recorded.outcome is not None else "had started"
    return ExecutionDiverged(
        f"divergence in flow `{run.flow_name}`, execution {run.exec_id}: checkpoint `{frame.name}` (call {frame.key}) "
        f"{ended} with other inputs. {'; '.join(lines) or 'the inputs differ'}. Three ways on: restore the code that "
        f"recorded it and run `kitaru executions retry {run.exec_id}`; let this flow run such calls again with "
        '@flow(on_divergence="rerun"); or keep the recorded results with @flow(on_divergence="reuse"). Values that '
        "differ in every run (time, random) belong in kitaru.now(), kitaru.uuid4(), kitaru.random() or a checkpoint.",
        frame.key,
        differences,
    )

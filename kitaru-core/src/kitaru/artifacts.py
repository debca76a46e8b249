"""``kitaru.save()`` and ``kitaru.load()``: named values beside the results of checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

from kitaru.errors import KitaruNotFoundError, KitaruRuntimeError, KitaruUsageError
from kitaru.runtime import notes
from kitaru.runtime.scopes import require_scope

if TYPE_CHECKING:
    from kitaru.journal.records import Payload
    from kitaru.runtime.context import Frame
    from kitaru.timeline import FoldedCall

__all__ = ["ARTIFACT_TYPES", "load", "safe_save", "save"]

#: What a saved artifact may be labelled as.
ARTIFACT_TYPES = frozenset(("prompt", "response", "context", "input", "output", "blob"))


def save(name: str, value: Any, *, type: str = "output", tags: Sequence[str] | None = None) -> None:
    """Store a value under a name, as an artifact of the checkpoint call in whose body this runs.

    It is committed with the call's outcome at the latest; equal large values are stored once. A body that runs again
    (a retry, a resumed call) replaces what its earlier attempts saved under the same name; two saves under one name in
    one attempt are two artifacts, and :func:`load` then asks for another name.

    Args:
        name: any text that is not blank.
        type: prompt, response, context, input, output or blob.
        tags: free labels, shown with the artifact.

    Raises:
        KitaruContextError: outside a checkpoint.
        KitaruUsageError: an unknown type, a blank name, tags that are no texts.
        KitaruSerializationError: the value cannot be stored.
    """
    frame = require_scope("save", checkpoint=True)
    label = type.strip().lower() if isinstance(type, str) else type
    if not isinstance(label, str) or label not in ARTIFACT_TYPES:
        raise KitaruUsageError(
            f"kitaru.save(type={type!r}) is not a type of artifact: allowed are {', '.join(sorted(ARTIFACT_TYPES))}."
        )
    _check_name("save", name)
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags or ()):
        raise KitaruUsageError(f"kitaru.save(tags={tags!r}): must be a list of texts.")
    notes.save_artifact(frame, name, value, label, list(tags or ()))


def load(exec_id: str, name: str) -> Any:
    """The value of one artifact of an execution, this one included: a saved one, or what a checkpoint call returned.

    ``name`` is the name it was saved under, or the invocation id of a call (``research``, ``research#2``,
    ``outer/inner``); where no call has that id, the name of a checkpoint. Works inside a checkpoint only.

    Raises:
        KitaruContextError: outside a checkpoint.
        KitaruUsageError: ``exec_id`` is not a UUID, or ``name`` is blank.
        KitaruRuntimeError: no such execution, no such artifact, or several of this name; the text lists them.
        KitaruCorruptionError: the stored bytes are not those that were written.
        KitaruBackendError: the journal or the artifact store does not answer.
    """
    frame = require_scope("load", checkpoint=True)
    target = _checked_target(exec_id)
    _check_name("load", name)
    found = _find(frame, target, name)
    if not found:
        raise KitaruRuntimeError(
            f"execution {target} has no artifact `{name}`. `kitaru executions get {target} --output json` lists its "
            "artifacts."
        )
    if len(found) > 1:
        told = "; ".join(f"call {call} / artifact {artifact} / {kind}" for call, artifact, kind, _ in found)
        raise KitaruRuntimeError(
            f"artifact `{name}` of execution {target} is ambiguous: {told}. Save it under a unique name, or load a "
            "call's result by its invocation id."
        )
    return frame.run.kernel.decode(found[0][3])


def safe_save(name: str, value: Any, *, artifact_type: str, save_func: Callable[..., None]) -> str:
    """Save a value or, when that fails, what can be said of it; gives the type it was saved as.

    For values that only document a call (prompts, responses of libraries): failing to store one shall not fail the
    call. What the second save raises is raised.
    """
    try:
        save_func(name, value, type=artifact_type)
    except Exception:
        save_func(name, {"repr": repr(value), "python_type": value.__class__.__name__}, type="blob")
        return "blob"
    return artifact_type


_safe_save = safe_save


def _check_name(api_name: str, name: Any) -> None:
    if not isinstance(name, str) or not name.strip():
        raise KitaruUsageError(f"kitaru.{api_name}(name={name!r}): must be a text that is not blank.")


def _checked_target(exec_id: Any) -> str:
    try:
        return str(UUID(exec_id))
    except (ValueError, AttributeError, TypeError) as error:
        raise KitaruUsageError(
            f"kitaru.load(exec_id={exec_id!r}): must be the id of an execution, a UUID. See `kitaru executions list`."
        ) from error


def _find(frame: Frame, exec_id: str, name: str) -> list[tuple[str, str, str, Payload]]:
    """Every artifact that ``name`` may mean: (invocation id, artifact name, save type, payload)."""
    from kitaru.timeline import Timeline

    run = frame.run
    if exec_id == run.exec_id:
        run.flush()  # what this very call has saved may be what it asks for
    try:
        entries = run.journal.entries(exec_id)
    except KitaruNotFoundError as error:
        raise KitaruRuntimeError(f"kitaru.load(): there is no execution {exec_id} in this journal.") from error
    calls = list(Timeline(entries).calls.values())
    found = [
        (call.invocation_id, saved.name, "manual", saved.payload)
        for call in calls
        for saved in call.saved
        if saved.name == name
    ]
    returned = [call for call in calls if call.output is not None]
    return found + [_returned(call) for call in _meant(returned, name)]


def _meant(calls: list[FoldedCall], name: str) -> list[FoldedCall]:
    exact = [call for call in calls if call.invocation_id == name]
    return exact or [call for call in calls if call.name == name]


def _returned(call: FoldedCall) -> tuple[str, str, str, Payload]:
    assert call.output is not None
    return call.invocation_id, call.name, "output", call.output

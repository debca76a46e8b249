"""Which scope a primitive is called in, and whether it may be: the checks that ``log``, ``save`` and ``load`` share."""

from __future__ import annotations

from uuid import UUID

from kitaru.errors import KitaruContextError, KitaruStateError
from kitaru.runtime import identity
from kitaru.runtime.context import Frame, current_frame


def require_scope(api_name: str, *, checkpoint: bool) -> Frame:
    """The frame of the body that runs here (never that of one of its asyncio branches).

    Args:
        api_name: for messages: ``kitaru.<api_name>()``.
        checkpoint: the call is legal only inside a checkpoint.

    Raises:
        KitaruContextError: outside a flow, or in a flow body where a checkpoint is needed.
        KitaruStateError: the execution or the checkpoint call has no id, or one that is no UUID.
    """
    frame = current_frame.get()
    if frame is None or (checkpoint and not frame.root.key):
        where = "inside a checkpoint" if checkpoint else "inside a flow or a checkpoint"
        found = "nothing is running here" if frame is None else "this is the flow body"
        raise KitaruContextError(
            f"kitaru.{api_name}() works only {where}: {found}. Call it from a function decorated with "
            f"{'@checkpoint' if checkpoint else '@flow or @checkpoint'} that an execution runs."
        )
    root = frame.root
    _parse_scope_uuid(root.run.exec_id, scope_name="execution", api_name=api_name)
    if root.key:
        call_id = identity.call_id(root.run.exec_id, root.key)
        _parse_scope_uuid(call_id, scope_name="checkpoint", api_name=api_name)
    return root


def _parse_scope_uuid(scope_id: str | None, *, scope_name: str, api_name: str) -> UUID:
    """The id of a scope as a UUID. Raises KitaruStateError that names the API, the kind of id, and what was found."""
    if not scope_id:
        raise KitaruStateError(f"kitaru.{api_name}() needs an active {scope_name} id, and this scope has none.")
    try:
        return UUID(scope_id)
    except (ValueError, AttributeError, TypeError) as error:
        raise KitaruStateError(
            f"kitaru.{api_name}() needs a valid {scope_name} id, but this scope's is {scope_id!r}: not a UUID."
        ) from error

"""``kitaru.log()``: notes on a call or an execution, for people, dashboards and statistics."""

from __future__ import annotations

from typing import Any

from kitaru.runtime import notes
from kitaru.runtime.scopes import require_scope

__all__ = ["log"]


def log(**kwargs: Any) -> None:
    """Attach metadata: to the checkpoint call in whose body this runs, else to the execution.

    Two dicts logged under one key are merged, of anything else the latest wins; metadata of calls and of the execution
    never mix. Conventional keys: ``cost`` (a number; statistics add them up), ``tokens``, ``latency``, ``model``. The
    values are committed with the call's outcome at the latest; those of an attempt that failed are kept with it.
    Without arguments it does nothing.

    Raises:
        KitaruContextError: outside a flow.
        KitaruUsageError: a value has no JSON form; the text names its key.
    """
    frame = require_scope("log", checkpoint=False)
    if kwargs:
        notes.log_metadata(frame, notes.checked_metadata(kwargs))

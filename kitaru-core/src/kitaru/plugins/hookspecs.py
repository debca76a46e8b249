"""The hooks: when each one is called. What a plugin can supply is the API of ``register``, see ``register.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins.marker import hookspec

if TYPE_CHECKING:
    from kitaru.models import CheckpointCall, Execution, PendingWait
    from kitaru.plugins.register import Register


@hookspec
def kitaru_register(register: Register) -> None:
    """Called once per process, when plugins are first needed: say what this plugin supplies.

    Must import nothing heavy: everything is declared by dotted path and imported on first use. An exception makes
    the plugin unavailable and takes back what it had registered.
    """


# Observers. Called on a background thread, once per event, after it was committed; what they return is ignored, and
# an exception is logged (logger ``kitaru.plugins``) and never reaches an execution.


@hookspec
def kitaru_execution_started(execution: Execution) -> None:
    """A process began to drive an execution: a new one, or one that continues."""


@hookspec
def kitaru_execution_finished(execution: Execution) -> None:
    """An execution has ended: completed, failed or cancelled. It holds its calls."""


@hookspec
def kitaru_checkpoint_finished(call: CheckpointCall) -> None:
    """A checkpoint call has ended, whatever its outcome. It holds its attempts."""


@hookspec
def kitaru_wait_opened(wait: PendingWait) -> None:
    """An execution began to wait for an answer."""


@hookspec
def kitaru_wait_answered(wait: PendingWait) -> None:
    """A wait was answered, and the answer accepted."""

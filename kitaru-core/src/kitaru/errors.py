"""The whole exception tree of Kitaru. Importing it is free: it needs nothing else.

::

    Exception
    └── KitaruError                                every error Kitaru raises on purpose
        ├── KitaruUsageError (ValueError)          bad argument, configuration or environment value
        │   ├── KitaruWaitValidationError          an answer does not fit its wait's schema
        │   └── KitaruConfigError                  a configuration file that cannot be used as it is
        ├── KitaruContextError (RuntimeError)      a primitive used in the wrong scope
        ├── KitaruStateError (RuntimeError)        the state of an object forbids the operation
        │   ├── KitaruNotFoundError (LookupError)  no such execution
        │   ├── KitaruBudgetExceededError          a budget for model calls has nothing left
        │   ├── KitaruInDoubtError                 an effect may have happened; nothing decides whether it may run again
        │   ├── KitaruWaitingError                 the execution is suspended; says what continues it
        │   ├── KitaruWaitExpiredError (TimeoutError)
        │   └── KitaruLeaseError                   another process runs the execution
        ├── KitaruTimeoutError (TimeoutError)      a deadline passed; the work may still go on
        ├── KitaruFeatureNotAvailableError (NotImplementedError)
        └── KitaruRuntimeError (RuntimeError)      Kitaru could not do its part
            ├── KitaruSerializationError (TypeError)      a value cannot be stored or rebuilt
            ├── KitaruArtifactNotFoundError (LookupError) no artifact under this key
            ├── KitaruPluginError                  a configured component whose plugin is unavailable
            ├── KitaruExecutionError               an execution ended without a result
            │   ├── KitaruUserCodeError            ... because the user's code raised
            │   └── KitaruDivergenceError          ... because the code no longer fits its journal
            └── KitaruBackendError                 a store, server or provider did not do its part
                ├── KitaruJournalError             the journal cannot be opened, read or written
                │   └── KitaruCorruptionError      stored bytes are not what was written
                └── KitaruLogRetrievalError        runtime logs cannot be read

The second, builtin parent is part of the contract: ``except ValueError`` and friends keep working.
Control flow (suspension, cancellation, interruption) is not here: it derives from ``BaseException``, so that a
user's ``except Exception`` cannot swallow it, and lives in ``kitaru.runtime.control``.
"""

from __future__ import annotations

from enum import StrEnum


class FailureOrigin(StrEnum):
    """Where a failure was born. Recorded where it happens, never guessed from text."""

    USER_CODE = "user_code"
    RUNTIME = "runtime"
    BACKEND = "backend"
    DIVERGENCE = "divergence"
    UNKNOWN = "unknown"


class KitaruError(Exception):
    """Root of every error that Kitaru raises on purpose."""


class KitaruUsageError(KitaruError, ValueError):
    """A bad argument, configuration value or environment variable."""


class KitaruWaitValidationError(KitaruUsageError):
    """The answer to a wait does not fit the wait's schema; the wait stays open."""


class KitaruConfigError(KitaruUsageError):
    """A configuration file cannot be used as it is. The file is never changed or dropped because of it."""


class KitaruContextError(KitaruError, RuntimeError):
    """A primitive was used outside the scope it needs (for example a checkpoint outside a flow)."""


class KitaruStateError(KitaruError, RuntimeError):
    """The present state of an execution, wait or stack forbids the operation."""


class KitaruNotFoundError(KitaruStateError, LookupError):
    """There is no such execution (or wait, or call) in this journal."""


class KitaruWaitingError(KitaruStateError):
    """The execution is suspended. The text names what it waits for and the command that continues it."""


class KitaruWaitExpiredError(KitaruStateError, TimeoutError):
    """A wait passed its deadline (``expires_in``) and has no ``on_expiry`` value."""


class KitaruBudgetExceededError(KitaruStateError):
    """A model call was not made: a budget of its execution, or of one that started that, has nothing left."""


class KitaruInDoubtError(KitaruStateError):
    """A call with ``effect="once"`` may have happened, and its policy, or a human, forbids to run it again."""


class KitaruLeaseError(KitaruStateError):
    """Another process owns the execution, or has taken it over from this one."""


class KitaruTimeoutError(KitaruError, TimeoutError):
    """A deadline passed: a ``timeout=`` of a checkpoint, a handle or a future."""


class KitaruFeatureNotAvailableError(KitaruError, NotImplementedError):
    """The feature does not exist in this installation or on this component."""


class KitaruRuntimeError(KitaruError, RuntimeError):
    """Kitaru itself could not do its part."""


class KitaruSerializationError(KitaruRuntimeError, TypeError):
    """A value cannot be stored, or a stored value cannot be rebuilt. The text names the value."""


class KitaruArtifactNotFoundError(KitaruRuntimeError, LookupError):
    """The artifact store holds nothing under this key."""


class KitaruPluginError(KitaruRuntimeError):
    """A configured component needs a plugin that is missing or unavailable."""


class KitaruExecutionError(KitaruRuntimeError):
    """An execution ended without a result.

    Attributes:
        exec_id: id of the execution, or None.
        status: its public status (``"failed"``, ``"cancelled"``), or None.
        failure_origin: a :class:`FailureOrigin`, or None.
    """

    def __init__(
        self,
        *args: object,
        exec_id: str | None = None,
        status: str | None = None,
        failure_origin: FailureOrigin | None = None,
    ) -> None:
        super().__init__(*args)
        self.exec_id = exec_id
        self.status = status
        self.failure_origin = failure_origin


class KitaruUserCodeError(KitaruExecutionError):
    """The execution failed because the user's own code raised."""


class KitaruDivergenceError(KitaruExecutionError):
    """The code no longer makes the calls that its journal recorded."""


class KitaruBackendError(KitaruRuntimeError):
    """A store, server, engine or provider did not do its part."""


class KitaruJournalError(KitaruBackendError):
    """The journal cannot be opened, read or written. Nothing that was committed is lost by it."""


class KitaruCorruptionError(KitaruJournalError):
    """Stored bytes are not the bytes that were written (digest mismatch or damaged store file)."""


class KitaruLogRetrievalError(KitaruBackendError):
    """Runtime logs cannot be retrieved from the log store."""


def traceback_last_line(traceback: str | None) -> str | None:
    """The last non-blank line of a traceback text, stripped; None when there is none."""
    for line in reversed((traceback or "").splitlines()):
        if line.strip():
            return line.strip()
    return None


def traceback_exception_type(traceback: str | None) -> str | None:
    """The dotted exception type on the last line of a traceback text, or None when it names none."""
    line = traceback_last_line(traceback)
    if line is None:
        return None
    name = line.split(":", 1)[0].strip()
    return name if all(part.isidentifier() for part in name.split(".")) else None


_LEGACY_HINTS: tuple[tuple[FailureOrigin, tuple[str, ...]], ...] = (
    (FailureOrigin.DIVERGENCE, ("diverg", "durable call sequence", "replay mismatch")),
    (
        FailureOrigin.RUNTIME,
        ("serialize", "serialization", "deserialize", "materializ", "materializer", "hydrate", "reconstruct"),
    ),
    (
        FailureOrigin.BACKEND,
        ("backend communication", "connection refused", "transport error", "failed to fetch", "api unavailable"),
    ),
)


def classify_failure_origin(
    *, status_reason: str | None, traceback: str | None, default: FailureOrigin = FailureOrigin.UNKNOWN
) -> FailureOrigin:
    """Guess the origin of a *foreign* failure from its text (case-insensitive substrings, first match wins).

    Only for text that another engine wrote: Kitaru's own failures carry the origin that was recorded where
    they happened, and never pass through here.
    """
    text = f"{status_reason or ''}\n{traceback or ''}".lower()
    for origin, hints in _LEGACY_HINTS:
        if any(hint in text for hint in hints):
            return origin
    return default


def execution_error_from_failure(
    message: str, *, exec_id: str | None, status: str | None, origin: FailureOrigin
) -> KitaruExecutionError:
    """The error class that fits ``origin``: divergence and user code have their own, the rest share the base."""
    kind: type[KitaruExecutionError] = {
        FailureOrigin.DIVERGENCE: KitaruDivergenceError,
        FailureOrigin.USER_CODE: KitaruUserCodeError,
    }.get(origin, KitaruExecutionError)
    return kind(message, exec_id=exec_id, status=status, failure_origin=origin)

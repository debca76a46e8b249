"""The kinds of components of a stack. The docstrings are the contracts; ``kitaru.testing.conformance`` tests them.

An implementation is made as ``Implementation(config)`` and does no I/O in that. Components are used from many threads
at once. What a store or service does not do (network, permission, disk full) is a KitaruBackendError that names the
component and the reason, and never a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO, Literal, Protocol, runtime_checkable

from kitaru.errors import KitaruUsageError
from kitaru.journal.log_records import LogRecord


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a stack: a flavor of a kind, and its settings as plain data.

    ``credentials``: the stack's credentials, which are never part of ``settings``, are added to them as the setting
    ``credentials`` (see ``kitaru.stack.credentials``) whenever this component is made.
    """

    kind: str
    flavor: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    credentials: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """What a stack's components are made for: this installation's directory, and the durability it promises."""

    directory: Path
    durability: Literal["full", "process"] = "full"


def check_key(key: str) -> str:
    """A storage key as it is, if it may be used: relative, ``/``-separated, no part empty, ``.`` or ``..``, no NUL.

    Every store calls this first, so that no key leads out of the place it was given. Raises KitaruUsageError.
    """
    if not isinstance(key, str) or not key or "\0" in key or "\\" in key or len(key) > _KEY_CHARACTERS_MAX:
        raise KitaruUsageError(
            f"storage key {key!r:.80} is empty, over {_KEY_CHARACTERS_MAX} characters, or has a NUL or backslash."
        )
    if any(part in ("", ".", "..") for part in key.split("/")):
        raise KitaruUsageError(
            f"storage key {key!r:.80} leads out of the store: it must be relative, without `.`, `..` or empty parts."
        )
    return key


_KEY_CHARACTERS_MAX = 900


def check_secret_name(name: str) -> str:
    """The name of a secret as it is, if it may be used: up to 200 of ``A-Za-z0-9._-``, beginning with no dot or dash.

    Every secret store calls this first, so that no name leads out of its place. Raises KitaruUsageError.
    """
    if not isinstance(name, str) or not _SECRET_NAME.fullmatch(name):
        raise KitaruUsageError(
            f"{name!r:.80} is not the name of a secret: use up to 200 letters, digits, `.`, `_` and `-`, and begin "
            "with a letter, digit or `_`."
        )
    return name


def check_secret_values(values: Mapping[str, str]) -> dict[str, str]:
    """The values of a secret, if they may be: at least one, under keys that could be environment variables.

    Every secret store calls this first. Raises KitaruUsageError, which quotes neither a value nor a key that is none.
    """
    if not values:
        raise KitaruUsageError("a secret has at least one value: KEY=value.")
    for key, value in values.items():
        if not isinstance(key, str) or not _SECRET_KEY.fullmatch(key):
            # The key is not quoted: who mixes up key and value has typed the secret there.
            raise KitaruUsageError("a secret's keys are made of letters, digits and `_`, and begin with no digit.")
        if not isinstance(value, str) or not value:
            raise KitaruUsageError(f"the value of `{key}` is empty or no text.")
    return dict(values)


_SECRET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
_SECRET_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@runtime_checkable
class ArtifactStore(Protocol):
    """Bytes under keys: relative paths with ``/``, see :func:`check_key` (KitaruUsageError otherwise)."""

    def put(self, key: str, data: bytes | BinaryIO) -> None:
        """Store ``data`` under ``key``; a file is read from its position to its end.

        Atomic: a reader sees all of the old content (or nothing) or all of the new, also after a crash. Putting
        the same content again is a no-op; other content replaces the old. Where the installation promises full
        durability, the bytes survive power loss once this returns.

        Raises KitaruSerializationError for content that is larger than this store takes, whenever it is tried: it is
        not sent again. KitaruBackendError for what a later try may well do.
        """

    def get(self, key: str) -> bytes:
        """The bytes under ``key``. Raises KitaruArtifactNotFoundError when there are none."""

    def open(self, key: str) -> BinaryIO:
        """A binary file on the content, to be closed by the caller. Raises KitaruArtifactNotFoundError."""

    def exists(self, key: str) -> bool:
        """Whether there is something under exactly this key."""

    def delete(self, key: str) -> None:
        """Remove what is under ``key``; nothing there is fine."""

    def list(self, prefix: str = "") -> Iterator[str]:
        """The keys that start with ``prefix`` (as text, not as a folder), sorted. Unfinished puts are left out."""


@runtime_checkable
class SweepableStore(Protocol):
    """An artifact store whose values can be removed while others are being stored. A capability: stores without it
    keep what nobody refers to any more."""

    def delete_stale(self, key: str, seconds: float) -> bool:
        """Remove what is under ``key`` unless it was put, or put again with the same content, in the last ``seconds``.

        True when this call removed it. A put that returns after this call began leaves its value in place.
        """


@runtime_checkable
class LogStore(Protocol):
    """Runtime log lines per execution, in the order they were appended.

    Every text comes back as it went in, where the service can hold it at all; an id that could lead out of the store's
    place is a KitaruUsageError. What a service will never take, whatever is tried (a line too large for it), is a
    KitaruUsageError too: it is dropped and counted, and not sent again. Everything else that goes wrong is tried again
    by the shipping layer, so no method waits longer than its own timeouts: a minute at most.
    """

    def append(self, exec_id: str, records: Sequence[LogRecord]) -> None:
        """Add lines at the end. Lines of one call stay together and in order; several processes may append at once.

        A crash may lose the lines being appended, never earlier ones, and never makes the log unreadable.
        """

    def read(
        self, exec_id: str, *, call_id: str | None = None, after: int = 0, limit: int | None = None
    ) -> list[LogRecord]:
        """Lines, oldest first; none for an execution without any.

        Args:
            call_id: only lines of this call.
            after: skip so many lines (of those that ``call_id`` leaves): where to go on reading when following.
            limit: at most so many lines.

        Raises KitaruLogRetrievalError when they cannot be read.
        """

    def delete(self, exec_id: str) -> None:
        """Remove all lines of an execution; none is fine."""


@runtime_checkable
class PromptLogStore(Protocol):
    """A log store that writes to this machine only, so that lines are handed to it on the flow's own thread.

    A capability: the lines of an execution are stored when its result is published, and survive the process from then
    on. Lines for any other store wait in memory and are brought to it in the background (``kitaru.stack.shipping``).
    """

    @property
    def prompt(self) -> bool:
        """True: ``append`` takes microseconds and waits for nothing but a local disk."""


class OrchestratorCapability(StrEnum):
    """What an orchestrator can do beyond starting an execution."""

    IN_PROCESS = "in_process"  # the kernel runs in the process that calls ``start``: executions are created as owned
    ISOLATED = "isolated"  # it can run one checkpoint call in a process or pod of its own: see IsolatingOrchestrator


class OrchestratorStatus(StrEnum):
    """What the place where an execution was started says of it. The journal, not this, says how the execution is."""

    UNKNOWN = "unknown"  # it knows nothing of this execution, or says something that has no meaning here
    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"  # the process or pod ended well; the execution in it may have failed or be waiting
    FAILED = "failed"
    CANCELLED = "cancelled"


@runtime_checkable
class Orchestrator(Protocol):
    """Decides where the kernel runs, and nothing else."""

    @property
    def capabilities(self) -> frozenset[OrchestratorCapability]:
        """What it can do. Raises KitaruFeatureNotAvailableError when it can start nothing here, and why."""

    def start(self, exec_id: str, *, journal_url: str) -> None:
        """Have ``kitaru.stack.start_execution(exec_id, journal_url=journal_url)`` called wherever the kernel is to run.

        ``python -m kitaru.stack.start EXEC_ID``, with KITARU_JOURNAL_URL in the environment, does that in a process
        that stays until the execution has ended, see there.

        The execution is committed to the journal before this is called. Returns at once; it does not wait for the
        end. Starting an execution that runs already raises what ``start_execution`` raises, or starts nothing.

        Raises KitaruBackendError when it cannot be started; the execution can then be resumed.
        """

    def status(self, exec_id: str) -> OrchestratorStatus:
        """What the place says of the newest start of an execution; never raises for one it does not know."""

    def cancel(self, exec_id: str) -> None:
        """End the process or pod that was started for an execution; none is fine.

        Called after the journal has recorded the cancellation, for what does not notice it by itself.
        """

    def logs(self, exec_id: str) -> Iterator[str]:
        """What the place itself printed, line by line, oldest first: of its start, before there is a kernel to capture
        anything. None for an execution it does not know."""


@dataclass(frozen=True, slots=True)
class IsolatedCall:
    """One attempt of a checkpoint call with ``runtime="isolated"``, for whoever runs it elsewhere.

    ``request`` is handed, byte for byte, to ``kitaru.stack.serve_call`` in the other process; ``output`` is told the
    lines it prints ("stdout" or "stderr", text); ``stopped`` is asked often (every 0.1 s or so) and says that the
    result is not wanted any more: the execution was cancelled or the attempt's time is up.
    """

    exec_id: str
    call_id: str
    name: str
    request: bytes
    output: Callable[[str, str], None]
    stopped: Callable[[], bool]


@runtime_checkable
class IsolatingOrchestrator(Protocol):
    """An orchestrator with the capability ``ISOLATED``."""

    def run_call(self, call: IsolatedCall) -> bytes | None:
        """Run one call in a process or pod of its own and return what ``serve_call`` returned there; blocks.

        None when ``call.stopped`` said so: the process has been ended then.

        Raises KitaruBackendError when the process could not be started or died without an answer (with its exit code
        or signal).
        """


@runtime_checkable
class ContainerRegistry(Protocol):
    """Where images are pushed to."""

    @property
    def uri(self) -> str:
        """The registry's address without a scheme and without a trailing slash, as image names begin with it."""

    def verify(self) -> None:
        """Sign in and read. Raises KitaruBackendError that says which of them failed, and why."""


@runtime_checkable
class SecretStore(Protocol):
    """Named sets of secret values. Values appear in no error text and no log.

    Names and values are checked by :func:`check_secret_name` and :func:`check_secret_values` (KitaruUsageError). A
    reader sees what one ``set`` gave, whole. A name that was deleted can be used again at once.
    """

    def get(self, name: str) -> dict[str, str]:
        """The values of a secret. Raises KitaruNotFoundError when there is none of this name."""

    def set(self, name: str, values: Mapping[str, str]) -> None:
        """Store a secret, whole: values it had before and are not given now are gone."""

    def list(self) -> list[str]:
        """The names, sorted; never values."""

    def delete(self, name: str) -> None:
        """Remove a secret. Raises KitaruNotFoundError when there is none of this name."""

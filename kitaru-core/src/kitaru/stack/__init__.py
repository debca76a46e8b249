"""Stacks: the components a flow runs on, and how an execution is started on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitaru.stack.components import Place

__all__ = ["serve_call", "start_execution", "this_place"]


def start_execution(exec_id: str, *, journal_url: str | None = None) -> None:
    """Drive an execution in this process, on a thread of its own; returns as soon as it runs.

    The one door through which every orchestrator starts the kernel, wherever it put it. An execution that was
    created in this process starts; any other is claimed from the journal and continued, unless it was cancelled
    meanwhile. A normal end of the interpreter waits for it. ``python -m kitaru.stack.start`` is a process that does
    this and nothing else.

    Args:
        exec_id: the execution.
        journal_url: the journal it is in; default: the configured one.

    Raises:
        KitaruNotFoundError: no such execution in this journal.
        KitaruLeaseError: somebody who is alive runs it.
        KitaruStateError: its status forbids it; the text names id and status.
        KitaruRuntimeError: its flow cannot be loaded here; the execution stays as it was.
        KitaruUsageError, KitaruJournalError: the settings are bad, or the journal cannot be opened.
    """
    from kitaru.stack.assembly import kernel_to_start_on

    kernel_to_start_on(journal_url).start(exec_id)


def serve_call(request: bytes) -> bytes:
    """Run one call with ``runtime="isolated"`` in this process, and give the answer for the process that asked.

    The door for orchestrators with the capability ``ISOLATED``: ``request`` is an ``IsolatedCall``'s, byte for byte.
    What the body raises is part of the answer; this raises only for a request that cannot be read. Standard output and
    error belong to the body: pass them on line by line.
    """
    from kitaru.runtime import isolated

    return isolated.serve(request)


def this_place() -> Place:
    """This installation, as stacks are made for it: for commands of plugins that look after something there.

    Raises KitaruUsageError when a setting is bad.
    """
    from kitaru.config import settings
    from kitaru.stack.components import Place

    resolved = settings.resolve()
    return Place(resolved.config_directory, resolved.durability)

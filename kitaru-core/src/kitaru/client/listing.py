"""Listings for interfaces (command line, agents): filters as they arrive there."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kitaru.client.client import KitaruClient
    from kitaru.models import Execution


def list_executions_filtered(
    client: KitaruClient, *, flow: str | None, status: str | None, stack: str | None, limit: int | None
) -> list[Execution]:
    """Executions that match every filter, newest first; ``limit`` counts those that match.

    Raises KitaruUsageError (a ValueError): ``limit`` below 1, an unknown status.
    """
    return client.executions.list(flow=flow, status=status, stack=stack, limit=limit)


def latest_execution_filtered(
    client: KitaruClient, *, flow: str | None, status: str | None, stack: str | None
) -> Execution:
    """The newest execution that matches, with details. Raises a LookupError that names the filters when none does."""
    return client.executions.latest(flow=flow, status=status, stack=stack)

"""The operation layer: everything the command line, agents and the server do to executions goes through here."""

from kitaru.client.client import KitaruClient
from kitaru.client.recovery import Recovery

__all__ = ["KitaruClient", "Recovery"]

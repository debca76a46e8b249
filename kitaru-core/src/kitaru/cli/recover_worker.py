"""One worker process of ``kitaru recover``: drives one execution and says by its exit code what became of it."""

from __future__ import annotations

import signal
import sys

from kitaru.cli.recover import PARKED, REFUSED, SKIPPED
from kitaru.client import KitaruClient


def main(exec_id: str) -> int:
    """Continue ``exec_id``; the flow's own end does not matter here: it is in the journal."""
    client = KitaruClient()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: client.interrupt() and None)
    recovery = client.recover_one(exec_id)
    if recovery.skipped:
        return SKIPPED
    if recovery.refused:
        print(" ".join(recovery.refused[exec_id].split()), file=sys.stderr)
        return REFUSED
    if recovery.parked:
        return PARKED
    for _ in client.executions.watch(exec_id):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

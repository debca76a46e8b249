"""One worker process of ``kitaru recover``: drives one execution and says by its exit code what became of it."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from kitaru.cli.recover import HANDED_OVER, PARKED, REFUSED, SKIPPED
from kitaru.client import KitaruClient


def main(exec_id: str) -> int:
    """Continue ``exec_id``. How the flow ends is in the journal; only why it was refused is said on stdout."""
    # The flow may print as much as it likes, also from native code: nobody reads our stdout before the end.
    last_word = os.dup(1)
    os.dup2(2, 1)
    client = KitaruClient()

    def let_go(_number: int, _frame: FrameType | None) -> None:
        client.interrupt()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, let_go)
    recovery = client.recover_one(exec_id)
    if recovery.refused:
        os.write(last_word, " ".join(recovery.refused[exec_id].split()).encode()[:4096])
        return REFUSED
    if recovery.skipped or recovery.parked:
        return SKIPPED if recovery.skipped else PARKED
    if recovery.handed_over:
        return HANDED_OVER
    for _ in client.executions.watch(exec_id):
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

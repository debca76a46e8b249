"""``python -m kitaru.stack.start EXEC_ID``: a process that runs one execution and stays until it has ended.

What an orchestrator starts in its place. The journal is the one in KITARU_JOURNAL_URL, an environment variable because
the address may hold a password. Exit codes:

- 0: this process drove it to its end, or as far as it could be driven (it waits for an answer); or there is nothing to
  do, because somebody drives it, or it has ended or was cancelled. How the execution is stands in the journal.
- 1: it could not be started; the reason is on stderr.
- 2: the command line is wrong.
- 128 + signal: SIGINT or SIGTERM came, and the execution was let go of before its next checkpoint: started again, it
  continues there.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kitaru.errors import KitaruError, KitaruNotFoundError, KitaruStateError

if TYPE_CHECKING:
    from kitaru.runtime.kernel import Kernel
    from kitaru.runtime.run import Run

_USAGE = "usage: python -m kitaru.stack.start EXEC_ID"


def main(arguments: Sequence[str]) -> int:
    """Run an execution in this process; gives the exit code when it has ended."""
    from kitaru.stack.assembly import open_kernel

    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(_USAGE, file=sys.stderr)  # noqa: T201
        return 2
    received: list[int] = []
    kernel: Kernel | None = None
    run: Run | None = None

    def let_go(number: int, _frame: object) -> None:
        received.append(number)
        if kernel is not None and run is not None:  # before that, this thread may hold what stopping it needs
            kernel.interrupt_all()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, let_go)
    try:
        kernel = open_kernel()
        run = kernel.start(arguments[0])
    except KitaruError as error:
        print(error, file=sys.stderr)  # noqa: T201
        # Somebody else was faster, or it has ended: not for whoever restarts what fails to try again.
        nothing_to_do = isinstance(error, KitaruStateError) and not isinstance(error, KitaruNotFoundError)
        return 0 if nothing_to_do else 1
    if received:
        kernel.interrupt_all()
    run.done.wait()
    return 128 + received[0] if received and run.status == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

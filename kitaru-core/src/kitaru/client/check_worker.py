"""One process of ``executions.check``: checks one execution and prints the report as JSON."""

from __future__ import annotations

import os
import sys

from kitaru.client.checking import check_here
from kitaru.stack import assembly


def main(exec_id: str) -> None:
    """Print the report of ``exec_id`` on stdout, and nothing else: what the flow's code prints goes to stderr."""
    last_word = os.dup(1)
    os.dup2(2, 1)
    report = check_here(assembly.open_kernel(), exec_id)
    with os.fdopen(last_word, "wb") as out:
        out.write(report.model_dump_json().encode())
    sys.stderr.flush()
    os._exit(0)  # the flow's code may have left threads behind


if __name__ == "__main__":
    main(sys.argv[1])

"""``python -m tests.benchmarks [--json FILE] [--markdown] [--only NAME]``: every figure next to its raw limit."""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from tests.benchmarks import answering, commits, concurrency, resuming, sharing, starting
from tests.benchmarks.measure import Row, table

FIGURES: dict[str, Callable[[], Iterator[Row]]] = {
    "sequential-full": functools.partial(commits.sequential, "full"),
    "sequential-process": functools.partial(commits.sequential, "process"),
    "postgres": sharing.sequential,
    "one-checkpoint-flow": commits.one_checkpoint_flow,
    "concurrent": concurrency.concurrent,
    "reused": resuming.reused,
    "large": commits.large_results,
    "import": starting.imports,
    "help": starting.command_line,
    "plugins": starting.plugins,
    "lists": starting.long_lists,
    "many": commits.many,
    "first-new-call": starting.first_new_call,
    "answered": answering.answered,
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")
    parser.add_argument("--markdown", action="store_true", help="print the table as Markdown, with the machine")
    parser.add_argument("--only", action="append", choices=FIGURES, help="only this figure; may be repeated")
    options = parser.parse_args()
    # As after a plain install: without the tests' own plugin, and with modules that are compiled once.
    os.environ.setdefault("KITARU_PLUGINS", "local")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows, failed = [], []
    for name, measure in FIGURES.items():
        if options.only is None or name in options.only:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            try:
                rows += list(measure())
            except subprocess.CalledProcessError as error:  # the other figures still count
                failed.append(f"{name} cannot be measured: {error}\n{(error.stderr or b'').decode()}")
    about = _machine()
    if options.markdown:
        print("\n".join(f"- {name}: {value}" for name, value in about.items()) + "\n")
    print(table(rows, markdown=options.markdown))
    if options.json:
        Path(options.json).write_text(
            json.dumps({"machine": about, "figures": [row.as_json() for row in rows]}, indent=2) + "\n"
        )
    if failed:
        sys.exit("\n".join(failed))


def _machine() -> dict[str, Any]:
    import tempfile

    import apsw

    from kitaru.journal.sqlite_open import file_system

    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "file system": file_system(tempfile.gettempdir()),
        "Python": platform.python_version(),
        "SQLite": apsw.sqlite_lib_version(),
        "kitaru-core": metadata.version("kitaru-core"),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()

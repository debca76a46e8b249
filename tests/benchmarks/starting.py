"""What starting costs: the import, the command line, and the first new call of a resumed execution."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.benchmarks import resuming
from tests.benchmarks.measure import Row, Samples, scratch

_TURNS = 25
_MANY = 100_000
#: Fills a journal with ended executions of ten flows, one in seven of them failed.
_FILL = """
import sys, uuid
from kitaru.journal.records import ExecutionRecord
from kitaru.stack.journals import open_journal
journal = open_journal(sys.argv[1], "process")
for number in range(int(sys.argv[2])):
    at = 1_700_000_000_000_000 + number * 1_000_000
    status = "failed" if number % 7 == 0 else "completed"
    record = ExecutionRecord(str(uuid.uuid4()), f"flow{number % 10}", status, at, at, at + 500_000, "default")
    if status == "failed":
        record.failure = {"message": "no", "origin": "user_code"}
    journal.insert(record, [])
journal.close()
"""
#: Our own plugins.
PROVIDERS = ("local", "aws", "gcp", "azure")
#: What `import kitaru` must leave alone.
FORBIDDEN = ("fsspec", "pydantic", "click", "apsw", "sqlite3", "pluggy", "rich", "asyncio", "kitaru_local")


def imports() -> Iterator[Row]:
    """`import kitaru` over a bare interpreter."""
    ours, bare = _against_bare([sys.executable, "-c", "import kitaru"])
    code = f"import kitaru, sys, json; print(json.dumps([m for m in {FORBIDDEN!r} if m in sys.modules]))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    note = f"loads {', '.join(loaded)}" if loaded else "none of " + ", ".join(FORBIDDEN)
    yield _over("import kitaru", ours, bare, 80, note)


def command_line() -> Iterator[Row]:
    """`kitaru --help` over a bare interpreter, with all of our plugins."""
    yield from _listing(["--help"], 200)


def plugins() -> Iterator[Row]:
    """`kitaru plugins list` over a bare interpreter, with all of our plugins."""
    yield from _listing(["plugins", "list"], 250)


def _listing(arguments: Sequence[str], bar: float) -> Iterator[Row]:
    command = _kitaru()
    if command is None:
        return
    env = {**os.environ, "KITARU_PLUGINS": ",".join(PROVIDERS)}
    rows = json.loads(
        subprocess.run([command, "plugins", "list", "-o", "json"], env=env, check=True, capture_output=True).stdout
    )["items"]
    there = [row["name"] for row in rows if row["status"] == "available"]
    missing = [name for name in PROVIDERS if name not in there]
    ours, bare = _against_bare([command, *arguments], env)
    note = f"without {', '.join(missing)}, which are not installed" if missing else f"with {', '.join(there)}"
    yield _over(f"kitaru {' '.join(arguments)}", ours, bare, bar, note)


def long_lists() -> Iterator[Row]:
    """`kitaru executions list` among 100,000 executions, the whole process."""
    command = _kitaru()
    if command is None:
        return
    with scratch() as directory:
        url = f"sqlite:///{directory}/kitaru.db"
        subprocess.run([sys.executable, "-c", _FILL, url, str(_MANY)], check=True)
        env = {**os.environ, "KITARU_JOURNAL_URL": url, "KITARU_CONFIG_PATH": str(directory)}
        for more in ([], ["--flow", "flow7", "--status", "failed"]):
            ours, bare = _against_bare([command, "executions", "list", *more], env)
            figure = f"kitaru executions list {' '.join(more)}".strip()
            yield Row(
                figure,
                "ms",
                ours.median * 1e3,
                ours.p90 * 1e3,
                350,
                "at most 350 ms, whole process",
                bare.median * 1e3,
                bare.p90 * 1e3,
                "ms bare interpreter",
                f"among {_MANY:,} executions",
            )


def first_new_call() -> Iterator[Row]:
    """From `kitaru executions resume` to the body of the first call that was not recorded."""
    command = _kitaru()
    if command is None:
        return
    ours, bare = Samples(), Samples()
    with scratch() as directory:
        for turn in range(9):
            home = directory / str(turn)
            home.mkdir()
            report = home / "first-new-call"
            exec_id = resuming.die_after(home, 200, str(report))
            env = {**os.environ, "KITARU_JOURNAL_URL": f"sqlite:///{home}/kitaru.db", "KITARU_CONFIG_PATH": str(home)}
            begun = time.time_ns()
            subprocess.run([command, "executions", "resume", exec_id], env=env, check=True, capture_output=True)
            ours.add((int(report.read_text()) - begun) / 1e9)
            bare.add(_wall([sys.executable, "-c", "pass"]))
    yield _over("first new call after `executions resume`, 200 recorded", ours, bare, 400, "")


def _kitaru() -> str | None:
    beside = Path(sys.executable).with_name("kitaru")
    return str(beside) if beside.exists() else shutil.which("kitaru")


def _over(figure: str, ours: Samples, bare: Samples, bar: float, note: str) -> Row:
    return Row(
        figure,
        "ms",
        (ours.median - bare.median) * 1e3,
        (ours.p90 - bare.median) * 1e3,
        bar,
        f"at most {bar} ms over a bare interpreter",
        bare.median * 1e3,
        bare.p90 * 1e3,
        "ms bare interpreter",
        note,
    )


def _against_bare(command: Sequence[str], env: Mapping[str, str] | None = None) -> tuple[Samples, Samples]:
    ours, bare = Samples(), Samples()
    _wall(command, env)
    for _ in range(_TURNS):
        ours.add(_wall(command, env))
        bare.add(_wall([sys.executable, "-c", "pass"]))
    return ours, bare


def _wall(command: Sequence[str], env: Mapping[str, str] | None = None) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=env, check=True, capture_output=True)
    return time.perf_counter() - begun

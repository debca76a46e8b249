"""Writes the history of a release: ``python -m tests.histories.write DIRECTORY``, once per release, then committed.

``--code FOLDER`` runs the code of an earlier commit instead (its ``kitaru-core`` and ``kitaru-local``, unpacked there),
``--until SCHEMA`` only the flows that its schema could hold.

It runs the flows of ``history_flows`` in processes that end in every way there is (SIGKILL among them), and leaves a
journal, its artifacts and nothing that tells where it was written. Run it before the schema or a record changes, with
the code that is about to be released; an old history is never written again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import apsw

import kitaru

HERE = Path(__file__).resolve().parent
#: Where the flows were, as the history tells it.
PLACE = "/history"
_KITARU = str(Path(kitaru.__file__).resolve().parents[1])
_TEXT_COLUMNS = {
    "executions": ("entrypoint", "spec", "failure", "status_reason", "owner"),
    "entries": ("detail",),
    "waits": ("metadata",),
}


def scenario(name: str) -> None:
    """One execution, in this process, whose idempotency key is ``name``."""
    import history_flows as flows

    from kitaru.client import KitaruClient
    from kitaru.handles import FlowHandle
    from kitaru.stack import assembly

    kernel = assembly.open_kernel()
    kernel.inline_bytes_max = 500  # so that there are artifacts, and small ones
    client = KitaruClient()

    def start(flow: object, argument: int) -> FlowHandle:
        handle: FlowHandle = flow.run(argument, idempotency_key=name)  # type: ignore[attr-defined]
        run = kernel.runs.get(handle.exec_id)
        if run is not None:
            run.done.wait()
        return handle

    def until_it_waits(exec_id: str) -> None:
        while client.executions.get(exec_id).status != "waiting":
            time.sleep(0.01)

    def everything() -> None:
        handle = start(flows.everything, 1)
        until_it_waits(handle.exec_id)
        client.executions.input(handle.exec_id, value=True, resume=False)
        kernel.resume(handle.exec_id).done.wait()

    def cancelled() -> None:
        handle = start(flows.asking, 2)
        until_it_waits(handle.exec_id)
        client.executions.cancel(handle.exec_id)

    def replayed() -> None:
        (original,) = [one for one in client.executions.list() if one.idempotency_key == "completed"]
        handle = flows.everything.replay(original.exec_id, from_="notes")
        until_it_waits(handle.exec_id)

    scenarios: dict[str, Callable[[], object]] = {
        "basics": lambda: start(flows.basics, 1),
        "basics-interrupted": lambda: start(flows.basics, 2),
        "completed": everything,
        "interrupted": everything,
        "in-doubt": everything,
        "started": lambda: start(flows.basics, 3),
        "waiting": lambda: start(flows.everything, 4),
        "failed": lambda: start(flows.fails, 1),
        "cancelled": cancelled,
        "child-waits": lambda: start(flows.asks_inside, 3),
        "branches": lambda: start(flows.branches, 3),
        "replayed": replayed,
    }
    scenarios[name]()


#: Name of a scenario -> where its process is killed; None: it ends by itself.
SCENARIOS: dict[str, str | None] = {
    "basics": None,
    "basics-interrupted": "basics",
    "completed": None,
    "interrupted": "everything",
    "in-doubt": "charge",
    "started": "slow",
    "waiting": None,
    "failed": None,
    "cancelled": None,
    "child-waits": None,
    "branches": "branches",
    "replayed": None,
}


#: The scenarios that each schema could hold, and the line of the flows' file that ends what it could.
UNTIL = {
    1: (("basics", "basics-interrupted", "started"), "# -- the second schema"),
    2: (tuple(SCENARIOS), None),
}


def write(target: Path, until: int, source: tuple[str, ...] = ()) -> None:
    """Run the scenarios and put what they left into ``target``. ``source``: import folders of other code."""
    scenarios, end = UNTIL[until]
    with tempfile.TemporaryDirectory(prefix="kitaru-history-") as folder:
        config, code = Path(folder) / "config", Path(folder) / "code"
        code.mkdir()
        text = (HERE / "history_flows.py").read_text()
        (code / "history_flows.py").write_text(text if end is None else text[: text.index(end)])
        for name in scenarios:
            place = SCENARIOS[name]
            environment = {key: value for key, value in os.environ.items() if not key.startswith("KITARU_")}
            environment |= {
                "KITARU_CONFIG_PATH": str(config),
                "KITARU_JOURNAL_URL": f"sqlite:///{config}/kitaru.db",
                "KITARU_PLUGINS": "local",
                "KITARU_TEST_HISTORY_STOP": place or "",
                "PYTHONPATH": os.pathsep.join((str(code), *source)),
            }
            command = [sys.executable, str(Path(__file__).resolve()), "--scenario", name]
            ended = subprocess.run(command, env=environment, cwd=code, check=False, timeout=60)
            if ended.returncode != (-9 if place else 0):
                raise SystemExit(f"{name} ended with {ended.returncode}")
        target.mkdir(parents=True, exist_ok=True)
        shutil.copytree(config / "artifacts", target / "artifacts", dirs_exist_ok=True)
        _forget_places(config / "kitaru.db", str(code))
        shutil.copy(config / "kitaru.db", target / "kitaru.db")
    for rest in (target / "artifacts").rglob(".*"):
        rest.unlink()
    shutil.rmtree(target / "artifacts" / "journals", ignore_errors=True)


def _forget_places(journal: Path, code: str) -> None:
    """Take folders, host and process numbers of this machine out, and fold the log into the file."""
    connection = apsw.Connection(str(journal))
    for table, columns in _TEXT_COLUMNS.items():
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            continue
        for column in columns:
            for here, place in ((code, PLACE), (_KITARU, "/kitaru"), (sys.base_prefix, "/python")):
                connection.execute(f"UPDATE {table} SET {column} = replace({column}, ?, ?)", (here, place))
    connection.execute("UPDATE executions SET owner = NULL WHERE owner IS NOT NULL AND status <> 'running'")
    for no, owner, entrypoint in connection.execute("SELECT no, owner, entrypoint FROM executions").fetchall():
        found = json.loads(entrypoint) | {"sys_path": [PLACE]}
        connection.execute("UPDATE executions SET entrypoint = ? WHERE no = ?", (json.dumps(found), no))
        if owner is not None:
            gone = json.dumps(["history", "history", "history", 1, 1])  # host, boot, namespace, process, its start
            connection.execute("UPDATE executions SET owner = ?, lease_expires_at = 0 WHERE no = ?", (gone, no))
    _check_nothing_is_told(connection, code)
    connection.pragma("journal_mode", "delete")
    connection.execute("VACUUM")
    connection.close()


def _check_nothing_is_told(connection: apsw.Connection, code: str) -> None:
    local = (code, sys.prefix, sys.base_prefix, str(HERE), str(Path.home()) + os.sep, tempfile.gettempdir())
    for table, columns in _TEXT_COLUMNS.items():
        if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone():
            continue
        for column in columns:
            for (text,) in connection.execute(f"SELECT {column} FROM {table}").fetchall():
                told = [one for one in local if text and one in text]
                if told:
                    raise SystemExit(f"{table}.{column} names {told[0]}: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.histories.write", description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--code", type=Path)
    parser.add_argument("--until", type=int, choices=UNTIL, default=max(UNTIL))
    parser.add_argument("--scenario", choices=SCENARIOS, help="run one, in this process")
    options = parser.parse_args()
    if options.scenario is not None:
        sys.path.insert(0, os.getcwd())
        scenario(options.scenario)
        return
    folders = () if options.code is None else tuple(str(one) for one in options.code.glob("kitaru-*/src"))
    write(options.directory, options.until, folders)


if __name__ == "__main__":
    main()

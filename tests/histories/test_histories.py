"""Journals that earlier code wrote: opened, understood, and finished by this code, without a paid call running again.

Assurance section 1, tests 12 and 13. What a test changes is a copy. ``write.py`` says how a history is made.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.core.test_waits import until

from kitaru import KitaruClient
from kitaru.errors import KitaruStateError
from kitaru.journal.migrations import SCHEMA_VERSION
from kitaru.journal.records import ExecutionQuery
from kitaru.journal.sqlite import SqliteJournal
from kitaru.models import Execution
from kitaru.runtime.kernel import Kernel
from kitaru.stack import assembly

HERE = Path(__file__).resolve().parent
HISTORIES = sorted(path.name for path in HERE.glob("schema-*"))


@pytest.fixture
def flows(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The flows of the histories, importable by the name under which they were recorded."""
    monkeypatch.syspath_prepend(str(HERE))
    import history_flows  # type: ignore[import-not-found, unused-ignore]

    history_flows.ran.clear()
    return history_flows


@pytest.fixture(params=HISTORIES)
def every(request: pytest.FixtureRequest, own_store: Path, flows: Any) -> str:
    return opened(request.param, own_store)


@pytest.fixture
def newest(own_store: Path, flows: Any) -> str:
    return opened(HISTORIES[-1], own_store)


def opened(name: str, config: Path) -> str:
    shutil.copytree(HERE / name, config)
    return name


def recorded() -> dict[str, Execution]:
    """The executions of the history by their scenario; the replay has no key of its own."""
    found = KitaruClient().executions.list(limit=100)
    return {one.idempotency_key or "replayed": one for one in found if one.parent_exec_id is None}


def schema_of(file: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def drive(exec_id: str) -> Any:
    """Continue an execution in this process, to its end."""
    kernel = assembly.open_kernel()
    run = kernel.resume(exec_id)
    assert run.done.wait(30)
    return KitaruClient().executions.result(exec_id)


def test_there_is_one_of_every_schema() -> None:
    assert [f"schema-{number}" for number in range(1, SCHEMA_VERSION + 1)] == HISTORIES
    for number, name in enumerate(HISTORIES, 1):
        assert schema_of(HERE / name / "kitaru.db") == number


def test_it_is_migrated_sound_and_every_value_can_be_read(every: str, kernel: Kernel) -> None:
    info = kernel.journal.info()
    assert info["sound"], every
    client = KitaruClient()
    listed = client.executions.list(limit=100)
    assert len(listed) >= 5
    for one in listed:
        shown = client.executions.get(one.exec_id)
        assert shown.status == one.status
        for artifact in shown.artifacts:
            artifact.load()
        for call in shown.checkpoints:
            assert call.attempts
        client.executions.logs(one.exec_id)
    assert client.executions.statistics()


def test_a_finished_one_gives_its_result_with_every_type(every: str, flows: Any) -> None:
    basics = recorded()["basics"]
    result = KitaruClient().executions.result(basics.exec_id)
    expected = {
        "pages": 30,
        "flaky": "worked in attempt 2",
        "titles": ("paper 1", "paper 2", "paper 3"),
        "caught": ("no 1", {"code": 503}),
        "child": 51,
        "large": 1_000,
        "slow": 1,
    }
    assert {key: value for key, value in result.items() if key != "seeded"} == expected, every
    papers = [one for one in KitaruClient().executions.get(basics.exec_id).artifacts if one.name == "fetch"]
    assert flows.Paper("paper 1", 10, flows.Decimal(1) / 4, frozenset({"a", "1"})) in [one.load() for one in papers]
    assert flows.basics.run(1, idempotency_key="basics").wait() == result
    assert flows.ran == []


def test_interrupted_ones_go_on_and_run_only_what_was_not_recorded(every: str, flows: Any) -> None:
    executions = recorded()
    assert executions["basics-interrupted"].status == "interrupted", every
    assert executions["started"].status == "interrupted"
    assert KitaruClient().executions.check(executions["started"].exec_id)
    assert drive(executions["basics-interrupted"].exec_id)["slow"] == 2
    assert flows.ran == ["slow 2"]
    flows.ran.clear()
    result = flows.basics.run(3, idempotency_key="started").wait()
    assert (result["slow"], result["pages"]) == (3, 70)
    assert flows.ran == ["slow 3"]
    (failed,) = [one for one in KitaruClient().executions.get(executions["started"].exec_id).checkpoints if one.failure]
    assert failed.name == "broken" and failed.failure is not None
    assert failed.failure.exception_type == "history_flows.ServiceDownError"


def test_an_execution_is_exported_imported_and_removed(every: str, tmp_path: Path) -> None:
    client = KitaruClient()
    basics = recorded()["basics"]
    client.executions.export(basics.exec_id, tmp_path / "one.zip")
    removed = client.clean(older_than="0s", status="completed")
    assert basics.exec_id in removed.removed, every
    assert client.executions.import_(tmp_path / "one.zip")
    assert client.executions.result(basics.exec_id)["pages"] == 30


_MIGRATOR = """
import os, signal, sys
import apsw
from kitaru.journal.sqlite import SqliteJournal

left = [int(sys.argv[2])]

def count(*_):
    left[0] -= 1
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return True

apsw.connection_hooks.append(lambda connection: setattr(connection, "exec_trace", count))
SqliteJournal(sys.argv[1]).close()
"""


def test_killed_at_every_statement_of_a_migration(tmp_path: Path) -> None:
    """What it leaves is the old schema or the new one, and the next one to open it finishes the work."""
    number = 0
    ended = -9
    while ended == -9:
        number += 1
        file = tmp_path / str(number) / "kitaru.db"
        file.parent.mkdir()
        shutil.copy(HERE / HISTORIES[0] / "kitaru.db", file)
        ended = subprocess.run([sys.executable, "-c", _MIGRATOR, file, str(number)], timeout=60, check=False).returncode
        assert ended in (0, -9)
        journal = SqliteJournal(str(file), durability="process")
        assert journal.info()["sound"]
        (basics,) = [one for one in journal.list(ExecutionQuery(), lambda owner: False) if one.flow_name == "basics"][
            -1:
        ]
        assert journal.entries(basics.exec_id)
        journal.close()
        assert schema_of(file) == SCHEMA_VERSION
    assert number > 15


def test_two_processes_migrate_at_once(tmp_path: Path) -> None:
    file = tmp_path / "kitaru.db"
    shutil.copy(HERE / HISTORIES[0] / "kitaru.db", file)
    command = [sys.executable, "-c", _MIGRATOR, str(file), "0"]
    openers = [subprocess.Popen(command) for _ in range(3)]
    assert [opener.wait(60) for opener in openers] == [0, 0, 0]
    journal = SqliteJournal(str(file))
    assert journal.info()["sound"] and len(journal.list(ExecutionQuery(), lambda owner: False)) == 6
    journal.close()


# -- what the second schema added -------------------------------------------------------------------------------


def test_all_features_in_one_finished_execution(newest: str, flows: Any) -> None:
    shown = KitaruClient().executions.get(recorded()["completed"].exec_id)
    result = shown.result()
    assert (result["notes"], result["cached"], result["answer"]) == (1, "WORD", True), newest
    assert (result["paid"], result["last"]) == ("charged 1", "paper 9")
    assert shown.metadata == {"model": "m"}
    (notes,) = [call for call in shown.checkpoints if call.name == "notes"]
    assert notes.metadata == {"cost": 0.5, "tokens": {"in": 1}}
    (draft,) = [one for one in shown.artifacts if one.name == "draft"]
    assert draft.load() == {"text": "d" * 1_000} and draft.metadata["tags"] == ["first"]
    (child,) = shown.children
    assert KitaruClient().executions.result(child.exec_id) == 51
    assert flows.ran == []


def test_an_answer_and_a_charge_that_were_recorded_stand(newest: str, flows: Any) -> None:
    one = recorded()["interrupted"]
    assert one.status == "interrupted", newest
    result = drive(one.exec_id)
    assert (result["answer"], result["paid"], result["last"]) == (True, "charged 1", "paper 9")
    assert flows.ran == ["fetch 9"]


def test_a_charge_in_doubt_asks(newest: str, flows: Any, kernel: Kernel) -> None:
    one = recorded()["in-doubt"]
    run = kernel.resume(one.exec_id)
    client = KitaruClient()
    (asked,) = until(lambda: client.executions.pending_waits(one.exec_id))
    assert asked.metadata["in_doubt"], newest
    client.executions.input(one.exec_id, value={"decision": "done", "result": "charged before"}, resume=False)
    assert run.done.wait(30)
    assert client.executions.result(one.exec_id)["paid"] == "charged before"
    assert flows.ran == ["fetch 9"]


def test_open_waits_are_answered(newest: str, flows: Any) -> None:
    client = KitaruClient()
    executions = recorded()
    (wait,) = client.executions.pending_waits(executions["waiting"].exec_id)
    assert (wait.name, wait.question, wait.metadata) == ("approve", "Publish?", {"n": 4}), newest
    client.executions.input(executions["waiting"].exec_id, value=False, resume=False)
    result = drive(executions["waiting"].exec_id)
    assert (result["answer"], result["paid"]) == (False, "charged 4")
    assert flows.ran == ["charge 4", "fetch 9"]

    flows.ran.clear()
    parent = client.executions.get(executions["child-waits"].exec_id)
    (child,) = parent.children
    client.executions.input(child.exec_id, value=5, resume=False)
    assert drive(parent.exec_id) == 36
    assert flows.ran == []


def test_a_failed_one_is_retried_and_a_cancelled_one_resumed(
    newest: str, flows: Any, monkeypatch: pytest.MonkeyPatch, kernel: Kernel
) -> None:
    executions = recorded()
    failed = KitaruClient().executions.get(executions["failed"].exec_id)
    assert failed.failure is not None and failed.failure.message == "still down", newest
    with pytest.raises(KitaruStateError):
        kernel.resume(failed.exec_id)
    monkeypatch.setenv(flows.CURED_VARIABLE, "1")
    assert kernel.retry(failed.exec_id).done.wait(30)
    assert KitaruClient().executions.result(failed.exec_id) == 11
    assert flows.ran == ["cured 1"]

    cancelled = executions["cancelled"]
    assert cancelled.status == "cancelled"
    run = kernel.resume(cancelled.exec_id)
    until(lambda: KitaruClient().executions.pending_waits(cancelled.exec_id) or run.done.is_set())
    KitaruClient().executions.input(cancelled.exec_id, value=1, resume=False)
    until(lambda: KitaruClient().executions.get(cancelled.exec_id).status != "running")
    if KitaruClient().executions.get(cancelled.exec_id).status == "waiting":
        drive(cancelled.exec_id)
    assert KitaruClient().executions.result(cancelled.exec_id) == 21


def test_async_branches_go_as_they_went(newest: str, flows: Any) -> None:
    one = recorded()["branches"]
    assert drive(one.exec_id) == [0, 1, 4, "timed out", 0, 1, 16], newest
    assert flows.ran == ["afetch 4"]


def test_replays_old_and_new(newest: str, flows: Any, kernel: Kernel) -> None:
    client = KitaruClient()
    replayed = recorded()["replayed"]
    assert replayed.status == "waiting" and replayed.original_exec_id is not None, newest
    client.executions.input(replayed.exec_id, value=True, resume=False)
    result = drive(replayed.exec_id)
    assert result["last"] == "paper 9"
    flows.ran.clear()

    again = flows.everything.replay(replayed.original_exec_id)
    assert again.wait(timeout=30) == client.executions.result(replayed.original_exec_id)
    assert flows.ran == ["fetch 5"], "a replay makes new children, and reuses the rest"


def test_a_result_of_before_is_reused(newest: str, flows: Any) -> None:
    from kitaru import flow

    @flow
    def looks_up() -> str:
        return str(flows.lookup("word"))

    assert looks_up.run().wait(timeout=30) == "WORD", newest
    assert flows.ran == []

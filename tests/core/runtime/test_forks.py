"""Forks, pools and threads around running flows: a clear error or a fresh store, and never a damaged or hanging one.

Assurance section 1, test 14; threads, event loops and ``multiprocessing`` are in ``test_threads_and_loops``, the
journal's own share in ``tests/core/journal/test_sqlite_processes``. Every case is a program of its own, as forks with
threads are what is tested.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kitaru.journal.records import EntryKind, ExecutionQuery
from kitaru.runtime.kernel import Kernel

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

PRELUDE = """
    import asyncio, os, sys, threading, time
    from concurrent.futures import ProcessPoolExecutor
    import kitaru
    from kitaru import KitaruClient, checkpoint, flow

    def square(n):
        return n * n

    @checkpoint
    def double(n):
        return n * 2

    @flow
    def doubles(n):
        return sum(double(i) for i in range(n))

    def in_fork(body):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                body()
                status = 0
            except BaseException as error:
                print(type(error).__name__, error, flush=True)
            finally:
                os._exit(status)
        return pid

    def ended(pid):
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
"""


def program(folder: Path, code: str) -> str:
    """What a program prints, which must end well within a minute."""
    script = folder / "program.py"
    script.write_text(textwrap.dedent(PRELUDE) + textwrap.dedent(code))
    # Observers would import modules on a thread of their own, and a module that is being imported during a fork can
    # never be imported in the child: Python's own trap, not what is tested here.
    environment = {**os.environ, "KITARU_PLUGINS": "local"}
    command = [sys.executable, script]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def statuses(kernel: Kernel) -> list[str]:
    """Those of all executions; the journal is sound."""
    assert kernel.journal.info()["sound"]
    return sorted(one.status for one in kernel.journal.list(ExecutionQuery(limit=200), lambda owner: False))


def test_workers_that_are_forked_after_the_application_was_loaded(tmp_path: Path, kernel: Kernel) -> None:
    """Like ``gunicorn --preload``: flows are imported before the fork, the store is opened after it."""
    code = """
        if __name__ == "__main__":
            def worker(number):
                assert [doubles.run(n).wait() for n in range(1, 6)] == [n * (n - 1) for n in range(1, 6)]
                assert doubles.run(7, idempotency_key="one for all").wait() == 42

            pids = [in_fork(lambda: worker(number)) for number in range(4)]
            assert [ended(pid) for pid in pids] == [0] * 4
            worker(4)
            print(len(KitaruClient().executions.list(limit=100)))
    """
    assert program(tmp_path, code) == "26\n"
    assert statuses(kernel) == ["completed"] * 26


def test_every_door_is_closed_to_a_child_of_a_process_with_an_open_store(tmp_path: Path, kernel: Kernel) -> None:
    code = """
        if __name__ == "__main__":
            handle = doubles.run(3)
            assert handle.wait() == 6
            client = KitaruClient()

            def refused(use):
                try:
                    use()
                except kitaru.KitaruError as error:
                    assert "fork" in str(error) and "spawn" in str(error), error
                else:
                    raise AssertionError("it was not refused")

            def child():
                refused(lambda: doubles.run(1))
                refused(lambda: doubles.run(1, idempotency_key="k"))
                refused(lambda: client.executions.list())
                refused(lambda: client.executions.get(handle.exec_id))
                refused(lambda: client.executions.cancel(handle.exec_id))
                refused(lambda: client.executions.resume(handle.exec_id))
                refused(lambda: KitaruClient().executions.latest())
                refused(lambda: KitaruClient().clean(older_than="0s"))
                refused(lambda: doubles.replay(handle.exec_id))

            assert ended(in_fork(child)) == 0
            assert doubles.run(4).wait() == 12
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"] * 2


def test_a_child_may_open_another_store(tmp_path: Path, kernel: Kernel) -> None:
    code = """
        if __name__ == "__main__":
            assert doubles.run(3).wait() == 6

            def child():
                os.environ["KITARU_JOURNAL_URL"] = f"sqlite:///{os.getcwd()}/another.db"
                assert doubles.run(4).wait() == 12
                assert len(KitaruClient().executions.list()) == 1

            assert ended(in_fork(child)) == 0
            assert doubles.run(5).wait() == 20
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"] * 2


def test_children_forked_while_flows_run_neither_hang_nor_disturb_them(tmp_path: Path, kernel: Kernel) -> None:
    code = """
        @checkpoint
        def pause(n):
            time.sleep(0.002)
            return n

        @flow
        def long(n):
            return sum(pause.submit(i).result() for i in range(n))

        if __name__ == "__main__":
            assert doubles.run(1).wait() == 0
            handles = [long.run(60) for _ in range(4)]

            def child():
                try:
                    doubles.run(1)
                except kitaru.KitaruError as error:
                    assert "fork" in str(error)
                    return
                raise AssertionError("it was not refused")

            pids = []
            while not all(handle.status == "completed" for handle in handles):
                pids.append(in_fork(child))
                assert ended(pids[-1]) == 0
            assert len(pids) >= 3
            assert [handle.wait() for handle in handles] == [1770] * 4
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"] * 5


def test_a_child_forked_while_another_thread_opens_a_store_does_not_hang(tmp_path: Path) -> None:
    """A fork copies locks as they are: one that another thread held would never be released in the child."""
    code = """
        from kitaru.stack import assembly, journals

        if __name__ == "__main__":
            opening, go_on = threading.Event(), threading.Event()
            open_journal = assembly.open_journal

            def slow(*arguments):
                if threading.current_thread() is not threading.main_thread():
                    opening.set()
                    assert go_on.wait(30)
                return open_journal(*arguments)

            assembly.open_journal = slow
            thread = threading.Thread(target=lambda: doubles.run(2).wait())
            thread.start()
            assert opening.wait(30)

            def child():
                os.environ["KITARU_JOURNAL_URL"] = f"sqlite:///{os.getcwd()}/another.db"
                assert doubles.run(4).wait() == 12

            pid = in_fork(child)
            deadline = time.monotonic() + 20
            while not (found := os.waitpid(pid, os.WNOHANG))[0] and time.monotonic() < deadline:
                time.sleep(0.01)
            if not found[0]:
                os.kill(pid, 9)
                os.waitpid(pid, 0)
            go_on.set()
            thread.join()
            assert found[0] and os.waitstatus_to_exitcode(found[1]) == 0, found
    """
    program(tmp_path, code)


def test_a_fork_inside_a_body_whose_child_leaves_at_once(tmp_path: Path, kernel: Kernel) -> None:
    code = """
        @checkpoint
        def forks(n):
            assert ended(in_fork(lambda: None)) == 0
            return double(n)

        @flow
        def around():
            return [forks(n) for n in range(3)]

        if __name__ == "__main__":
            assert around.run().wait() == [0, 2, 4]
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"]


def test_a_child_that_goes_on_with_the_flow_is_refused_at_once_and_records_nothing(
    tmp_path: Path, kernel: Kernel
) -> None:
    """It comes out of the body a second time: what it says of the call is nobody's."""
    code = """
        @checkpoint
        def forks():
            pid = os.fork()
            if pid == 0:
                return "the child's"
            begun = time.monotonic()
            os.waitpid(pid, 0)
            print("child ended" if time.monotonic() - begun < 10 else "child hung")
            return "the parent's"

        @flow
        def around():
            return forks(), double(2)

        if __name__ == "__main__":
            print(around.run().wait())
    """
    told = program(tmp_path, code)
    assert told.splitlines() == ["child ended", '("the parent\'s", 4)']
    assert statuses(kernel) == ["completed"]
    (record,) = kernel.journal.list(ExecutionQuery(), lambda owner: False)
    entries = [one for one in kernel.journal.entries(record.exec_id) if one.kind is not EntryKind.STARTED]
    assert [(one.name, one.kind) for one in entries] == [
        ("forks", EntryKind.COMPLETED),
        ("double", EntryKind.COMPLETED),
    ]


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_pool_inside_a_body(tmp_path: Path, kernel: Kernel, method: str) -> None:
    code = f"""
        import multiprocessing

        @checkpoint
        def squares(n):
            context = multiprocessing.get_context({method!r})
            with ProcessPoolExecutor(2, mp_context=context) as pool:
                return sum(pool.map(square, range(n)))

        @flow
        def around():
            return squares(5) + double(1), squares.submit(4).result()

        if __name__ == "__main__":
            assert around.run().wait() == (32, 14)
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"]


def test_a_flow_begun_by_a_daemon_thread_as_the_program_ends(tmp_path: Path, kernel: Kernel) -> None:
    code = """
        @checkpoint
        def pause(n):
            time.sleep(0.05)
            return n

        @flow
        def three():
            return [pause(n) for n in range(3)]

        if __name__ == "__main__":
            begun = threading.Event()

            def start():
                handle = three.run()
                begun.set()
                handle.wait()

            threading.Thread(target=start, daemon=True).start()
            begun.wait()
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"]


def test_a_program_that_ends_while_daemon_threads_still_submit(tmp_path: Path, kernel: Kernel) -> None:
    """What was begun is waited for; nothing new is, or the program would never end."""
    code = """
        if __name__ == "__main__":
            assert doubles.run(2).wait() == 2
            begun = threading.Barrier(5)

            def for_ever():
                begun.wait()
                while True:
                    try:
                        doubles.run(3).wait()
                    except kitaru.KitaruStateError as error:
                        assert "main thread had ended" in str(error), error
                        return

            for _ in range(4):
                threading.Thread(target=for_ever, daemon=True).start()
            begun.wait()
            doubles.run(5).wait()
    """
    program(tmp_path, code)
    assert set(statuses(kernel)) == {"completed"}


def test_a_flow_that_outlives_the_main_thread_can_use_thread_pools(tmp_path: Path, kernel: Kernel) -> None:
    """The interpreter stops pools before it waits for threads: flows must have ended by then."""
    code = """
        @checkpoint
        def pooled():
            time.sleep(0.3)
            from concurrent.futures import ThreadPoolExecutor
            with ThreadPoolExecutor(2) as pool:
                return list(pool.map(abs, [-1, -2]))

        @checkpoint
        async def in_a_thread():
            import asyncio
            return await asyncio.to_thread(abs, -3)

        @flow
        def inner():
            return pooled()

        @flow
        def outer():
            return in_a_thread.submit().result(), inner.run().wait()

        if __name__ == "__main__":
            outer.run()
    """
    program(tmp_path, code)
    assert statuses(kernel) == ["completed"] * 2

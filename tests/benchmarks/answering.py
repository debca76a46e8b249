"""How long an answer takes: to the next line of a flow whose owner is alive, and to the end of one whose owner left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.benchmarks.measure import Row, Samples, scratch

from kitaru.client import KitaruClient
from kitaru.stack import assembly

_ANSWERS = 50
_RESUMED = 7

_FLOW = """
import sys, time
import kitaru

@kitaru.flow
def asking(times, timeout):
    for _ in range(times):
        kitaru.wait(schema=int, name="go", timeout=timeout)
        print(time.time_ns(), flush=True)

if __name__ == "__main__":
    handle = asking.run(int(sys.argv[1]), float(sys.argv[2]))
    print(handle.exec_id, flush=True)
    try:
        handle.wait()
    except kitaru.KitaruWaitingError:
        pass
"""


def answered() -> Iterator[Row]:
    """Answers from another process."""
    alive, left = Samples(), Samples()
    with scratch() as directory:
        os.environ["KITARU_CONFIG_PATH"] = str(directory)
        os.environ.pop("KITARU_JOURNAL_URL", None)
        script = directory / "asking.py"
        script.write_text(_FLOW)
        client = KitaruClient()
        owner = subprocess.Popen([sys.executable, str(script), str(_ANSWERS), "600"], stdout=subprocess.PIPE, text=True)
        assert owner.stdout is not None
        with owner, owner.stdout:
            exec_id = owner.stdout.readline().strip()
            for number in range(_ANSWERS):
                while not client.executions.pending_waits(exec_id):
                    time.sleep(0.001)
                begun = time.time_ns()
                client.executions.input(exec_id, value=number)
                took = (int(owner.stdout.readline()) - begun) / 1e9
                if number:  # the first one also pays for what is imported to check answers
                    alive.add(took)
        for _ in range(_RESUMED):
            done = subprocess.run([sys.executable, str(script), "1", "0"], capture_output=True, text=True, check=True)
            exec_id = done.stdout.split()[0]
            begun = time.time_ns()
            client.executions.input(exec_id, value=1)
            while not client.executions.status(exec_id).finished:
                time.sleep(0.002)
            left.add((time.time_ns() - begun) / 1e9)
        assembly.reset()
    rule = "at most 15 ms to the next line of the flow"
    yield Row("answer, owner alive", "ms", alive.median * 1e3, alive.p90 * 1e3, 15, rule)
    rule = "at most 2 s to the end of the execution, process start included"
    yield Row("answer, owner has left", "ms", left.median * 1e3, left.p90 * 1e3, 2000, rule)

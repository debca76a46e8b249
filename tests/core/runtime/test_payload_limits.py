"""Values beyond a limit: refused once, by name, with size and limit, without a retry, and nothing paid for is lost.

Assurance section 1, test 17. The limits are the kernel's own, made small here: no case needs gigabytes.
"""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.core.test_waits import until

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import (
    KitaruExecutionError,
    KitaruSerializationError,
    KitaruUsageError,
    KitaruUserCodeError,
)
from kitaru.journal.records import EntryKind, ExecutionQuery
from kitaru.runtime.kernel import INPUTS_BYTES_MAX, VALUE_BYTES_MAX, Kernel
from kitaru.runtime.retry import RetryPolicy

LIMIT = 100_000
ran: Counter[str] = Counter()
size = {"bytes": 0}


@pytest.fixture(autouse=True)
def small_limits(kernel: Kernel) -> None:
    ran.clear()
    size["bytes"] = LIMIT + 1
    kernel.value_bytes_max = kernel.inputs_bytes_max = LIMIT


@checkpoint
def paid(label: str) -> str:
    ran[label] += 1
    return label


@checkpoint(retries=3)
def big() -> bytes:
    ran["big"] += 1
    return bytes(size["bytes"])


@checkpoint(retries=3)
async def abig() -> bytes:
    ran["big"] += 1
    return bytes(size["bytes"])


@checkpoint(retries=3, runtime="isolated")
def big_apart(n: int) -> bytes:
    print("ran")
    return bytes(n)


@checkpoint(retries=2)
def around() -> int:
    ran["around"] += 1
    return len(big())


@checkpoint(retries=3)
def saves() -> str:
    ran["big"] += 1
    kitaru.save("copy", bytes(size["bytes"]))
    return "saved"


@flow(retries=2)
def plain() -> int:
    paid("before")
    return len(big())


@flow
async def in_async() -> int:
    paid("before")
    return len(await abig())


@flow
def submitted() -> int:
    futures = [paid.submit("before"), big.submit(), paid.submit("beside")]
    return len([one.result() for one in futures][1])


@flow
def nested() -> int:
    paid("before")
    return around()


@flow
def saving() -> str:
    paid("before")
    return saves()


def fails(handle: Any, *told: str) -> KitaruExecutionError:
    with pytest.raises(KitaruExecutionError) as caught:
        handle.wait(timeout=30)
    assert handle.status == "failed"
    for text in (*told, f"{size['bytes']:,} bytes", f"{LIMIT:,} bytes"):
        assert text in str(caught.value), caught.value
    return caught.value


@pytest.mark.parametrize(
    ("definition", "name", "cured"),
    [
        (plain, "checkpoint `big`", LIMIT),
        (in_async, "checkpoint `abig`", LIMIT),
        (submitted, "checkpoint `big`", LIMIT),
        (nested, "checkpoint `big`", LIMIT),
        (saving, "artifact `copy` of checkpoint `saves`", "saved"),
    ],
    ids=["def", "async", "submitted", "nested", "saved"],
)
def test_it_fails_once_is_not_retried_and_goes_on_once_it_is_small_enough(
    kernel: Kernel, definition: Any, name: str, cured: Any
) -> None:
    handle = definition.run()
    fails(handle, name)
    assert ran["big"] == 1, "a value that is too large is not a reason to pay again"
    assert ran["around"] <= 1, "nor is the failure of an inner call that cannot end otherwise"
    kinds = Counter(one.kind for one in kernel.journal.entries(handle.exec_id))
    assert kinds[EntryKind.ATTEMPT_FAILED] == 0 and kinds[EntryKind.FAILED] >= 1
    shown = KitaruClient().executions.get(handle.exec_id)
    assert shown.failure is not None and f"{LIMIT:,}" in (shown.failure.message or "")
    size["bytes"] = LIMIT
    KitaruClient().executions.retry(handle.exec_id)
    assert until(lambda: KitaruClient().executions.get(handle.exec_id).status == "completed")
    assert KitaruClient().executions.result(handle.exec_id) == cured
    assert ran["before"] == 1 and ran["beside"] <= 1, "what was paid for ran again"


@flow
def apart(n: int) -> int:
    paid("before")
    return len(big_apart(n))


def test_the_result_of_an_isolated_body(kernel: Kernel) -> None:
    handle = apart.run(LIMIT + 1)
    fails(handle, "checkpoint `big_apart`")
    lines = [one.message for one in KitaruClient().executions.logs(handle.exec_id) if one.message == "ran"]
    assert len(lines) == 1
    assert apart.run(LIMIT).wait(timeout=30) == LIMIT


@flow
def returns(n: int) -> bytes:
    paid("before")
    return bytes(n)


def test_the_result_of_a_flow() -> None:
    handle = returns.run(LIMIT + 1)
    fails(handle, "the result of flow `returns`")
    assert [call.status for call in KitaruClient().executions.get(handle.exec_id).checkpoints] == ["completed"]
    assert returns.run(LIMIT).wait(timeout=30) == bytes(LIMIT)


@flow
def takes(text: str) -> int:
    return len(text)


@flow
def takes_in_a_child(n: int) -> int:
    paid("before")
    return int(takes.run("x" * n).wait())


def test_the_inputs_of_a_flow_are_refused_before_anything_is_written(kernel: Kernel) -> None:
    with pytest.raises(KitaruSerializationError, match=rf"inputs of flow `takes` take .*{LIMIT:,} bytes"):
        takes.run("x" * LIMIT)
    assert kernel.journal.list(ExecutionQuery(), lambda owner: None) == []
    assert takes.run("x" * (LIMIT - 20)).wait(timeout=30) == LIMIT - 20
    parent = takes_in_a_child.run(LIMIT)
    with pytest.raises(KitaruExecutionError, match="inputs of flow `takes`"):
        parent.wait(timeout=30)
    assert ran["before"] == 1
    (call,) = KitaruClient().executions.get(parent.exec_id).checkpoints
    assert call.status == "completed"


@checkpoint
def measures(text: str) -> int:
    return len(text)


@flow
def passes(n: int) -> int:
    return measures("x" * n)


def test_an_argument_of_a_checkpoint_has_no_limit_as_only_its_beginning_is_kept(kernel: Kernel) -> None:
    handle = passes.run(3 * LIMIT)
    assert handle.wait(timeout=30) == 3 * LIMIT
    (entry,) = [one for one in kernel.journal.entries(handle.exec_id) if one.kind is EntryKind.COMPLETED]
    assert len(entry.inputs or b"") < 2_000


@flow
def asks() -> int:
    return len(kitaru.wait(schema=str, name="text"))


@flow
def gives_up() -> int:
    paid("before")
    return len(kitaru.wait(schema=str, name="text", expires_in=0.001, on_expiry="x" * (LIMIT + 1)))


def test_the_answer_to_a_wait_is_refused_and_the_wait_stays_open() -> None:
    handle = asks.run()
    client = KitaruClient()
    until(lambda: client.executions.pending_waits(handle.exec_id))
    with pytest.raises(KitaruSerializationError, match=rf"wait `text` .*{LIMIT + 1:,} bytes.*{LIMIT:,}.*still open"):
        client.executions.input(handle.exec_id, value="x" * (LIMIT + 1))
    assert [one.name for one in client.executions.pending_waits(handle.exec_id)] == ["text"]
    client.executions.input(handle.exec_id, value="x" * LIMIT)
    assert handle.wait(timeout=30) == LIMIT


def test_a_default_answer_fails_the_flow_by_the_waits_name() -> None:
    fails(gives_up.run(), "on_expiry value of wait `text`")
    assert ran["before"] == 1


@checkpoint(retries=3)
def logs() -> None:
    ran["big"] += 1
    kitaru.log(text="x" * 2_000_000)


@flow
def logging() -> None:
    paid("before")
    logs()


def test_a_logged_value_is_refused_by_its_key(kernel: Kernel) -> None:
    handle = logging.run()
    with pytest.raises(KitaruUserCodeError, match=r"kitaru\.log\(text=.*1048576 characters.*2000002"):
        handle.wait(timeout=30)
    assert not [one for one in kernel.journal.entries(handle.exec_id) if one.kind is EntryKind.METADATA]
    assert ran == {"before": 1, "big": 1}


_LARGER_THAN_A_FILE = """
    import resource
    import kitaru
    from kitaru import KitaruClient, checkpoint, flow

    ran = []

    @checkpoint(retries=3)
    def big():
        ran.append("big")
        return b"x" * 2_000_000

    @checkpoint
    def paid():
        ran.append("paid")
        return "paid"

    @flow
    def both():
        return paid(), len(big())

    if __name__ == "__main__":
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
        handle = both.run()
        try:
            handle.wait(timeout=30)
        except kitaru.KitaruError as error:
            print(error)
        assert handle.status == "failed" and ran == ["paid", "big"], (handle.status, ran)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        client = KitaruClient()
        client.executions.retry(handle.exec_id)
        while client.executions.get(handle.exec_id).status != "completed":
            pass
        assert client.executions.result(handle.exec_id) == ("paid", 2_000_000)
        assert ran == ["paid", "big", "big"], ran
"""


def test_what_the_artifact_store_can_never_take_is_not_sent_again(tmp_path: Path) -> None:
    """Unlike a full disk, which is waited for (``test_fencing``, ``tests/crash/test_disk_full``)."""
    script = tmp_path / "program.py"
    script.write_text(textwrap.dedent(_LARGER_THAN_A_FILE))
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "checkpoint `big`" in done.stdout
    assert "larger than the largest file" in done.stdout and "1,000,000 bytes" in done.stdout


def test_retries_apply_where_they_are_asked_for_by_name() -> None:
    error = KitaruSerializationError("too large")
    assert not RetryPolicy().applies(error)
    assert not RetryPolicy(retry_on=(Exception,)).applies(error)
    assert RetryPolicy(retry_on=(KitaruSerializationError, OSError)).applies(error)
    assert RetryPolicy(retry_on=lambda raised: raised is error).applies(error)
    assert not RetryPolicy().applies(KitaruUsageError("no"))
    assert RetryPolicy().applies(TypeError()) and RetryPolicy().applies(ValueError())


def test_the_limits_fit_every_journal(own_store: Path) -> None:
    """SQLite: 1e9 bytes a row. PostgreSQL: 1 GiB a field, and bytes travel as text twice as long."""
    assert 2 * INPUTS_BYTES_MAX < 10**9
    assert VALUE_BYTES_MAX == 2**30

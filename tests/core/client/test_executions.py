"""KitaruClient.executions against real executions in a real journal."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import (
    FailureOrigin,
    KitaruError,
    KitaruFeatureNotAvailableError,
    KitaruLeaseError,
    KitaruNotFoundError,
    KitaruStateError,
    KitaruUsageError,
    KitaruUserCodeError,
)
from kitaru.journal.records import Owner
from kitaru.runtime import entrypoint
from kitaru.runtime.kernel import Kernel
from kitaru.statuses import CallStatus, ExecutionStatus

BROKEN = threading.Event()
RELEASE = threading.Event()
STARTED = threading.Event()


@dataclasses.dataclass
class Answer:
    text: str


@checkpoint(type="tool_call")
def answer(text: str) -> Answer:
    print(f"answering {text}")
    return Answer(text.upper())


@checkpoint
def fragile() -> int:
    if BROKEN.is_set():
        raise ValueError("broken today")
    return 1


@checkpoint
def hold() -> str:
    STARTED.set()
    assert RELEASE.wait(30)
    return "held"


@checkpoint
def after_hold() -> str:
    return "after"


@flow
def ask(text: str) -> Answer:
    return answer(text)


@flow
def breakable() -> int:
    answer("first")
    return fragile()


@flow
def holding() -> str:
    hold()
    return after_hold()


@flow
def parent() -> Answer:
    result: Answer = ask.run("child").wait()
    return result


@pytest.fixture(autouse=True)
def events() -> None:
    for event in (BROKEN, RELEASE, STARTED):
        event.clear()


@pytest.fixture
def client() -> KitaruClient:
    return KitaruClient()


def interrupted(kernel: Kernel, definition: Any, *args: Any) -> str:
    """An execution whose owner died before its first call."""
    record = kernel.new_record(definition.spec, args, {})
    kernel.journal.create(record, dead_owner(), 3600.0)
    return record.exec_id


def dead_owner() -> Owner:
    """An owner on this machine whose process has ended."""
    from kitaru.runtime import lease

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return dataclasses.replace(lease.this_owner(), pid=process.pid, pid_start=1)


def finish(client: KitaruClient, exec_id: str) -> ExecutionStatus:
    """Wait until nobody drives the execution any more."""
    for look in client.executions.watch(exec_id, interval=0.01):
        last = look.status
    return last


def test_get_shows_calls_attempts_and_artifacts(client: KitaruClient) -> None:
    handle = ask.run("hi")
    assert handle.wait() == Answer("HI")
    found = client.executions.get(handle.exec_id)
    assert (found.flow_name, found.status, found.stack_name) == ("ask", ExecutionStatus.COMPLETED, "default")
    assert found.detailed and found.started_at is not None and found.ended_at is not None
    (call,) = found.checkpoints
    assert (call.name, call.invocation_id, call.checkpoint_type) == ("answer", "answer", "tool_call")
    assert call.status is CallStatus.COMPLETED and len(call.attempts) == 1
    assert found.artifacts == call.artifacts
    assert call.artifacts[0].save_type == "output" and call.artifacts[0].producing_call == "answer"
    assert call.artifacts[0].load() == Answer("HI")
    assert found.result() == Answer("HI") == client.executions.result(handle.exec_id)
    assert found.refresh() == found


def test_a_failed_execution_tells_why_and_result_raises_the_typed_error(client: KitaruClient) -> None:
    BROKEN.set()
    exec_id = breakable.run().exec_id
    assert finish(client, exec_id) is ExecutionStatus.FAILED
    found = client.executions.get(exec_id)
    assert found.failure is not None
    assert (found.failure.message, found.failure.exception_type) == ("broken today", "ValueError")
    assert found.failure.origin is FailureOrigin.USER_CODE
    assert found.checkpoints[1].failure is not None and found.checkpoints[1].status is CallStatus.FAILED
    with pytest.raises(KitaruUserCodeError, match="broken today") as raised:
        found.result()
    assert raised.value.exec_id == exec_id and raised.value.failure_origin is FailureOrigin.USER_CODE


def test_retry_runs_only_the_failed_call_again(client: KitaruClient) -> None:
    BROKEN.set()
    exec_id = breakable.run().exec_id
    finish(client, exec_id)
    BROKEN.clear()
    returned = client.executions.retry(exec_id)
    assert returned.exec_id == exec_id
    assert finish(client, exec_id) is ExecutionStatus.COMPLETED
    found = client.executions.get(exec_id)
    assert [len(call.attempts) for call in found.checkpoints] == [1, 2]
    assert found.failure is None and found.result() == 1


def test_retry_of_anything_but_a_failed_execution_is_refused(client: KitaruClient) -> None:
    handle = ask.run("hi")
    handle.wait()
    with pytest.raises(KitaruStateError, match=f"{handle.exec_id} is completed"):
        client.executions.retry(handle.exec_id)


def test_resume_continues_an_interrupted_execution_and_refuses_a_completed_one(
    client: KitaruClient, kernel: Kernel
) -> None:
    exec_id = interrupted(kernel, ask, "again")
    assert client.executions.get(exec_id).status is ExecutionStatus.INTERRUPTED
    assert client.executions.resume(exec_id).exec_id == exec_id
    assert finish(client, exec_id) is ExecutionStatus.COMPLETED
    assert client.executions.result(exec_id) == Answer("AGAIN")
    with pytest.raises(KitaruStateError, match=f"{exec_id} is completed"):
        client.executions.resume(exec_id)


def test_resume_of_a_running_execution_is_refused_and_harms_nothing(client: KitaruClient) -> None:
    handle = holding.run()
    assert STARTED.wait(30)
    with pytest.raises(KitaruLeaseError, match=handle.exec_id):
        client.executions.resume(handle.exec_id)
    RELEASE.set()
    assert handle.wait() == "after"


def test_result_of_an_unfinished_execution_is_a_state_error_with_id_and_status(
    client: KitaruClient, kernel: Kernel
) -> None:
    exec_id = interrupted(kernel, ask, "x")
    with pytest.raises(KitaruStateError, match=f"{exec_id} is interrupted"):
        client.executions.result(exec_id)


def test_cancel_without_an_owner_is_immediate_and_resume_still_works(client: KitaruClient, kernel: Kernel) -> None:
    exec_id = interrupted(kernel, ask, "x")
    assert client.executions.cancel(exec_id).status is ExecutionStatus.CANCELLED
    with pytest.raises(KitaruError, match="cancelled"):
        client.executions.result(exec_id)
    with pytest.raises(KitaruStateError, match=exec_id):
        client.executions.cancel(exec_id)
    client.executions.resume(exec_id)
    assert finish(client, exec_id) is ExecutionStatus.COMPLETED


def test_cancel_of_a_running_execution_stops_it_at_its_next_checkpoint(client: KitaruClient) -> None:
    handle = holding.run()
    assert STARTED.wait(30)
    client.executions.cancel(handle.exec_id)
    RELEASE.set()
    assert finish(client, handle.exec_id) is ExecutionStatus.CANCELLED
    assert "after_hold" not in {call.name for call in client.executions.get(handle.exec_id).checkpoints}


def test_interrupt_lets_go_of_what_this_process_drives(client: KitaruClient) -> None:
    handle = holding.run()
    assert STARTED.wait(30)
    assert client.interrupt() == [handle.exec_id]
    RELEASE.set()
    assert finish(client, handle.exec_id) is ExecutionStatus.INTERRUPTED
    client.executions.resume(handle.exec_id)
    assert finish(client, handle.exec_id) is ExecutionStatus.COMPLETED


def test_a_snapshot_steers_its_execution(client: KitaruClient, kernel: Kernel) -> None:
    found = client.executions.get(interrupted(kernel, breakable))
    assert found.cancel().status is ExecutionStatus.CANCELLED
    BROKEN.set()
    found.resume()
    assert finish(client, found.exec_id) is ExecutionStatus.FAILED
    BROKEN.clear()
    found.refresh().retry()
    assert finish(client, found.exec_id) is ExecutionStatus.COMPLETED
    assert found.status is ExecutionStatus.INTERRUPTED, "a snapshot never changes"
    assert found.refresh().result() == 1


def test_a_child_execution_is_linked_both_ways(client: KitaruClient) -> None:
    handle = parent.run()
    assert handle.wait() == Answer("CHILD")
    found = client.executions.get(handle.exec_id)
    (child,) = found.children
    assert child.flow_name == "ask"
    assert client.executions.get(child.exec_id).parent_exec_id == handle.exec_id
    assert found.checkpoints == []


def test_list_filters_in_every_way_and_pages_by_cursor(client: KitaruClient, kernel: Kernel) -> None:
    done = [ask.run(str(number)) for number in range(4)]
    for handle in done:
        handle.wait()
    gone = interrupted(kernel, breakable)
    newest_first = [gone, *[handle.exec_id for handle in reversed(done)]]
    listed = client.executions.list()
    assert [one.exec_id for one in listed] == newest_first
    assert all(not one.detailed and one.checkpoints == [] for one in listed)
    assert [one.exec_id for one in client.executions.list(flow="breakable")] == [gone]
    assert [one.exec_id for one in client.executions.list(status=" Interrupted ")] == [gone]
    assert len(client.executions.list(status=ExecutionStatus.COMPLETED, limit=3)) == 3
    assert client.executions.list(status="running") == []
    assert len(client.executions.list(stack="default", flow="ask")) == 4
    assert client.executions.list(stack="other") == []
    pages: list[str] = []
    cursor = None
    while page := client.executions.list(limit=2, cursor=cursor):
        pages += [one.exec_id for one in page]
        cursor = pages[-1]
    assert pages == newest_first


def test_list_and_get_agree_on_an_execution_whose_owner_is_dead(client: KitaruClient, kernel: Kernel) -> None:
    record = kernel.new_record(ask.spec, ("x",), {})
    kernel.journal.create(record, dead_owner(), 3600.0)
    assert client.executions.get(record.exec_id).status is ExecutionStatus.INTERRUPTED
    assert client.executions.status(record.exec_id) is ExecutionStatus.INTERRUPTED
    (listed,) = client.executions.list(status="interrupted")
    assert listed.exec_id == record.exec_id and listed.status is ExecutionStatus.INTERRUPTED
    assert client.executions.list(status="running") == []


def test_latest_is_complete_and_a_lookup_error_when_there_is_none(client: KitaruClient) -> None:
    with pytest.raises(KitaruNotFoundError) as raised:
        client.executions.latest(flow="ask", status="failed")
    assert isinstance(raised.value, LookupError) and isinstance(raised.value, KitaruError)
    assert "flow='ask' and status='failed'" in str(raised.value)
    ask.run("1").wait()
    second = ask.run("2")
    second.wait()
    found = client.executions.latest(flow="ask", stack="default")
    assert found.exec_id == second.exec_id and len(found.checkpoints) == 1


@pytest.mark.parametrize("use", ["get", "result", "status", "logs", "resume", "retry", "cancel"])
def test_an_unknown_id_is_named(client: KitaruClient, use: str) -> None:
    method: Callable[[str], Any] = getattr(client.executions, use)
    with pytest.raises(KitaruNotFoundError, match="no-such-id") as raised:
        method("no-such-id")
    assert isinstance(raised.value, LookupError)
    with pytest.raises(KitaruUsageError, match="exec_id"):
        method(" ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"limit": 0}, "limit=0"),
        ({"limit": -1}, "limit=-1"),
        ({"limit": True}, "limit=True"),
        ({"status": "sleeping"}, "allowed are pending, running"),
        ({"cursor": "nothing"}, "cursor='nothing'"),
    ],
)
def test_bad_list_arguments_are_usage_errors(client: KitaruClient, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(KitaruUsageError, match=said):
        client.executions.list(**arguments)


def test_find_by_idempotency_key(client: KitaruClient) -> None:
    handle = ask.run("x", idempotency_key="key-1")
    handle.wait()
    assert client.executions.find("ask", "key-1") == handle.exec_id
    assert client.executions.find("ask", "key-2") is None


def test_a_client_takes_its_own_connection_and_checks_it(tmp_path: Path) -> None:
    with pytest.raises(KitaruUsageError, match=r"no token for the server https://example\.org"):
        KitaruClient(server_url="https://example.org/")
    with pytest.raises(KitaruUsageError, match="token but no server"):
        KitaruClient(auth_token="a-token-of-mine")
    with pytest.raises(KitaruUsageError, match="not both"):
        KitaruClient(journal=f"sqlite:///{tmp_path}/j.db", server_url="https://example.org", auth_token="x")
    for url in ("ftp://example.org", "https://", "example.org", "https://me:pw-of-mine@example.org"):
        with pytest.raises(KitaruUsageError) as refused:
            KitaruClient(server_url=url, auth_token="a-token-of-mine")
        assert "of-mine" not in str(refused.value)
    with pytest.raises(KitaruFeatureNotAvailableError, match=r"https://example\.org") as missing:
        KitaruClient(server_url="https://example.org", auth_token="a-token-of-mine")
    assert "of-mine" not in str(missing.value)
    assert KitaruClient(project="mine").project == "mine"
    with pytest.raises(KitaruUsageError, match="project"):
        KitaruClient(project=" ")


def test_a_client_can_be_told_its_journal(tmp_path: Path) -> None:
    elsewhere = KitaruClient(journal=f"sqlite:///{tmp_path}/elsewhere.db")
    ask.run("x").wait()
    assert elsewhere.executions.list() == []
    assert elsewhere.journal_url.endswith("elsewhere.db")
    assert len(kitaru.KitaruClient().executions.list()) == 1


def test_listing_never_imports_user_code(client: KitaruClient, kernel: Kernel, tmp_path: Path) -> None:
    record = kernel.new_record(ask.spec, ("x",), {})
    record.entrypoint = {
        **entrypoint.describe(ask.spec.function),
        "module": "explodes_on_import",
        "main": False,
        "file": str(tmp_path / "explodes_on_import.py"),
        "root": str(tmp_path),
        "sys_path": [],
    }
    (tmp_path / "explodes_on_import.py").write_text("raise SystemExit('imported')")
    kernel.journal.create(record, dead_owner(), 30.0)
    assert client.executions.get(record.exec_id).status is ExecutionStatus.INTERRUPTED
    assert len(client.executions.list()) == 1
    assert "explodes_on_import" not in sys.modules

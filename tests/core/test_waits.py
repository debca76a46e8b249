"""kitaru.wait(): asked once, answered once, whoever is there to hear it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, field_validator

import kitaru
from kitaru import FlowHandle, KitaruClient, checkpoint, flow
from kitaru.errors import (
    KitaruBackendError,
    KitaruContextError,
    KitaruExecutionError,
    KitaruNotFoundError,
    KitaruStateError,
    KitaruUsageError,
    KitaruUserCodeError,
    KitaruWaitExpiredError,
    KitaruWaitingError,
    KitaruWaitValidationError,
)
from kitaru.runtime.kernel import Kernel

ran: list[Any] = []


@pytest.fixture(autouse=True)
def fresh_ran() -> None:
    ran.clear()


def until(condition: Callable[[], Any], seconds: float = 30.0) -> Any:
    """What ``condition`` gives once it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.002)
    return found


def asked(handle: FlowHandle, count: int = 1) -> list[str]:
    """The names of the pending waits, once there are ``count`` of them."""
    client = KitaruClient()
    return [one.name for one in until(lambda: _pending(client, handle.exec_id, count))]


def _pending(client: KitaruClient, exec_id: str, count: int) -> list[Any]:
    found = client.executions.pending_waits(exec_id)
    return found if len(found) >= count else []


def answer(handle: FlowHandle, value: Any = None, **options: Any) -> Any:
    return KitaruClient().executions.input(handle.exec_id, value=value, **options)


@checkpoint
def work(n: Any) -> Any:
    ran.append(n)
    return n


class Verdict(BaseModel):
    approved: bool
    comment: str = ""

    @field_validator("comment")
    @classmethod
    def no_shouting(cls, comment: str) -> str:
        assert comment != comment.upper() or not comment, "no shouting"
        return comment


@dataclass
class Point:
    x: int
    y: int


class Row(TypedDict):
    name: str
    tags: list[str]


@flow
def asks(schema: Any = None, **options: Any) -> Any:
    value = kitaru.wait(schema=SCHEMAS.get(schema), **options)
    work("after")
    return value


SCHEMAS: dict[str | None, Any] = {
    "bool": bool,
    "int": int,
    "float": float,
    "str": str,
    "verdict": Verdict,
    "point": Point,
    "row": Row,
    "json": {
        "type": "object",
        "properties": {"items": {"type": "array", "items": {"type": "number", "maximum": 10}}},
        "required": ["items"],
        "additionalProperties": False,
    },
    "moment": {"type": "string", "format": "date-time"},
    "far": {"$ref": "http://127.0.0.1:9/schema.json"},
}


def test_an_answer_reaches_the_flow_as_the_type_it_asked_for() -> None:
    for schema, value, expected in (
        ("bool", True, True),
        ("int", 3.0, 3),
        ("float", 3, 3.0),
        ("str", "", ""),
        ("verdict", {"approved": True}, Verdict(approved=True)),
        ("verdict", Verdict(approved=False, comment="no"), Verdict(approved=False, comment="no")),
        ("point", {"x": 1, "y": 2}, Point(1, 2)),
        ("row", {"name": "a", "tags": ["b"]}, {"name": "a", "tags": ["b"]}),
        ("json", {"items": [1, 2.5]}, {"items": [1, 2.5]}),
        ("moment", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z"),
        (None, None, None),
    ):
        handle = asks.run(schema)
        asked(handle)
        answer(handle, value)
        found = handle.wait(timeout=30)
        assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    ("schema", "value", "told"),
    [
        ("bool", "yes", r"at \$: 'yes' is not of type 'boolean' \(rule: type\)"),
        ("bool", None, "not of type 'boolean'"),
        ("verdict", {"comment": "x"}, r"'approved' is a required property \(rule: required\)"),
        ("json", {"items": [1, 11]}, r"at \$.items\[1\]: 11 is greater than the maximum of 10 \(rule: maximum\)"),
        ("json", {"items": [], "more": 1}, r"'more' was unexpected\) \(rule: additionalProperties\)"),
        ("moment", "tomorrow", r"\(rule: format\)"),
        ("far", 1, r"rule: \$ref"),
        ("bool", float("nan"), "no JSON data"),
        (None, True, "takes no value"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused_with_path_and_rule(schema: Any, value: Any, told: str) -> None:
    handle = asks.run(schema, name="approve")
    asked(handle)
    with pytest.raises(KitaruWaitValidationError, match=told) as caught:
        answer(handle, value)
    assert "`approve`" in str(caught.value) and handle.exec_id in str(caught.value)
    assert asked(handle) == ["approve"], "it is still open"
    KitaruClient().executions.abort_wait(handle.exec_id)


def test_what_only_the_model_checks_fails_the_flow_and_says_so() -> None:
    handle = asks.run("verdict")
    asked(handle)
    answer(handle, {"approved": True, "comment": "LOUD"})
    with pytest.raises(KitaruUserCodeError, match=r"KitaruWaitValidationError.*\$.comment: .*no shouting"):
        handle.wait(timeout=30)


def test_an_execution_with_an_open_wait_reads_waiting_everywhere() -> None:
    client = KitaruClient()
    handle = asks.run("bool", name="approve", question="Go?", metadata={"amount": 3})
    asked(handle)
    execution = client.executions.get(handle.exec_id)
    assert handle.status == execution.status == client.executions.status(handle.exec_id) == "waiting"
    pending = execution.pending_wait
    assert pending is not None and execution.pending_waits == [pending]
    assert (pending.name, pending.question, pending.metadata) == ("approve", "Go?", {"amount": 3})
    assert pending.schema == {"type": "boolean"} and pending.entered_waiting_at is not None
    (listed,) = client.executions.list(status="waiting")
    assert listed.pending_wait == pending and listed.status == "waiting"
    assert client.executions.list(status="running") == []
    answer(handle, True)
    assert handle.wait(timeout=30) is True
    done = client.executions.get(handle.exec_id)
    assert done.pending_wait is None and done.status == "completed"
    assert client.executions.pending_waits(handle.exec_id) == []


def test_each_occurrence_of_a_name_is_a_wait_of_its_own() -> None:
    @flow
    def loop() -> list[int]:
        return [kitaru.wait(schema=int, name="page") for _ in range(3)]

    handle = loop.run()
    for number, name in enumerate(("page", "page#2", "page#3")):
        until(lambda name=name: asked(handle) == [name])
        answer(handle, number)
    assert handle.wait(timeout=30) == [0, 1, 2]


def test_several_waits_are_open_at_once_and_answered_in_any_order() -> None:
    @flow
    async def both() -> list[Any]:
        return await asyncio.gather(
            kitaru.wait(schema=int, name="a"), kitaru.wait(schema=str, name="b"), kitaru.wait(name="c")
        )

    handle = both.run()
    assert sorted(asked(handle, 3)) == ["a", "b", "c"]
    with pytest.raises(KitaruStateError, match=r"3 pending waits.*`a`.*--wait NAME"):
        answer(handle, 1)
    with pytest.raises(KitaruNotFoundError, match=r"no pending wait 'd'\. Pending are: `a`, `b`, `c`"):
        answer(handle, 1, wait="d")
    with pytest.raises(KitaruUsageError, match="blank"):
        answer(handle, 1, wait=" ")
    answer(handle, "x", wait="b")
    (c_id,) = [one.wait_id for one in KitaruClient().executions.pending_waits(handle.exec_id) if one.name == "c"]
    answer(handle, wait=c_id)
    answer(handle, 1, wait="a")
    assert handle.wait(timeout=30) == [1, "x", None]


def test_an_answer_is_accepted_once() -> None:
    handle = asks.run("bool", name="approve")
    asked(handle)
    answer(handle, True)
    with pytest.raises(KitaruStateError, match="already answered"):
        answer(handle, False, wait="approve")
    assert handle.wait(timeout=30) is True
    with pytest.raises(KitaruStateError, match="no pending waits: it is completed"):
        answer(handle, False)


def test_aborting_a_wait_cancels_the_execution_and_its_code_does_not_go_on() -> None:
    handle = asks.run("bool", name="approve")
    asked(handle)
    KitaruClient().executions.abort_wait(handle.exec_id, wait="approve")
    with pytest.raises(KitaruExecutionError, match="cancelled"):
        handle.wait(timeout=30)
    execution = KitaruClient().executions.get(handle.exec_id)
    assert execution.status == "cancelled" and execution.status_reason == "wait `approve` was aborted"
    assert ran == []


def test_aborting_the_wait_of_a_suspended_execution_ends_it_at_once() -> None:
    handle = asks.run("bool", name="approve", timeout=0)
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    execution = KitaruClient().executions.abort_wait(handle.exec_id)
    assert execution.status == "cancelled" and execution.status_reason == "wait `approve` was aborted"


def test_a_suspended_execution_says_what_answers_it_and_is_not_resumed_without(kernel: Kernel) -> None:
    handle = asks.run("bool", name="the boss", question="Go?", timeout=0)
    command = rf"kitaru executions input {handle.exec_id} --wait 'the boss' --value JSON"
    with pytest.raises(KitaruWaitingError, match=command) as caught:
        handle.wait(timeout=30)
    assert "Go?" in str(caught.value)
    assert kernel.journal.get(handle.exec_id).owner is None
    with pytest.raises(KitaruStateError, match="waiting for an answer to `the boss`"):
        KitaruClient().executions.resume(handle.exec_id)


def test_an_answer_without_resume_leaves_the_execution_to_resume_and_recover(kernel: Kernel) -> None:
    handle = asks.run("bool", timeout=0)
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    assert kernel.journal.recoverable(kernel.clock.now(), kernel.alive) == []
    left = answer(handle, True, resume=False)
    assert left.status == "waiting" and left.pending_wait is None
    assert [one.exec_id for one in kernel.journal.recoverable(kernel.clock.now(), kernel.alive)] == [handle.exec_id]
    KitaruClient().executions.resume(handle.exec_id)
    assert handle.wait(timeout=30) is True
    assert ran == ["after"]


def test_a_wait_in_a_checkpoint_suspends_its_attempt_and_its_body_runs_again() -> None:
    @checkpoint
    def careful(n: int) -> Any:
        ran.append("begun")
        return n, kitaru.wait(schema=int, name="how many", timeout=0)

    @flow
    def inside() -> Any:
        return careful(1)

    handle = inside.run()
    with pytest.raises(KitaruWaitingError, match="how many"):
        handle.wait(timeout=30)
    kernel = handle_kernel(handle)
    answer(handle, 7, resume=False)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, inside.spec))
    assert again.wait(timeout=30) == (1, 7)
    assert ran == ["begun", "begun"]


def handle_kernel(_handle: FlowHandle) -> Kernel:
    from kitaru.stack import assembly

    return assembly.open_kernel()


def test_a_running_sibling_holds_off_suspension_and_is_recorded() -> None:
    @checkpoint
    def slow() -> str:
        time.sleep(0.1)
        ran.append("slow")
        return "slow"

    @flow
    def fan() -> Any:
        future = slow.submit()
        value = kitaru.wait(schema=int, timeout=0)
        return value, future.result()

    handle = fan.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    assert ran == ["slow"]
    answer(handle, 1, resume=False)
    kernel = handle_kernel(handle)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, fan.spec))
    assert again.wait(timeout=30) == (1, "slow") and ran == ["slow"]


# -- deadlines -----------------------------------------------------------------------------------------------------


def test_an_expired_wait_gives_its_default_or_raises() -> None:
    assert asks.run("bool", expires_in=0.02, on_expiry="nobody came").wait(timeout=30) == "nobody came"
    assert asks.run("bool", expires_in=0, on_expiry=None).wait(timeout=30) is None
    with pytest.raises(KitaruUserCodeError, match=r"KitaruWaitExpiredError.*passed its deadline") as caught:
        asks.run("bool", name="approve", expires_in=0.02).wait(timeout=30)
    assert isinstance(caught.value.__cause__, KitaruWaitExpiredError)


def test_a_deadline_that_passed_while_nobody_was_there_is_applied_by_recovery(kernel: Kernel) -> None:
    handle = asks.run("bool", name="approve", timeout=0, expires_in=0.15, on_expiry=False)
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    record = kernel.journal.get(handle.exec_id)
    assert record.wake_at is not None and kernel.journal.recoverable(record.wake_at - 1, kernel.alive) == []
    until(lambda: kernel.clock.now() > record.wake_at)
    with pytest.raises(KitaruStateError, match="has expired"):
        answer(handle, True)
    kernel.recover(handle.exec_id)
    assert handle.wait(timeout=30) is False
    assert [wait.status for wait in kernel.journal.waits(handle.exec_id)] == ["expired"]


def test_a_lost_race_withdraws_the_wait_and_is_lost_again_on_resume(kernel: Kernel) -> None:
    @flow
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0.05):
                await kitaru.wait(schema=bool, name="quick")
        except TimeoutError:
            work("gave up")
        value = await kitaru.wait(schema=int, name="patient", timeout=0)
        return f"gave up, then {value}"

    handle = impatient.run()
    with pytest.raises(KitaruWaitingError, match="patient"):
        handle.wait(timeout=30)
    assert [wait.status for wait in kernel.journal.waits(handle.exec_id)] == ["withdrawn", "open"]
    with pytest.raises(KitaruStateError, match="already withdrawn"):
        answer(handle, True, wait="quick")
    answer(handle, 3, resume=False)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, impatient.spec))
    assert again.wait(timeout=30) == "gave up, then 3" and ran == ["gave up"]


# -- refusals ------------------------------------------------------------------------------------------------------


def test_waiting_outside_a_flow_is_refused() -> None:
    with pytest.raises(KitaruContextError, match=r"kitaru\.wait\(\)"):
        kitaru.wait()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"name": " "}, "name=' ' must be a text"),
        ({"question": 3}, "question=3"),
        ({"name": "half \ud800"}, "half a character"),
        ({"question": "half \ud800"}, "half a character"),
        ({"timeout": -1}, "timeout=-1 must be a finite number"),
        ({"expires_in": float("inf")}, "expires_in=inf"),
        ({"on_expiry": 3}, "say when with expires_in"),
        ({"metadata": {"x": object()}}, "metadata= must be JSON data"),
        ({"metadata": 3}, "metadata=3 must be a dict"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], told: str) -> None:
    @flow
    def bad() -> Any:
        return kitaru.wait(**options)

    with pytest.raises(KitaruUserCodeError, match=told):
        bad.run().wait(timeout=30)


def test_schemas_that_are_none_are_refused() -> None:
    @flow
    def bad(which: int) -> Any:
        return kitaru.wait(schema=[{"type": "nonsense"}, {"enum": object()}, object(), open][which])

    for which, told in enumerate(
        ("no valid JSON Schema", "not JSON data", "cannot be described", "cannot be described")
    ):
        with pytest.raises(KitaruUserCodeError, match=told):
            bad.run(which).wait(timeout=30)


# -- other processes -----------------------------------------------------------------------------------------------

SCRIPT = """
import sys, time
import kitaru
from kitaru import flow, checkpoint

@checkpoint
def note(what):
    with open("seen", "a") as file:
        file.write(f"{what} {time.time_ns()}\\n")
    return what

@flow
def guarded(timeout):
    note("before")
    value = kitaru.wait(schema=int, name="go", timeout=timeout)
    note(f"got {value}")
    return value

if __name__ == "__main__":
    handle = guarded.run(float(sys.argv[1]))
    print(handle.exec_id, flush=True)
    try:
        handle.wait()
    except kitaru.KitaruWaitingError:
        print("let go", flush=True)
"""


def test_an_answer_from_another_process_reaches_a_living_owner(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    owner = subprocess.Popen([sys.executable, "guarded.py", "600"], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        exec_id = owner.stdout.readline().strip()
        until(lambda: KitaruClient().executions.pending_waits(exec_id))
        KitaruClient().executions.input(exec_id, value=5)
        assert owner.wait(30) == 0
    assert [line.split(" ")[:-1] for line in Path("seen").read_text().splitlines()] == [["before"], ["got", "5"]]
    assert KitaruClient().executions.result(exec_id) == 5


def test_an_answer_resumes_an_execution_whose_owner_has_left(tmp_path: Path, own_store: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "guarded.py", "0"], capture_output=True, text=True, timeout=60)
    exec_id, said = done.stdout.split("\n")[:2]
    assert said == "let go", done.stderr
    answered = KitaruClient().executions.input(exec_id, value=6)
    assert answered.status in ("running", "completed")
    until(lambda: KitaruClient().executions.status(exec_id) == "completed")
    assert KitaruClient().executions.result(exec_id) == 6
    assert (own_store / "detached" / f"{exec_id}.log").exists()
    lines = [line.split(" ")[0] for line in Path("seen").read_text().splitlines()]
    assert lines == ["before", "got"], "nothing that was recorded ran again"


def test_of_two_processes_that_answer_at_once_one_is_heard(tmp_path: Path) -> None:
    handle = asks.run("json", timeout=600)
    asked(handle)
    racer = (
        "import os, sys, time\nfrom kitaru import KitaruClient, KitaruStateError\nclient = KitaruClient()\n"
        "open(f'ready-{sys.argv[2]}', 'w').close()\n"
        "while not os.path.exists('start'): time.sleep(0.0005)\n"
        "try:\n    client.executions.input(sys.argv[1], value={'items': [int(sys.argv[2])]})\n    print('accepted')\n"
        "except KitaruStateError as error:\n    print('refused')\n"
    )
    racers = [
        subprocess.Popen([sys.executable, "-c", racer, handle.exec_id, str(n)], stdout=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    until(lambda: all(Path(f"ready-{n}").exists() for n in range(2)))
    Path("start").touch()
    said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(said) == ["accepted", "refused"]
    assert handle.wait(timeout=30) == {"items": [said.index("accepted")]}


def test_a_child_that_waits_is_answered_and_its_parent_goes_on(kernel: Kernel) -> None:
    handle = parent.run()
    with pytest.raises(KitaruWaitingError, match="--wait sign"):
        handle.wait(timeout=30)
    (child,) = KitaruClient().executions.get(handle.exec_id).children
    KitaruClient().executions.input(child.exec_id, value="me", resume=False)
    due = kernel.journal.recoverable(kernel.clock.now(), kernel.alive)
    assert [one.exec_id for one in due] == [handle.exec_id], "the parent continues its child"
    kernel.recover(handle.exec_id)
    assert handle.wait(timeout=30) == "signed by me"


@flow
def signs() -> str:
    name: str = kitaru.wait(schema=str, name="sign", timeout=0)
    return f"signed by {name}"


@flow
def parent() -> str:
    return str(signs.run().wait())


def test_the_prompt_is_off_without_a_terminal() -> None:
    from kitaru import prompting

    assert not prompting.wanted()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a pseudo terminal")
def test_a_wait_is_answered_on_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    ours, theirs = os.openpty()
    owner = subprocess.Popen([sys.executable, "guarded.py", "0"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    for line in (b"many\n", b"41\n"):
        while shown.count(b"> ") < (1 if line == b"many\n" else 2):
            shown += os.read(ours, 4096)
        os.write(ours, line)
    assert owner.wait(60) == 0
    os.close(ours)
    assert b"Answer as JSON" in shown
    assert KitaruClient().executions.latest().result() == 41


def test_recorded_waits_are_json_for_interfaces() -> None:
    from kitaru.inspection import serialize_execution

    handle = asks.run("bool", name="approve", expires_in=3600)
    asked(handle)
    row = json.loads(json.dumps(serialize_execution(KitaruClient().executions.get(handle.exec_id))))
    assert row["status"] == "waiting" and row["pending_wait"]["name"] == "approve"
    assert row["pending_waits"] == [row["pending_wait"]] and row["pending_wait"]["expires_at"]
    answer(handle, True)
    handle.wait(timeout=30)


def test_a_child_that_is_resumed_by_itself_lets_its_parent_go_on() -> None:
    handle = parent.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    (child,) = KitaruClient().executions.get(handle.exec_id).children
    KitaruClient().executions.input(child.exec_id, value="me", resume=False)
    KitaruClient().executions.resume(child.exec_id)
    assert until(lambda: KitaruClient().executions.status(handle.exec_id) == "completed")
    assert handle.wait(timeout=30) == "signed by me"


def test_an_aborted_wait_is_asked_again_when_its_execution_is_resumed() -> None:
    handle = asks.run("bool", name="approve")
    asked(handle)
    KitaruClient().executions.abort_wait(handle.exec_id)
    with pytest.raises(KitaruExecutionError):
        handle.wait(timeout=30)
    KitaruClient().executions.resume(handle.exec_id)
    assert asked(handle) == ["approve"]
    answer(handle, True)
    until(lambda: handle.status == "completed")


def test_ctrl_c_at_the_question_aborts_the_wait(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    ours, theirs = os.openpty()
    owner = subprocess.Popen([sys.executable, "guarded.py", "600"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"> " not in shown:
        shown += os.read(ours, 4096)
    owner.send_signal(signal.SIGINT)
    owner.wait(60)
    os.close(ours)
    execution = KitaruClient().executions.latest()
    assert execution.status == "cancelled" and execution.status_reason == "wait `go` was aborted"


def test_an_answer_from_elsewhere_wins_over_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    ours, theirs = os.openpty()
    owner = subprocess.Popen([sys.executable, "guarded.py", "600"], stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    while b"> " not in shown:
        shown += os.read(ours, 4096)
    client = KitaruClient()
    client.executions.input(client.executions.latest().exec_id, value=8)
    assert owner.wait(60) == 0
    os.close(ours)
    assert client.executions.latest().result() == 8


def test_the_prompt_can_be_turned_off(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    ours, theirs = os.openpty()
    environment = {**os.environ, "KITARU_INTERACTIVE": "0"}
    done = subprocess.run(
        [sys.executable, "guarded.py", "0"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, timeout=60
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)
    assert done.returncode == 0 and b"let go" in shown and b"> " not in shown


def test_a_handle_follows_its_execution_into_the_process_that_continues_it() -> None:
    handle = asks.run("verdict", name="approve", timeout=0)
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    answer(handle, {"approved": True})
    assert handle.wait(timeout=60) == Verdict(approved=True)
    assert ran == [], "it went on in a process of its own"


def test_an_awaited_handle_does_so_too() -> None:
    async def all_of_it() -> Any:
        handle = asks.run("bool", name="approve", timeout=0)
        with pytest.raises(KitaruWaitingError):
            await handle
        await asyncio.to_thread(answer, handle, True)
        return await asyncio.wait_for(_awaited(handle), 60)

    assert asyncio.run(all_of_it()) is True


async def _awaited(handle: FlowHandle) -> Any:
    return await handle


def test_an_execution_that_cannot_be_continued_elsewhere_keeps_its_answer_and_says_why() -> None:
    @flow
    def local() -> Any:
        return kitaru.wait(schema=int, timeout=0)

    handle = local.run()
    with pytest.raises(KitaruWaitingError):
        handle.wait(timeout=30)
    with pytest.raises(KitaruBackendError, match=r"exit code 1: .*detached.*kitaru executions resume"):
        answer(handle, 3)
    kernel = handle_kernel(handle)
    again = FlowHandle(kernel, handle.exec_id, kernel.resume(handle.exec_id, local.spec))
    assert again.wait(timeout=30) == 3


def test_the_answer_to_an_execution_whose_owner_was_killed_continues_it(tmp_path: Path) -> None:
    (tmp_path / "guarded.py").write_text(SCRIPT)
    owner = subprocess.Popen([sys.executable, "guarded.py", "600"], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    with owner, owner.stdout:
        exec_id = owner.stdout.readline().strip()
        until(lambda: KitaruClient().executions.pending_waits(exec_id))
        owner.kill()
        owner.wait(30)
    killed = KitaruClient().executions.get(exec_id)
    assert killed.status == "interrupted" and killed.pending_wait is not None
    KitaruClient().executions.input(exec_id, value=9)
    until(lambda: KitaruClient().executions.status(exec_id) == "completed")
    assert KitaruClient().executions.result(exec_id) == 9

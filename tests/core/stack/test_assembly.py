"""A kernel per journal, put together on first use; starts that say what they were started with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru.config import configure, reset_configuration, resolve
from kitaru.errors import (
    KitaruBackendError,
    KitaruFeatureNotAvailableError,
    KitaruNotFoundError,
    KitaruPluginError,
    KitaruStateError,
    KitaruUsageError,
)
from kitaru.stack import assembly, start_execution
from kitaru.stack.components import Place, check_key
from kitaru.stack.stacks import select


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    reset_configuration()


@kitaru.checkpoint
def echo(value: Any) -> Any:
    print("echoing")
    return value


@kitaru.flow
def flow(value: Any) -> Any:
    return echo(value)


def frozen(handle: kitaru.FlowHandle) -> dict[str, Any]:
    found: dict[str, Any] = assembly.open_kernel().journal.get(handle.exec_id).spec
    return found


def test_one_kernel_per_address_durability_and_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = assembly.open_kernel()
    assert assembly.open_kernel() is kernel
    assert assembly.open_kernel(resolve()) is kernel
    assert assembly.open_kernel(journal_url=kernel.journal.url) is kernel
    assert assembly.open_kernel(durability="full") is kernel
    other = assembly.open_kernel(journal_url=f"sqlite:///{tmp_path}/other.db")
    fast = assembly.open_kernel(durability="process")
    assert len({id(one) for one in (kernel, other, fast)}) == 3
    assert fast.journal.durability == "process"
    monkeypatch.setenv("KITARU_CONFIG_PATH", str(tmp_path / "elsewhere"))
    assert assembly.open_kernel(journal_url=kernel.journal.url) is not kernel


def test_the_kernel_is_opened_once_by_many_threads() -> None:
    barrier = threading.Barrier(8)
    opened: list[Any] = []

    def open_it() -> None:
        barrier.wait()
        opened.append(assembly.open_kernel())

    threads = [threading.Thread(target=open_it) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 8 and len({id(one) for one in opened}) == 1


def test_a_change_of_settings_holds_from_the_next_start(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = assembly.open_kernel()
    configure(max_concurrency=3, allow_pickle=False)
    monkeypatch.setenv("KITARU_LEASE_SECONDS", "7.5")
    assert assembly.open_kernel() is kernel
    assert (kernel.max_concurrency, kernel.lease_seconds, kernel.codec.allow_pickle) == (3, 7.5, False)
    configure(durability="process")
    assert assembly.open_kernel().journal.durability == "process"


@pytest.mark.parametrize("url", ["https://kitaru.example/?token=hunter2"])
def test_a_journal_that_a_later_version_opens(url: str) -> None:
    with pytest.raises(KitaruFeatureNotAvailableError, match="pip install -U kitaru") as raised:
        assembly.open_kernel(journal_url=url)
    assert "hunter2" not in str(raised.value)


def test_a_journal_in_memory(own_store: Path) -> None:
    configure(journal="memory:", durability="process")
    handle = flow.run(3)
    assert handle.wait() == 3
    kernel = assembly.open_kernel()
    assert (kernel.journal.url, kernel.journal.durability) == ("memory:", "process")
    assert not (own_store / "kitaru.db").exists()
    assert assembly.open_kernel(journal_url="memory:") is kernel


FORKING = """
import os, kitaru, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forking beside threads: that is what is tried here

@kitaru.flow
def flow():
    return 1

if __name__ == "__main__":
    assert flow.run().wait() == 1
    child = os.fork()
    if child == 0:
        try:
            flow.run()
        except kitaru.KitaruError as error:
            print("refused:", error, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    print("parent:", flow.run().wait())
"""


def test_a_forked_child_is_refused_and_its_parent_goes_on(tmp_path: Path) -> None:
    script = tmp_path / "forking.py"
    script.write_text(FORKING)
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=60)
    refused, parent = done.stdout.splitlines()
    assert refused.startswith("refused:") and "fork" in refused and "spawn" in refused
    assert parent == "parent: 1"


def test_stores_are_made_when_something_is_stored(own_store: Path) -> None:
    @kitaru.flow
    def quiet() -> int:
        return 1

    assert quiet.run().wait() == 1
    assert not (own_store / "artifacts").exists()
    assert not (own_store / "logs").exists()
    assert flow.run(b"x" * 100_000).wait() == b"x" * 100_000
    assert len(list((own_store / "artifacts").rglob("sha256/*"))) == 1
    assert len(list((own_store / "artifacts").rglob("journals/*"))) == 1, "who may refer to it"


def test_what_a_body_prints_is_in_the_log_store(capsys: pytest.CaptureFixture[str]) -> None:
    handle = flow.run(1)
    handle.wait()
    assert capsys.readouterr().out == "echoing\n"
    (line,) = assembly.open_log_store(assembly.open_kernel()).read(handle.exec_id)
    assert (line.message, line.checkpoint_name, line.source) == ("echoing", "echo", "stdout")


def test_log_capture_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITARU_LOG_CAPTURE", "off")
    handle = flow.run(1)
    handle.wait()
    assert assembly.open_log_store(assembly.open_kernel()).read(handle.exec_id) == []


def test_a_start_records_what_it_was_resolved_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = frozen(flow.run(1))["resolved_execution"]
    assert resolved == {"stack": "default", "cache": False, "retries": 0}
    monkeypatch.setenv("KITARU_RETRIES", "1")
    monkeypatch.setenv("KITARU_CACHE", "on")
    assert frozen(flow.run(1))["resolved_execution"] == {"stack": "default", "cache": True, "retries": 1}
    configure(retries=2)

    @kitaru.flow(retries=3, cache=False)
    def decorated() -> None: ...

    assert frozen(flow.run(1))["resolved_execution"]["retries"] == 2
    assert frozen(decorated.run())["resolved_execution"] == {"stack": "default", "cache": False, "retries": 3}
    assert frozen(decorated.run(retries=0, cache=True))["resolved_execution"]["retries"] == 0


def test_secrets_in_an_image_stay_out_of_the_journal() -> None:
    configure(image={"environment": {"API_KEY": "hunter2", "MODE": "fast"}})
    handle = flow.run(1)
    assert frozen(handle)["resolved_execution"]["image"] == {"environment": {"API_KEY": "***", "MODE": "fast"}}
    assert "hunter2" not in json.dumps(frozen(handle))


def test_retries_of_the_settings_are_the_checkpoints_default(monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    @kitaru.checkpoint(backoff=0.0)
    def flaky() -> int:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("once")
        return len(tries)

    @kitaru.flow
    def twice() -> int:
        return flaky()

    monkeypatch.setenv("KITARU_RETRIES", "1")
    assert twice.run().wait() == 2


@pytest.mark.parametrize("where", ["run", "configure", "environment"])
def test_there_is_no_stack_of_that_name(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    options: dict[str, Any] = {}
    if where == "run":
        options["stack"] = "prod"
    elif where == "configure":
        configure(stack="prod")
    else:
        monkeypatch.setenv("KITARU_STACK", "prod")
    with pytest.raises(KitaruStateError, match="Stack 'prod' not found"):
        flow.run(1, **options)
    assert flow.run(1, stack="default").wait() == 1


def test_the_default_stack_always_exists(tmp_path: Path) -> None:
    stack = select(None, Place(tmp_path))
    assert (stack.name, stack.type) == ("default", "local")
    assert {one.kind for one in stack.components} == {
        "artifact_store",
        "log_store",
        "secret_store",
        "orchestrator",
    }
    with pytest.raises(KitaruPluginError, match="has no container_registry"):
        stack.component("container_registry")
    with pytest.raises(KitaruUsageError, match="cannot be empty"):
        select("  ", Place(tmp_path))


def test_a_disabled_plugin_that_the_stack_needs_is_a_hard_error(tmp_path: Path) -> None:
    code = (
        "import kitaru\n@kitaru.flow\ndef f(): ...\ntry:\n    f.run()\nexcept kitaru.KitaruError as e:\n"
        "    print(type(e).__name__, e)"
    )
    environment = {**os.environ, "KITARU_PLUGINS": "off"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("KitaruPluginError")
    assert "kitaru-local" in done.stdout and "KITARU_PLUGINS=off" in done.stdout


def test_start_execution_drives_what_is_in_the_journal(tmp_path: Path) -> None:
    kernel = assembly.open_kernel()
    exec_id = kernel.create(flow.spec, (5,), {}, owned=False).record.exec_id
    with pytest.raises(KitaruNotFoundError):
        start_execution("00000000-0000-4000-8000-000000000000")
    # The flow lives in this test module, which is loaded already under its own name.
    run = kernel.resume(exec_id, flow.spec)
    assert run.done.wait(30)
    assert kernel.journal.get(exec_id).status == "completed"


def test_an_orchestrator_that_cannot_start_leaves_an_execution_to_resume(monkeypatch: pytest.MonkeyPatch) -> None:
    from kitaru_local.orchestrator import LocalOrchestrator

    def refuse(self: LocalOrchestrator, exec_id: str, *, journal_url: str) -> None:
        raise OSError("no room")

    with monkeypatch.context() as patched:
        patched.setattr(LocalOrchestrator, "start", refuse)
        with pytest.raises(KitaruBackendError, match=r"no room.*kitaru executions resume") as raised:
            flow.run(7)
    exec_id = str(raised.value).split()[1]
    start_execution(exec_id)
    assert assembly.open_kernel().runs[exec_id].done.wait(30)
    assert assembly.open_kernel().journal.get(exec_id).status == "completed"


def test_the_first_run_of_a_process_loads_only_what_it_needs(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import json, sys, kitaru\n"
        "@kitaru.checkpoint\ndef c(n):\n    print('line')\n    return 'x' * n\n"
        "@kitaru.flow\ndef f(n): return c(n)\n"
        "if __name__ == '__main__':\n"
        "    assert len(f.run(100_000).wait()) == 100_000\n"
        "    print(json.dumps(sorted(sys.modules)))\n"
    )
    # Only our own plugins: a stranger's observer is given models, and those are pydantic's.
    environment = {**os.environ, "KITARU_PLUGINS": "local,aws,gcp,azure"}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert not loaded & {"pydantic", "fsspec", "rich", "click", "packaging", "platformdirs", "cloudpickle", "asyncio"}


@pytest.mark.parametrize("key", ["a", "sha256/ab", "a-b/c.d/é", "..a/b.."])
def test_keys_that_stay_inside(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a\0", "a\\b", "x" * 901, None]
)
def test_keys_that_do_not(key: Any) -> None:
    with pytest.raises(KitaruUsageError):
        check_key(key)

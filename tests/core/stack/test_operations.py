"""Stacks made, chosen, shown and deleted, of the local type and of a cloud that only these tests have."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.core.stack.nimbus import NIMBUS
from tests.plugins.sites import Site

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.config import config_directory
from kitaru.errors import (
    KitaruBackendError,
    KitaruConfigError,
    KitaruPluginError,
    KitaruStateError,
    KitaruUsageError,
)
from kitaru.plugins.manager import forget_plugins
from kitaru.stack import operations, records, stacks
from kitaru.stack.records import DEFAULT_ID, FILE_NAME

KEY = "hunter2-canary"
CREDENTIALS = f"nimbus-key:me/{KEY}"


@checkpoint
def large(size: int) -> bytes:
    return b"x" * size


@flow
def stores(size: int) -> int:
    return len(large(size))


def client() -> Any:
    return KitaruClient().stacks


def names() -> list[str]:
    return [one.stack.name for one in client().list()]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """An installation with the made-up cloud."""
    made = Site(tmp_path / "site")
    made.add("nimbus", NIMBUS)
    monkeypatch.syspath_prepend(str(made.folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(made.folder), str(Path(__file__).parents[3])]))
    forget_plugins()
    yield made
    forget_plugins()
    sys.modules.pop("nimbus", None)


@pytest.fixture
def bucket(site: Site, tmp_path: Path) -> str:
    del site
    (tmp_path / "bucket").mkdir()
    return f"nim://{tmp_path / 'bucket'}"


def nimbus(bucket: str, name: str = "cloudy", **options: Any) -> Any:
    return client().create(name, "nimbus", artifact_store=bucket, **{"credentials": CREDENTIALS, **options})


# -- local stacks -----------------------------------------------------------------------------------------------------


def test_the_default_stack_is_always_there() -> None:
    (only,) = kitaru.list_stacks()
    assert only == kitaru.StackInfo(DEFAULT_ID, "default", True) == kitaru.current_stack()
    assert kitaru.use_stack("default") == only == kitaru.use_stack(DEFAULT_ID)
    for forced in (False, True):
        with pytest.raises(KitaruUsageError, match="always there"):
            kitaru.delete_stack("default", force=forced)
    with pytest.raises(KitaruStateError, match="already exists"):
        kitaru.create_stack("default")


def test_a_local_stack_lives() -> None:
    made = kitaru.create_stack(" dev ", labels={"team": "a"})
    assert (made.name, made.is_active) == ("dev", True) and kitaru.current_stack() == made
    details = client().show(made.id)
    assert details.is_managed and details.labels == {"team": "a", "kitaru.managed": "true"}
    assert [one.role for one in details.components[:2]] == ["runner", "storage"]
    with pytest.raises(KitaruStateError, match=r"Stack 'dev' already exists.*kitaru stack use dev"):
        kitaru.create_stack("dev")
    other = kitaru.create_stack("other", activate=False)
    assert not other.is_active and [one.name for one in kitaru.list_stacks()] == ["default", "dev", "other"]
    with pytest.raises(KitaruStateError, match=r"Cannot delete the active stack 'dev'.*--force"):
        kitaru.delete_stack("dev")
    assert kitaru.use_stack(other.id).is_active
    done = client().delete("dev", recursive=True)
    assert done.components_deleted == ("dev (orchestrator)", "dev (artifact_store)") and done.new_active_stack is None
    assert client().delete("other", force=True).new_active_stack == "default"
    assert names() == ["default"] and kitaru.current_stack().id == DEFAULT_ID
    history = yaml.safe_load((config_directory() / FILE_NAME).read_text())["history"]
    assert [line["operation"] for line in history] == ["create", "use", "create", "use", "delete", "use", "delete"]


def test_an_id_comes_before_a_name_and_nothing_is_guessed() -> None:
    first = kitaru.create_stack("first", activate=False)
    for selector in ("fir", "FIRST", first.id[:8]):
        with pytest.raises(KitaruStateError, match=rf"Stack '{selector}' not found\. The stacks here: default, first"):
            kitaru.use_stack(selector)
    for blank in ("", "  "):
        with pytest.raises(KitaruUsageError, match="cannot be empty"):
            kitaru.use_stack(blank)
        with pytest.raises(KitaruUsageError, match="cannot be empty"):
            kitaru.create_stack(blank)
    with pytest.raises(KitaruStateError, match="already exists"):
        kitaru.create_stack(first.id)
    for name in ("a\x1b[2J", "x" * 201):
        with pytest.raises(KitaruUsageError, match="characters"):
            kitaru.create_stack(name)
    assert names() == ["default", "first"]


def test_flows_run_on_the_active_stack_or_the_one_that_is_named(tmp_path: Path) -> None:
    uri = f"file://{tmp_path / 'mine'}"
    mine = client().create("mine", extra={"artifact_store": {"uri": uri}}).stack
    active = stores.run(200_000)
    assert active.wait() == 200_000 and list((tmp_path / "mine").rglob("sha256/*"))
    assert KitaruClient().executions.get(active.exec_id).stack_name == "mine"
    named = stores.run(200_001, stack="default")
    assert named.wait() and KitaruClient().executions.get(named.exec_id).stack_name == "default"
    by_id = stores.run(200_002, stack=mine.id)
    assert by_id.wait() and KitaruClient().executions.get(by_id.exec_id).stack_name == "mine"
    with pytest.raises(KitaruStateError, match="Stack 'none' not found"):
        stores.run(1, stack="none")
    kitaru.delete_stack("mine", force=True, recursive=True)
    (artifact,) = KitaruClient().artifacts.list(active.exec_id)[:1]
    assert artifact.load() is not None, "what was stored can still be read"
    assert stores.run(3).wait() == 3


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"artifact_store": {"urii": "x"}}, r"artifact_store \(flavor `local`\): `urii`\. Did you mean `uri`\?"),
        ({"artifact_store": {"sync": "perhaps"}}, "sync must be true or false"),
        ({"orchestrator": {"x": 1, "y": 2}}, r"orchestrator \(flavor `local`\): `x`, `y`"),
        ({"container_registry": {"x": 1}}, "local stacks have no container registry"),
    ],
)
def test_options_that_do_not_fit_make_nothing(extra: dict[str, Any], told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told):
        client().create("dev", extra=extra)
    assert names() == ["default"] and not (config_directory() / FILE_NAME).exists()


# -- a cloud ----------------------------------------------------------------------------------------------------------


def test_a_cloud_stack_signs_in_wherever_it_is_used(bucket: str, tmp_path: Path) -> None:
    result = nimbus(bucket)
    assert result.components_created == ("cloudy (orchestrator)", "cloudy (artifact_store)")
    assert result.resources == {"provider": "nimbus", "altitude": "high", "artifact_store": bucket}
    assert (result.previous_active_stack, result.stack_type) == ("default", "nimbus")
    assert stores.run(200_000).wait() == 200_000 and list((tmp_path / "bucket").rglob("sha256/*"))
    program = """
        from kitaru import KitaruClient
        found = KitaruClient().executions.latest()
        print(found.stack_name, len(found.checkpoints[0].artifacts[0].load()))
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert out == "cloudy 200000\n"


def test_no_file_command_or_listing_shows_the_key(bucket: str) -> None:
    made = nimbus(bucket).stack
    text = (config_directory() / FILE_NAME).read_text()
    assert KEY not in text and "account: me" in text
    assert stat.S_IMODE((config_directory() / FILE_NAME).stat().st_mode) == 0o600
    assert KEY not in repr(client().show("cloudy")) and KEY not in repr(client().list())
    everything = b"".join(path.read_bytes() for path in config_directory().rglob("*") if path.is_file())
    assert KEY.encode() not in everything, "the store of secrets is encrypted"
    name = records.secret_name(made.id)
    assert stacks.own_secrets(operations.place()).get(name) == {"key": KEY}
    assert name not in KitaruClient().secrets.list()
    for use in (KitaruClient().secrets.get, KitaruClient().secrets.delete, kitaru.get_secret):
        with pytest.raises(KitaruUsageError, match="credentials of stacks"):
            use(name)
    client().delete("cloudy", force=True, recursive=True)
    assert stacks.own_secrets(operations.place()).list() == []


@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"artifact_store": "nim://"}, KitaruUsageError, "names no bucket"),
        (
            {"artifact_store": "s3://b"},
            KitaruUsageError,
            "Nimbus stacks require a nim:// artifact store URI, got 's3://b'",
        ),
        ({"artifact_store": " "}, KitaruUsageError, r'`stack_type="nimbus"` requires: `artifact_store`'),
        ({"region": "eu"}, KitaruUsageError, "options require"),
        ({"credentials": f"other:{KEY}"}, KitaruUsageError, "nimbus-key:ACCOUNT/KEY"),
        ({"credentials": None}, KitaruUsageError, "nimbus-key:ACCOUNT/KEY"),
        (
            {"artifact_store": "nim:///nowhere"},
            KitaruBackendError,
            "nothing was created:\n  artifact store: there is no such bucket",
        ),
        ({"credentials": f"nimbus-key:you/{KEY}"}, KitaruBackendError, "the account has no permission"),
        (
            {"extra": {"artifact_store": {"chunksize": 3}}},
            KitaruUsageError,
            r"`chunksize`\. Did you mean `chunk_size`\? See https://nimbus.example/options",
        ),
        ({"extra": {"artifact_store": {"chunk_size": KEY}}}, KitaruUsageError, "chunk_size must be a number"),
    ],
)
def test_what_cannot_be_leaves_nothing(bucket: str, options: dict[str, Any], error: type[Exception], told: str) -> None:
    Path(bucket.removeprefix("nim://"), "account").write_text("me")
    with pytest.raises(error, match=told) as caught:
        client().create("cloudy", "nimbus", **{"artifact_store": bucket, "credentials": CREDENTIALS, **options})
    assert KEY not in f"{caught.value!r} {caught.value}"
    assert names() == ["default"] and not (config_directory() / FILE_NAME).exists()
    assert not (config_directory() / "secrets").exists() or stacks.own_secrets(operations.place()).list() == []


def test_without_looking_it_is_made(bucket: str) -> None:
    assert nimbus("nim:///nowhere", verify=False).stack.is_active
    assert client().show("cloudy").components[1].details == (("location", "nim:///nowhere"),)
    del bucket


def test_a_type_whose_provider_is_gone(site: Site, bucket: str) -> None:
    nimbus(bucket)
    execution = stores.run(200_000)
    execution.wait()
    for path in site.folder.glob("nimbus*"):
        subprocess.run(["rm", "-r", path], check=True)
    sys.modules.pop("nimbus", None)
    forget_plugins()
    assert client().show("cloudy").stack_type == "nimbus", "it can be looked at, and left"
    with pytest.raises(KitaruUsageError, match="Unsupported stack type: nimbus"):
        client().create("more", "nimbus")
    from kitaru.stack import assembly

    assembly.reset()
    with pytest.raises(KitaruPluginError, match="supplies the artifact_store flavor `nimbus`"):
        stores.run(200_003).wait()
    assert kitaru.use_stack("default").name == "default" and stores.run(1).wait() == 1


# -- several at once, and the worst moment ---------------------------------------------------------------------------

_MAKE = """
    import json, os, sys
    from kitaru import KitaruClient
    from kitaru.errors import KitaruError
    name, bucket, credentials = sys.argv[1:]
    while not os.path.exists("go"):
        pass
    try:
        KitaruClient().stacks.create(name, "nimbus", artifact_store=bucket, credentials=credentials)
        print("made")
    except KitaruError as error:
        print(type(error).__name__)
"""


def test_of_many_that_make_one_name_at_once_one_does(bucket: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", textwrap.dedent(_MAKE), "cloudy", bucket, CREDENTIALS]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    (tmp_path / "go").touch()
    told = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert told == ["KitaruStateError"] * 5 + ["made"]
    assert names() == ["default", "cloudy"]
    assert len(stacks.own_secrets(operations.place()).list()) == 1


def test_many_names_at_once_lose_none(bucket: str, tmp_path: Path) -> None:
    started = [
        subprocess.Popen([sys.executable, "-c", textwrap.dedent(_MAKE), f"s{number}", bucket, CREDENTIALS])
        for number in range(6)
    ]
    (tmp_path / "go").touch()
    assert [process.wait(60) for process in started] == [0] * 6
    assert sorted(names()) == ["default", *(f"s{number}" for number in range(6))]
    assert len(stacks.own_secrets(operations.place()).list()) == 6


_DIE = """
    import os, signal, sys
    point, calls = int(sys.argv[1]), 0

    def dying(function):
        def call(*args, **kwargs):
            global calls
            calls += 1
            if calls == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)
        return call

    from kitaru import KitaruClient
    client = KitaruClient()
    client.stacks.list()
    for name in ("open", "replace", "fsync", "link", "rename", "unlink", "mkdir"):
        setattr(os, name, dying(getattr(os, name)))
    client.stacks.create("cloudy", "nimbus", artifact_store=sys.argv[2], credentials=sys.argv[3])
    print(calls)
"""


def test_killed_at_every_step_there_is_a_whole_stack_or_none(bucket: str) -> None:
    died = 0
    for point in range(1, 200):
        command = [sys.executable, "-c", textwrap.dedent(_DIE), str(point), bucket, CREDENTIALS]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
        died += 1
        if "cloudy" in names():  # whole
            assert stores.run(100_000 + point, stack="cloudy").wait()
            client().delete("cloudy", force=True, recursive=True)
    assert died >= 8 and "cloudy" in names()
    client().delete("cloudy", force=True, recursive=True)
    assert nimbus(bucket, "another").stack.name == "another"
    kept = stacks.own_secrets(operations.place()).list()
    assert len(kept) == 1, "what the killed ones left was removed"


def test_a_full_disk_makes_nothing(bucket: str) -> None:
    kitaru.create_stack("before", activate=False)
    code = """
        import resource, signal, sys
        from kitaru import KitaruClient
        from kitaru.errors import KitaruError
        stacks = KitaruClient().stacks
        stacks.list()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, 64))
        try:
            stacks.create("cloudy", "nimbus", artifact_store=sys.argv[1], credentials=sys.argv[2])
        except KitaruError as error:
            print(type(error).__name__, error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), bucket, CREDENTIALS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "Kitaru" in done.stdout and KEY not in done.stdout + done.stderr
    assert names() == ["default", "before"]
    assert nimbus(bucket).stack.name == "cloudy"


# -- a file that was edited by hand ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("stacks: [", "not valid YAML"),
        ("- a", "not a mapping"),
        ("stacks: [1]", "`stacks` is not a mapping"),
        ("stacks: {abc: {name: x}}", "cannot read stack info of 'abc'"),
        ("stacks: {abc: {name: 'None', type: local, provider: local, components: []}}", "'None' is not a name"),
        ("active: gone", "`active` names 'gone'"),
        ("version: 99", "newer Kitaru"),
    ],
)
def test_a_file_that_is_not_understood_is_kept_and_explained(content: str, told: str) -> None:
    path = config_directory() / FILE_NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    for use in (names, kitaru.current_stack, lambda: kitaru.create_stack("x"), lambda: stores.run(1)):
        with pytest.raises(KitaruConfigError, match=told) as caught:
            use()
        assert str(path) in str(caught.value)
    assert path.read_text() == content
    assert stores.run(1, stack="default").wait() == 1, "the default stack is in no file"


def test_the_command_line_and_json(tmp_path: Path) -> None:
    """One walk through the installed entry point; the commands' own tests are in tests/core/cli."""
    done = subprocess.run(
        [sys.executable, "-m", "kitaru", "stack", "list", "-o", "json"], capture_output=True, text=True, timeout=60
    )
    row = {"id": DEFAULT_ID, "name": "default", "is_active": True, "is_managed": False}
    assert json.loads(done.stdout) == {"command": "stack.list", "items": [row], "count": 1}
    del tmp_path

"""One execution as a file: the same here and elsewhere, and nothing that a bad file could do."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow
from kitaru.errors import KitaruNotFoundError, KitaruStateError, KitaruUsageError
from kitaru.stack import assembly

Edit = Callable[[dict[str, bytes]], None]


@checkpoint(cache=True)
def large(letter: str) -> str:
    print("writing", letter)
    kitaru.log(cost=1)
    kitaru.save("note", {"letter": letter}, tags=["x"])
    return letter * 50_000


@flow
def writing(letter: str) -> str:
    return large(letter)


@pytest.fixture
def exported(tmp_path: Path) -> tuple[str, Path]:
    handle = writing.run("a", idempotency_key="order-1")
    handle.wait()
    file = tmp_path / "one.kitaru"
    KitaruClient().executions.export(handle.exec_id, file)
    return handle.exec_id, file


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    def move() -> Path:
        assembly.reset()
        directory = tmp_path / "elsewhere"
        monkeypatch.setenv("KITARU_CONFIG_PATH", str(directory))
        return directory

    return move


def stored(directory: Path) -> list[str]:
    return [path.name for path in directory.rglob("sha256/*")] + [path.name for path in directory.rglob("*.jsonl")]


def test_an_imported_execution_is_the_same(exported: tuple[str, Path], elsewhere: Callable[[], Path]) -> None:
    exec_id, file = exported
    client = KitaruClient()
    before, lines = client.executions.get(exec_id), client.executions.logs(exec_id)
    elsewhere()
    client = KitaruClient()
    assert client.executions.import_(file) == before
    assert client.executions.logs(exec_id) == lines and [line.message for line in lines] == ["writing a"]
    assert client.executions.result(exec_id) == "a" * 50_000
    assert client.artifacts.list(exec_id, name="note")[0].load() == {"letter": "a"}
    assert client.executions.import_(str(file)) == before
    assert len(client.executions.list()) == 1 and client.executions.logs(exec_id) == lines
    assert writing.run("a", idempotency_key="order-1").exec_id == exec_id


def test_importing_where_it_came_from_changes_nothing(exported: tuple[str, Path]) -> None:
    exec_id, file = exported
    before = KitaruClient().executions.get(exec_id)
    assert KitaruClient().executions.import_(file) == before


def test_results_of_a_file_answer_no_cached_call(exported: tuple[str, Path], elsewhere: Callable[[], Path]) -> None:
    elsewhere()
    KitaruClient().executions.import_(exported[1])
    handle = writing.run("a")
    handle.wait()
    assert not KitaruClient().executions.get(handle.exec_id).checkpoints[0].cached


def test_only_ended_executions_are_exported_and_no_torn_file_is_left(tmp_path: Path) -> None:
    @flow
    def asleep() -> None:
        kitaru.wait(name="go")

    handle = asleep.run()
    with pytest.raises(KitaruStateError, match="has not ended"):
        KitaruClient().executions.export(handle.exec_id, tmp_path / "x")
    with pytest.raises(KitaruNotFoundError):
        KitaruClient().executions.export("nope", tmp_path / "x")
    KitaruClient().executions.cancel(handle.exec_id)
    done = writing.run("b")
    done.wait()
    with pytest.raises(KitaruUsageError, match="cannot be written"):
        KitaruClient().executions.export(done.exec_id, tmp_path / "nowhere" / "x")
    assert not list(tmp_path.rglob("*partial-*")) or all(
        ".kitaru-partial" in path.name for path in tmp_path.rglob("*partial-*")
    )


def rewritten(file: Path, edit: Edit) -> None:
    """Edit an archive's members; the manifest is made to fit again unless the edit changes it itself."""
    import hashlib

    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    before = members["manifest.json"]
    edit(members)
    if members.get("manifest.json") == before:
        manifest = json.loads(before)
        manifest["members"] = {
            name: [len(data), hashlib.sha256(data).hexdigest()]
            for name, data in members.items()
            if name != "manifest.json"
        }
        members["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def changed(name: str, edit: Callable[[Any], Any]) -> Edit:
    def apply(members: dict[str, bytes]) -> None:
        lines = [edit(json.loads(line)) for line in members[name].splitlines()]
        members[name] = b"\n".join(json.dumps(line).encode() for line in lines)

    return apply


def tampered(members: dict[str, bytes]) -> None:
    """A value is exchanged, the manifest left as it was."""
    (name,) = [one for one in members if one.startswith("values/")]
    members[name] = members[name].replace(b"a", b"b")
    members["manifest.json"] += b" "


def without_value(members: dict[str, bytes]) -> None:
    for name in [one for one in members if one.startswith("values/")]:
        del members[name]


def with_member(name: str, data: bytes = b"x") -> Edit:
    return lambda members: members.update({name: data})


BAD: dict[str, tuple[Edit, str]] = {
    "climbs out": (with_member("values/../../../evil"), "does not belong"),
    "absolute": (with_member("/etc/evil"), "does not belong"),
    "unknown member": (with_member("hook.py"), "does not belong"),
    "no manifest": (lambda members: members.pop("manifest.json"), "no manifest"),
    "manifest is no JSON": (with_member("manifest.json", b"{"), "manifest cannot be read"),
    "deep manifest": (with_member("manifest.json", b"[" * 100_000), "manifest cannot be read"),
    "another format": (changed("manifest.json", lambda one: {**one, "format": "x"}), "manifest cannot be read"),
    "newer version": (changed("manifest.json", lambda one: {**one, "version": 2}), "upgrade Kitaru"),
    "member missing": (lambda members: members.pop("waits.jsonl"), "not those that its manifest names"),
    "tampered value": (tampered, "digest mismatch"),
    "value missing": (without_value, "lacks the value"),
    "still running": (changed("execution.json", lambda one: {**one, "status": "running"}), "no execution that has"),
    "id is a path": (changed("execution.json", lambda one: {**one, "exec_id": "../../x"}), "cannot be read"),
    "wrong type": (changed("execution.json", lambda one: {**one, "spec": [1]}), "spec has another type"),
    "same place twice": (changed("entries.jsonl", lambda one: {**one, "seq": 1}), "out of order"),
    "unknown kind": (changed("entries.jsonl", lambda one: {**one, "kind": 99}), "cannot be read"),
    "unknown field": (changed("entries.jsonl", lambda one: {**one, "odd": 1}), "cannot be read"),
    "foreign reference": (
        changed("execution.json", lambda one: {**one, "result": [*one["result"][:4], "secrets/key"]}),
        "refers to a value under",
    ),
    "log of another type": (changed("logs.jsonl", lambda one: {**one, "message": 1}), "message has another type"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_refused_and_leaves_nothing(
    exported: tuple[str, Path], elsewhere: Callable[[], Path], name: str
) -> None:
    _, file = exported
    edit, said = BAD[name]
    rewritten(file, edit)
    directory = elsewhere()
    with pytest.raises(KitaruUsageError, match=said) as caught:
        KitaruClient().executions.import_(file)
    assert str(file) in str(caught.value)
    assert KitaruClient().executions.list() == []
    assert stored(directory) == []


def test_what_is_no_archive_is_refused(tmp_path: Path, exported: tuple[str, Path]) -> None:
    _, file = exported
    whole = file.read_bytes()
    for data in (b"", b"no zip", whole[: len(whole) // 2], whole[:-30]):
        (tmp_path / "broken").write_bytes(data)
        with pytest.raises(KitaruUsageError, match="not imported"):
            KitaruClient().executions.import_(tmp_path / "broken")
    with pytest.raises(KitaruUsageError, match="cannot be read"):
        KitaruClient().executions.import_(tmp_path / "missing")


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, exported: tuple[str, Path]) -> None:
    _, file = exported
    bomb = tmp_path / "bomb"
    shutil.copy(file, bomb)
    with zipfile.ZipFile(bomb, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("values/" + "0" * 64, b"\0" * 20_000_000)
    assert bomb.stat().st_size < 100_000
    with pytest.raises(KitaruUsageError, match="holds more than 1000000 bytes"):
        KitaruClient().executions.import_(bomb, max_bytes=1_000_000)


def test_a_symbolic_link_and_a_double_member_are_refused(tmp_path: Path, exported: tuple[str, Path]) -> None:
    _, file = exported
    link = zipfile.ZipInfo("values/" + "0" * 64)
    link.external_attr = 0o120777 << 16
    bad = tmp_path / "bad"
    shutil.copy(file, bad)
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(KitaruUsageError, match="does not belong"):
        KitaruClient().executions.import_(bad)
    shutil.copy(file, bad)
    with zipfile.ZipFile(bad, "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("execution.json", "{}")
    with pytest.raises(KitaruUsageError, match="one of them twice"):
        KitaruClient().executions.import_(bad)

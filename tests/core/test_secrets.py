"""get_secret() and the secrets of the client: found by name, and shown nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

import kitaru
from kitaru import KitaruClient, checkpoint, flow, get_secret
from kitaru.errors import KitaruBackendError, KitaruNotFoundError, KitaruUsageError

VALUE = "a-value-that-nobody-may-see"


@checkpoint
def use_it() -> int:
    return len(get_secret("openai")["API_KEY"])


@flow
def using() -> int:
    length: int = use_it()
    return length


def test_a_secret_is_found_inside_and_outside_of_flows(own_store: Path) -> None:
    secrets = KitaruClient().secrets
    secrets.set("openai", {"API_KEY": VALUE})
    assert get_secret(" openai ") == {"API_KEY": VALUE}
    assert using.run().wait() == len(VALUE)
    for file in [one for one in own_store.rglob("*") if one.is_file() and one.parent.name != "secrets"]:
        assert VALUE.encode() not in file.read_bytes(), file


def test_setting_adds_and_replaces_values() -> None:
    secrets = KitaruClient().secrets
    made = secrets.set("one", {"A": "1", "B": VALUE})
    assert made.keys == ["A", "B"] and VALUE not in repr(made)
    assert secrets.set("one", {"A": "2"}).values == {"A": "2", "B": VALUE}
    assert secrets.get("one").values == {"A": "2", "B": VALUE}
    assert secrets.list() == ["one"]
    secrets.delete("one")
    assert secrets.list() == []
    with pytest.raises(KitaruNotFoundError, match="one"):
        get_secret("one")


def test_files_are_private_also_where_they_were_not(own_store: Path) -> None:
    folder = own_store / "secrets"
    folder.mkdir(parents=True, mode=0o755)
    KitaruClient().secrets.set("one", {"A": VALUE})
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {(folder / name).stat().st_mode & 0o777 for name in os.listdir(folder)} == {0o600}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("one", {}),
        ("one", {"9A": VALUE}),
        ("one", {"A-B": VALUE}),
        ("one", {VALUE: "A"}),
        ("one", {"A": ""}),
        ("one", {"A": 3}),
        ("../one", {"A": VALUE}),
        (".one", {"A": VALUE}),
        ("a/b", {"A": VALUE}),
        ("", {"A": VALUE}),
    ],
)
def test_bad_names_keys_and_values(own_store: Path, name: str, values: dict[str, Any]) -> None:
    with pytest.raises(KitaruUsageError) as raised:
        KitaruClient().secrets.set(name, values)
    assert VALUE not in str(raised.value)
    assert not (own_store / "secrets").exists()


def test_a_blank_name_and_a_damaged_file(own_store: Path) -> None:
    with pytest.raises(KitaruUsageError, match="blank"):
        kitaru.get_secret(" ")
    KitaruClient().secrets.set("one", {"A": VALUE})
    (own_store / "secrets" / "one.json").write_text("{" + VALUE)
    with pytest.raises(KitaruBackendError, match="Set `one` anew") as raised:
        get_secret("one")
    assert VALUE not in str(raised.value)


def test_two_who_set_values_of_one_secret_at_once_lose_nothing(own_store: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: KitaruClient().secrets.set("shared", {f"KEY_{number}": VALUE}), range(24)))
    assert len(KitaruClient().secrets.get("shared").keys) == 24

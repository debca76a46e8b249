"""Stored bytes never run code, never import, and never take the process down."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import sys
import threading
import types

import pytest

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal.codec import Codec

CODEC = Codec()
STRICT = Codec(allow_pickle=False)


@dataclasses.dataclass
class Vanishing:
    a: int


class Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


@pytest.fixture
def bomb():
    Bomb.exploded = False
    return pickle.dumps(Bomb())


@pytest.mark.parametrize("codec", ["json", "typed", "text", "bytes"])
def test_a_pickle_bomb_under_another_tag_never_runs(bomb, codec):
    try:
        CODEC.decode(codec, bomb)
    except KitaruCorruptionError:
        pass
    assert not Bomb.exploded


@pytest.mark.parametrize("place", ["top", "list", "dict", "tuple"])
def test_a_pickle_marker_inside_a_stored_value_never_runs(bomb, place):
    marked = {"$type": "pickle", "v": base64.b64encode(bomb).decode()}
    tree = {"top": marked, "list": [marked], "dict": {"a": marked}, "tuple": {"$type": "tuple", "v": [marked]}}[place]
    with pytest.raises(KitaruCorruptionError, match="unknown marker 'pickle'"):
        CODEC.decode("typed", json.dumps(tree).encode())
    if place != "top":  # an argument may be pickled as a whole, never in part
        with pytest.raises(KitaruCorruptionError):
            CODEC.decode_argument(json.dumps(tree))
    assert not Bomb.exploded


def test_pickle_is_refused_where_it_is_ruled_out(bomb):
    for read in (
        lambda: STRICT.decode("pickle", bomb),
        lambda: STRICT.decode_argument(json.dumps({"$type": "pickle", "v": base64.b64encode(bomb).decode()})),
    ):
        with pytest.raises(KitaruSerializationError, match="allow_pickle=False"):
            read()
    assert not Bomb.exploded
    CODEC.decode("pickle", bomb)
    assert Bomb.exploded, "the bomb is a real one"


def test_nothing_is_pickled_where_it_is_ruled_out():
    with pytest.raises(
        KitaruSerializationError, match=r"the part \['f'\]\[0\] of type builtins\.function.*allow_pickle"
    ):
        STRICT.encode({"f": [lambda: 1]})
    with pytest.raises(KitaruSerializationError, match="allow_pickle=False"):
        STRICT.encode_argument(lambda: 1)


@pytest.mark.parametrize("kind", ["dataclass", "pydantic", "enum", "namedtuple", "exception"])
@pytest.mark.parametrize(
    "name",
    ["os:system", "builtins:eval", "subprocess:Popen", "builtins:object", "sys:modules", "no.such:Thing", "", ":", "a"],
)
def test_a_stored_class_name_picks_only_classes_of_its_kind(kind, name):
    tree = {"$type": kind, "class": name, "v": [], "set": []}
    with pytest.raises((KitaruCorruptionError, KitaruSerializationError)):
        CODEC.decode("typed", json.dumps(tree).encode())


def test_looking_a_class_up_never_imports(monkeypatch):
    lazy = types.ModuleType("kitaru_test_lazy")
    asked = []
    lazy.__getattr__ = lambda name: asked.append(name)
    monkeypatch.setitem(sys.modules, "kitaru_test_lazy", lazy)
    before = set(sys.modules)
    for name in ("kitaru_test_lazy:Thing", "xml.dom.minidom:Node", "kitaru:flow"):
        with pytest.raises(KitaruSerializationError, match="not loaded in this process"):
            CODEC.decode("typed", json.dumps({"$type": "dataclass", "class": name, "v": {}}).encode())
    assert asked == [] and set(sys.modules) == before


def test_a_class_that_vanished_or_changed_is_named(monkeypatch):
    encoded = CODEC.encode([Vanishing(1)])
    module = sys.modules[Vanishing.__module__]
    monkeypatch.delattr(module, "Vanishing")
    with pytest.raises(KitaruSerializationError, match=r"Vanishing`, which is not loaded.*moved, renamed"):
        CODEC.decode(encoded.codec, encoded.data)
    monkeypatch.setattr(module, "Vanishing", int, raising=False)
    with pytest.raises(KitaruCorruptionError, match="is a dataclass, which it is not"):
        CODEC.decode(encoded.codec, encoded.data)


def nested(levels):
    value = []
    for _ in range(levels):
        value = [value]
    return value


def cyclic():
    value = [1]
    value.append({"again": value})
    return value


@pytest.mark.parametrize("value", [nested(10_000), (nested(10_000),), cyclic(), {"a": cyclic()}, (cyclic(),)])
def test_what_is_too_deep_or_contains_itself_is_refused(value):
    with pytest.raises(KitaruSerializationError, match="contains itself, or is nested too deeply"):
        CODEC.encode(value)
    with pytest.raises(KitaruSerializationError, match="contains itself, or is nested too deeply"):
        CODEC.encode_argument(value)


def test_a_deeply_nested_row_is_corruption():
    for data in (b"[" * 10_000 + b"]" * 10_000, b'{"$type":"tuple","v":[' * 5_000 + b"]}" * 5_000):
        with pytest.raises(KitaruCorruptionError):
            CODEC.decode("typed", data)


def test_large_values_survive():
    text = "x" * 50_000_000
    encoded = CODEC.encode(text)
    assert encoded.codec == "text" and CODEC.decode("text", encoded.data) == text
    assert CODEC.decode_argument(CODEC.encode_argument(10**5_000)[0]) == 10**5_000


class Hostile:
    """Every look at it raises."""

    def __getattribute__(self, name):
        raise RuntimeError(f"do not touch {name}")


@dataclasses.dataclass
class Restless:
    a: int


def no_a_today(self):
    raise RuntimeError("no a today")


Restless.a = property(no_a_today)


FIGHTING = {
    "every look raises": Hostile,
    "inside": lambda: [Hostile()],
    "a property raises": lambda: object.__new__(Restless),
    "a lock": threading.Lock,
    "a lock inside": lambda: {"lock": (threading.Lock(),)},
}


@pytest.mark.parametrize("name", FIGHTING)
def test_values_that_fight_back_give_our_error(name):
    for codec in (CODEC, STRICT):
        for encode in (codec.encode, codec.encode_argument):
            with pytest.raises(KitaruSerializationError):
                encode(FIGHTING[name]())


def test_the_error_says_where_the_trouble_stands():
    with pytest.raises(KitaruSerializationError, match=r"the part \['rows'\]\[1\]\[0\] of type _thread\.lock"):
        CODEC.encode({"rows": [1, (threading.Lock(),)]})

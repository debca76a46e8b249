"""Arguments: bound to names, stored, digested, compared, and checked for changes."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal.codec import Codec
from kitaru.runtime.inputs import changed_arguments, compare, decode_inputs, encode_inputs

CODEC = Codec()


@dataclass
class Basket:
    items: list


def encoded(*args, parameters=("a", "b"), limit=16_384, **kwargs):
    return encode_inputs(parameters, args, kwargs, CODEC, inline_limit=limit)


def test_positional_and_keyword_arguments_are_one_thing():
    assert encoded(1, 2).data == b'{"a":1,"b":2}'
    assert encoded(1, 2).digest == encoded(1, b=2).digest == encoded(a=1, b=2).digest == encoded(b=2, a=1).digest
    assert encoded("x").digest == encoded(a="x").digest
    assert encoded(1, 2).digest != encoded(2, 1).digest
    assert encoded(1).digest != encoded(b=1).digest


def test_defaults_that_were_not_passed_are_left_out():
    assert json.loads(encoded(1).data) == {"a": 1}
    assert encoded().data == b"{}" and encoded().digest is not None


def test_extra_arguments_have_names():
    assert json.loads(encoded(1, 2, 3, 4).data) == {"a": 1, "b": 2, "args[2]": 3, "args[3]": 4}
    assert json.loads(encoded(1, parameters=()).data) == {"args[0]": 1}
    # def f(a, /, **more) called as f(1, a=2), and a ** dict with odd names
    both = encode_inputs(("a",), (1,), {"a": 2, "args[0]": 3, "**x": 4}, CODEC)
    assert json.loads(both.data) == {"a": 1, "**a": 2, "**args[0]": 3, "****x": 4}


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((), {}),
        ((1, "x"), {}),
        ((1,), {"c": (1, 2)}),
        ((), {"b": {3}}),
        ((1, 2, 3, b"4"), {"k": None}),
        (({"y": 1, "x": 2},), {}),
        ((1,), {"a": 2, "args[1]": 3}),
        ((lambda: 5,), {}),
    ],
)
def test_decoding_gives_the_call_back(args, kwargs):
    made = encode_inputs(("a", "b"), args, kwargs, CODEC, inline_limit=None)
    again_args, again_kwargs = decode_inputs(made.data, ("a", "b"), CODEC)
    if args and callable(args[0]):
        assert again_args[0]() == 5
        return
    assert (again_args, again_kwargs) == (args, kwargs)
    assert [list(one) for one in again_args if isinstance(one, dict)] == [list(o) for o in args if isinstance(o, dict)]


def test_arguments_passed_by_keyword_may_come_back_by_position():
    made = encode_inputs(("a", "b", "c"), (), {"b": 2, "a": 1, "d": 4}, CODEC, inline_limit=None)
    assert decode_inputs(made.data, ("a", "b", "c"), CODEC) == ((1, 2), {"d": 4})


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b"\xff"])
def test_damaged_inputs_are_corruption(data):
    with pytest.raises(KitaruCorruptionError):
        decode_inputs(data, ("a",), CODEC)
    with pytest.raises(KitaruCorruptionError):
        compare(data, b"{}")


def test_equal_arguments_have_one_digest_whatever_their_order():
    assert encoded({"x": 1, "y": [{"b": 1, "a": 2}]}).digest == encoded({"y": [{"a": 2, "b": 1}], "x": 1}).digest
    assert encoded({1: "a", 2: "b"}).digest == encoded({2: "b", 1: "a"}).digest
    assert encoded({"a", "b", "c"}).digest == encoded({"c", "b", "a"}).digest
    assert encoded({"x": 1}).digest != encoded({"x": 2}).digest


@settings(deadline=None)
@given(st.text(max_size=3_000))
def test_the_short_way_and_the_long_way_agree(text):
    short, long = encoded(text), encoded(a=text)
    assert (short.data, short.digest, short.mutable, short.complete) == (long.data, long.digest, (), True)


# -- large arguments --------------------------------------------------------------------------------------------


def test_large_arguments_are_stored_as_a_preview():
    large = encoded("x" * 20_000, 1)
    assert len(large.data) < 2_000
    stored = json.loads(large.data)
    assert stored["b"] == 1 and stored["a"]["$type"] == "preview" and stored["a"]["size"] == 20_002
    assert stored["a"]["v"].startswith('"xxx')
    assert large.digest == encoded("x" * 20_000, 1, limit=None).digest, "the digest is of the whole value"


def test_previews_are_compared_by_digest():
    one, same, other = encoded("x" * 20_000), encoded("x" * 20_000), encoded("x" * 20_001)
    assert compare(one.data, same.data) == []
    (difference,) = compare(one.data, other.data)
    assert difference.argument == "a" and "20002 characters" in difference.recorded
    assert "20003 characters" in difference.now
    big = {f"k{n}": n for n in range(3_000)}
    assert compare(encoded(big).data, encoded(dict(reversed(big.items()))).data) == []


# -- arguments that only pickle can store -----------------------------------------------------------------------


def test_pickled_arguments_are_exempt():
    alone = encoded(lambda: 1)
    assert alone.digest is None and not alone.complete
    one, other, changed = encoded(lambda: 1, 5), encoded(lambda: 2, 5), encoded(lambda: 1, 6)
    assert one.digest == other.digest != changed.digest, "the rest is compared"
    assert not one.complete and encoded(1, 5).complete
    assert compare(one.data, other.data) == []
    assert [difference.argument for difference in compare(one.data, changed.data)] == ["b"]
    assert compare(encoded(lambda: 1).data, encoded(1).data) == []


def test_a_large_pickled_argument_is_only_named():
    blob = b"x" * 50_000
    stored = json.loads(encoded(lambda: blob).data)
    assert stored["a"]["$type"] == "pickle" and stored["a"]["class"] == "builtins.function" and "v" not in stored["a"]


def test_an_argument_that_cannot_be_stored_is_named():
    with pytest.raises(KitaruSerializationError, match=r"argument `b`: .*lock"):
        encoded(1, threading.Lock())
    with pytest.raises(KitaruSerializationError, match=r"argument `key`"):
        encoded(key=threading.Lock())


# -- comparing --------------------------------------------------------------------------------------------------


def test_differences_name_the_argument_and_show_both_values():
    differences = compare(encoded(1, {"x": 1}).data, encoded(2, {"x": 1}, 3).data)
    assert [(one.argument, one.recorded, one.now) for one in differences] == [("a", "1", "2"), ("args[2]", "", "3")]
    (gone,) = compare(encoded(1, 2).data, encoded(1).data)
    assert (gone.argument, gone.recorded, gone.now) == ("b", "2", "")


def test_values_are_shown_readably_and_short():
    (shown,) = compare(encoded((1, "é")).data, encoded(Basket([1])).data)
    assert shown.recorded == '[1, "é"]' and shown.now == '{"Basket": {"items": [1]}}'
    (shown,) = compare(encoded("a" * 5_000).data, encoded("b" * 5_000).data)
    assert len(shown.recorded) < 200 and "5002 characters" in shown.recorded


def test_comparing_needs_no_class():
    recorded = b'{"a":{"$type":"dataclass","class":"gone.module:Gone","v":{"x":1}}}'
    now = recorded.replace(b'"x":1', b'"x":2')
    (difference,) = compare(recorded, now)
    assert difference.recorded == '{"Gone": {"x": 1}}'
    assert compare(recorded, recorded) == []


# -- changes during the call ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["x", 1, 1.5, None, True, b"x", 1j, (), (1, ("x", None))])
def test_what_cannot_change_is_not_watched(value):
    assert encoded(value).mutable == ()


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ([1], lambda value: value.append(2)),
        ({"a": [1]}, lambda value: value["a"].pop()),
        ({1}, lambda value: value.add(2)),
        (([1],), lambda value: value[0].append(2)),
        (Basket([1]), lambda value: value.items.append(2)),
        ({"a": 1}, lambda value: value.update(a=threading.Lock())),
    ],
)
@pytest.mark.parametrize("by_keyword", [False, True])
def test_a_changed_argument_is_named(value, change, by_keyword):
    import copy

    value = copy.deepcopy(value)
    args, kwargs = (("x",), {"b": value}) if by_keyword else (("x", value), {})
    made = encode_inputs(("a", "b"), args, kwargs, CODEC)
    assert changed_arguments(made, ("a", "b"), args, kwargs, CODEC) == []
    change(value)
    assert changed_arguments(made, ("a", "b"), args, kwargs, CODEC) == ["b"]


def test_another_order_is_no_change():
    value = {"a": 1, "b": 2}
    made = encoded(value)
    value["a"] = value.pop("a")
    assert changed_arguments(made, ("a", "b"), (value,), {}, CODEC) == []

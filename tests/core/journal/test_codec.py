"""The codec: what comes out equals what went in, with its exact type, and equal values have one canonical text."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
import pathlib
import typing
import uuid
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kitaru.errors import KitaruCorruptionError, KitaruSerializationError
from kitaru.journal.codec import Codec

CODEC = Codec()


class Colour(enum.Enum):
    RED = "r"
    BLUE = (1, 2)


class Level(enum.IntEnum):
    LOW = 1


class Word(enum.StrEnum):
    YES = "yes"


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Point(typing.NamedTuple):
    x: int
    y: object = None


Legacy = collections.namedtuple("Legacy", "a b")


@dataclasses.dataclass
class Plain:
    a: object
    b: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    a: object
    hidden: object = dataclasses.field(default=None, init=False, repr=False)


@dataclasses.dataclass
class Strict:
    """Refuses to be made the usual way a second time: decoding must not call it."""

    a: object
    calls: typing.ClassVar[int] = 0

    def __post_init__(self):
        type(self).calls += 1


class Model(pydantic.BaseModel):
    name: str
    tags: list[object] = []
    _secret: int = pydantic.PrivateAttr(default=7)


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    a: int


class Roots(pydantic.RootModel[list[int]]):
    pass


T = typing.TypeVar("T")


class Box(pydantic.BaseModel, typing.Generic[T]):
    value: T


class Trouble(ValueError):
    def __init__(self, code, detail):
        super().__init__(f"trouble {code}")
        self.code, self.detail = code, detail


ZONES = [None, UTC, timezone(timedelta(hours=-5, minutes=-30)), timezone(timedelta(hours=1), "CET"), ZoneInfo("UTC")]

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(alphabet=st.characters(exclude_categories=())),  # lone surrogates too
    st.binary(),
    st.binary().map(bytearray),
    st.complex_numbers(allow_nan=False),
    st.datetimes(timezones=st.sampled_from(ZONES)),
    st.dates(),
    st.times(timezones=st.sampled_from([None, UTC])),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.sampled_from([*Colour, *Level, *Word, *Access, Access.READ | Access.WRITE, ..., range(3), range(9, 1, -2)]),
    st.sampled_from([pathlib.PurePosixPath("/a/ b"), pathlib.PureWindowsPath("c:\\x"), pathlib.Path("rel")]),
)
hashables = st.recursive(
    scalars.filter(lambda value: not isinstance(value, bytearray)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple),
        st.frozensets(inner, max_size=3),
        st.builds(Point, st.integers(), inner),
        st.builds(Frozen, inner),
    ),
    max_leaves=5,
)
marker_keys = st.sampled_from(["$type", "v", "class", "set", "$type ", "$$type"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.sets(hashables, max_size=4),
        st.frozensets(hashables, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=4), marker_keys), inner, max_size=4),
        st.dictionaries(hashables, inner, max_size=4),
        st.dictionaries(st.just("$type"), st.sampled_from(["tuple", "pickle", "dict", "exception", "custom:x"])),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(collections.OrderedDict),
        st.dictionaries(hashables, st.integers(-3, 3), max_size=3).map(collections.Counter),
        st.dictionaries(st.text(max_size=3), inner, max_size=3).map(lambda d: collections.defaultdict(list, d)),
        st.builds(collections.deque, st.lists(inner, max_size=3), st.sampled_from([None, 5])),
        st.builds(Point, st.integers(), inner),
        st.builds(Legacy, inner, inner),
        st.builds(Plain, inner, st.lists(inner, max_size=2)),
        st.builds(Model, name=st.text(max_size=4), tags=st.lists(inner, max_size=2)),
        st.builds(Open, a=st.integers(), extra=inner),
    ),
    max_leaves=8,
)


def same(left, right):
    """Equal, and of the same types all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or (
            left == right and math.copysign(1, left) == math.copysign(1, right)
        )
    if isinstance(left, dict):
        return len(left) == len(right) and all(
            same(a, b) and same(left[a], right[b]) for a, b in zip(left, right, strict=True)
        )
    if isinstance(left, (list, tuple, collections.deque)):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (set, frozenset)):
        return left == right and sorted(map(repr, map(type, left))) == sorted(map(repr, map(type, right)))
    if isinstance(left, BaseException):
        return same(left.args, right.args) and same(left.__dict__, right.__dict__)
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, one.name), getattr(right, one.name)) for one in dataclasses.fields(left))
    if isinstance(left, pydantic.BaseModel):
        return left == right and same(left.__dict__, right.__dict__)
    if isinstance(left, (datetime, time)):
        return left == right and left.fold == right.fold and repr(left.tzinfo) == repr(right.tzinfo)
    return left == right


def round_trip(value, codec=CODEC):
    encoded = codec.encode(value)
    return codec.decode(encoded.codec, encoded.data)


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_value_comes_back_as_it_was(value):
    encoded = CODEC.encode(value)
    assert encoded.codec != "pickle", "all of these have a readable form"
    assert same(CODEC.decode(encoded.codec, encoded.data), value)


@settings(max_examples=200, deadline=None)
@given(values)
def test_every_argument_comes_back_as_it_was(value):
    text, canonical = CODEC.encode_argument(value)
    assert canonical is not None
    assert text.isascii()
    assert same(CODEC.decode_argument(text), value)


def shuffled(value, chance):
    """An equal value, its keys and members in another order."""
    if type(value) is dict:
        items = [(key, shuffled(item, chance)) for key, item in value.items()]
        chance.shuffle(items)
        return dict(items)
    if type(value) is list:
        return [shuffled(item, chance) for item in value]
    if type(value) is set:
        members = list(value)
        chance.shuffle(members)
        return set(members)
    return value


@settings(max_examples=200, deadline=None)
@given(values, st.randoms(use_true_random=False))
def test_equal_values_have_one_canonical_text(value, chance):
    _, canonical = CODEC.encode_argument(value)
    _, again = CODEC.encode_argument(shuffled(value, chance))
    assert canonical == again


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (1, True),
        (1, 1.0),
        ("1", 1),
        ([1], (1,)),
        ({"a": 1}, {"a": 2}),
        ({1: "x"}, {"1": "x"}),
        ({1, 2}, frozenset({1, 2})),
        (None, "null"),
        (b"x", "x"),
        (Point(1, 2), (1, 2)),
        ([1, 2], [2, 1]),
        (collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1)),
        ({"$type": "tuple", "v": [1]}, (1,)),
        (Level.LOW, 1),
    ],
)
def test_different_values_have_different_texts(left, right):
    assert CODEC.encode_argument(left)[1] != CODEC.encode_argument(right)[1]


@pytest.mark.parametrize(
    "value",
    [
        {"$type": "tuple", "v": [1, 2]},
        {"$type": "pickle", "v": "gASVAAAA"},
        [{"$type": "exception", "class": "builtins:SystemExit", "v": []}],
        {"a": {"$type": None}},
        {"$type": {"$type": "dict", "v": []}},
        ({"$type": 1},),
    ],
)
def test_data_cannot_imitate_a_marker(value):
    assert same(round_trip(value), value)
    assert same(CODEC.decode_argument(CODEC.encode_argument(value)[0]), value)


@pytest.mark.parametrize(
    ("value", "codec"),
    [
        ({"a": [1, 2.5, None, True, "x"]}, "json"),
        ("text", "text"),
        (b"bytes", "bytes"),
        (None, "json"),
        (5, "json"),
        ((1, 2), "typed"),
        ({"a": {1, 2}}, "typed"),
        (float("nan"), "typed"),
    ],
)
def test_the_tag_says_how_readable_a_value_is(value, codec):
    encoded = CODEC.encode(value)
    assert encoded.codec == codec
    assert same(CODEC.decode(encoded.codec, encoded.data), value)


def test_decoding_runs_no_init_and_no_validator():
    value = Strict(1)
    before = Strict.calls
    assert same(round_trip(value), value)
    assert Strict.calls == before
    odd = Model.model_construct(name=12, tags="not a list")  # would not validate
    assert round_trip(odd).__dict__ == odd.__dict__


def test_models_keep_private_extra_and_set_fields():
    value = Open(a=1, more=[1, (2,)])
    value.later = 3
    again = round_trip(value)
    assert again == value and again.model_extra == {"more": [1, (2,)], "later": 3}
    model = Model(name="x")
    model._secret = 9
    again = round_trip(model)
    assert again._secret == 9 and again.model_fields_set == {"name"} and isinstance(again, Model)
    assert round_trip(Roots([1, 2])) == Roots([1, 2])


def test_a_parametrised_model_is_made_where_nobody_has_named_it():
    data = CODEC.encode(Box[Model](value=Model(name="x")))
    assert data.codec == "typed"
    for name in [name for name in globals() if name.startswith("Box[")]:
        del globals()[name]
    again = CODEC.decode(data.codec, data.data)
    assert isinstance(again, Box) and again.value == Model(name="x")
    assert round_trip(Box[list[int]](value=[1])).value == [1]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x", 1),
        KeyError("k"),
        Trouble(404, {"deep": (1, 2)}),
        FileNotFoundError(2, "No such file", "/nowhere"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        ExceptionGroup("several", [ValueError(1), Trouble(1, 2)]),
        BaseExceptionGroup("worse", [KeyboardInterrupt()]),
        StopIteration(5),
        ImportError("no", name="mod", path="/p"),
        SystemExit(3),
    ],
)
def test_exceptions_are_values_too(error):
    error.add_note("seen at noon")
    again = round_trip([error])[0]
    assert type(again) is type(error) and str(again) == str(error) and repr(again) == repr(error)
    assert again.__notes__ == ["seen at noon"]
    for name in ("errno", "filename", "code", "detail", "value", "name", "path", "start"):
        assert repr(getattr(again, name, None)) == repr(getattr(error, name, None)), name


def test_what_has_no_readable_form_is_pickled_and_says_so():
    def local(x):
        return x + 1

    encoded = CODEC.encode({"function": local})
    assert encoded.codec == "pickle"
    assert CODEC.decode("pickle", encoded.data)["function"](1) == 2
    text, canonical = CODEC.encode_argument([local])
    assert canonical is None, "pickles of equal values may differ: they are not compared"
    assert CODEC.decode_argument(text)[0](1) == 2


def test_state_outside_the_fields_is_not_lost():
    value = Plain(1)
    value.extra = "kept"
    encoded = CODEC.encode(value)
    assert encoded.codec == "pickle"
    assert CODEC.decode("pickle", encoded.data).extra == "kept"


# -- serializers and aliases ------------------------------------------------------------------------------------


class Tensor:
    def __init__(self, numbers):
        self.numbers = numbers


class TensorSerializer:
    name = "tensor"
    type = f"{Tensor.__module__}:{Tensor.__qualname__}"

    def dump(self, value):
        if None in value.numbers:
            raise RuntimeError("no holes")
        return bytes(value.numbers)

    def load(self, data):
        if not data:
            raise RuntimeError("no data")
        return Tensor(list(data))


def test_a_registered_serializer_is_used_alone_and_inside():
    codec = Codec(serializers=[TensorSerializer()])
    assert codec.encode(Tensor([1, 2])).codec == "custom:tensor"
    assert round_trip(Tensor([1, 2]), codec).numbers == [1, 2]
    assert round_trip({"t": (Tensor([3]),)}, codec)["t"][0].numbers == [3]
    text, canonical = codec.encode_argument(Tensor([1]))
    assert text == canonical and codec.decode_argument(text).numbers == [1]


def test_a_missing_or_failing_serializer_is_an_error_that_names_it():
    codec = Codec(serializers=[TensorSerializer()])
    for value in (Tensor([1]), [Tensor([1])]):
        encoded = codec.encode(value)
        with pytest.raises(KitaruSerializationError, match=r"'tensor', which no installed plugin supplies"):
            CODEC.decode(encoded.codec, encoded.data)
    for value in (Tensor([None]), [Tensor([None])]):
        with pytest.raises(KitaruSerializationError, match="no holes"):
            codec.encode(value)
    with pytest.raises(KitaruSerializationError, match="no data"):
        codec.decode("custom:tensor", b"")


def test_a_scripts_classes_are_found_under_both_its_names(monkeypatch):
    import sys
    import types

    reloaded = types.ModuleType("__kitaru_main__")
    reloaded.Plain = type("Plain", (), {"__module__": "__kitaru_main__", "__dataclass_fields__": {}})
    monkeypatch.setitem(sys.modules, "__kitaru_main__", reloaded)
    codec = Codec(aliases={"__main__": "__kitaru_main__"})
    value = object.__new__(reloaded.Plain)
    encoded = codec.encode(value)
    assert b'"__main__:Plain"' in encoded.data, "stored under the name it had first"
    assert type(codec.decode(encoded.codec, encoded.data)) is reloaded.Plain


@pytest.mark.parametrize("data", [b"", b"{", b"[1,", b"\xff", b"{}x", b"[" * 100_000])
@pytest.mark.parametrize("codec", ["json", "typed"])
def test_damaged_json_is_corruption(codec, data):
    with pytest.raises(KitaruCorruptionError):
        CODEC.decode(codec, data)


def test_unknown_tags_and_markers_are_corruption():
    with pytest.raises(KitaruCorruptionError, match="newer Kitaru"):
        CODEC.decode("holographic", b"")
    with pytest.raises(KitaruCorruptionError, match="unknown marker"):
        CODEC.decode("typed", b'{"$type":"hologram","v":1}')
    with pytest.raises(KitaruCorruptionError):
        CODEC.decode("text", b"\xff")


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=3),
        lambda inner: st.one_of(
            st.lists(inner, max_size=3),
            st.dictionaries(
                st.sampled_from(["$type", "v", "class", "set", "state", "notes", "factory", "maxlen"]),
                st.one_of(
                    inner,
                    st.sampled_from(
                        [
                            "tuple",
                            "set",
                            "dict",
                            "datetime",
                            "decimal",
                            "path",
                            "enum",
                            "dataclass",
                            "pydantic",
                            "namedtuple",
                            "exception",
                            "deque",
                            "Counter",
                            "defaultdict",
                            "float",
                            "int",
                            "zone",
                            "builtins:int",
                            "os:system",
                            "builtins:eval",
                            f"{__name__}:Plain",
                            f"{__name__}:Model",
                        ]
                    ),
                ),
            ),
        ),
        max_leaves=6,
    )
)
def test_any_json_decodes_or_is_refused_with_our_error(tree):
    import json

    try:
        CODEC.decode("typed", json.dumps(tree).encode())
    except (KitaruCorruptionError, KitaruSerializationError):
        pass


def test_known_scalars():
    for value in (
        date(1, 1, 1), datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("UTC")), timedelta.min, Decimal("sNaN"),
        Decimal("-0"), Fraction(-1, 3), uuid.UUID(int=5), complex("nan"), -0.0, float("inf"), 1 << 20_000, ...,
    ):  # fmt: skip
        assert repr(round_trip(value)) == repr(value) if not isinstance(value, int) else round_trip(value) == value

"""Looking at stored values without their types."""

from __future__ import annotations

import pickle
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from pydantic import BaseModel

from kitaru.errors import KitaruCorruptionError
from kitaru.journal.codec import Codec
from kitaru.journal.plain_values import as_data


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: Any


class Box(BaseModel):
    size: int
    inner: Any = None


Pair = namedtuple("Pair", "a b")
HERE = __name__


@pytest.mark.parametrize(
    ("value", "shown", "kind"),
    [
        ("text", "text", "str"),
        (None, None, "None"),
        ({"a": [1, 2.5, True]}, {"a": [1, 2.5, True]}, "dict"),
        ((1, (2, 3)), [1, [2, 3]], "tuple"),
        ({1: "one", (2, 3): "pair"}, {"1": "one", "[2, 3]": "pair"}, "dict"),
        ({"when": datetime(2026, 1, 2, tzinfo=UTC)}, {"when": "2026-01-02T00:00:00+00:00"}, "dict"),
        (Decimal("1.50"), "1.50", "decimal"),
        (Colour.RED, "RED", f"{HERE}.Colour"),
        (Point(1, Point(2, None)), {"x": 1, "y": {"x": 2, "y": None}}, f"{HERE}.Point"),
        (Box(size=3, inner=[Point(1, 2)]), {"size": 3, "inner": [{"x": 1, "y": 2}]}, f"{HERE}.Box"),
        (Pair(1, "b"), [1, "b"], f"{HERE}.Pair"),
        (ValueError("no", 3), ["no", 3], "builtins.ValueError"),
        (Counter(a=2), {"a": 2}, "Counter"),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}, "OrderedDict"),
        (defaultdict(list, a=[1]), {"a": [1]}, "defaultdict"),
        (deque([1, 2]), [1, 2], "deque"),
        (b"1234", "<bytes, 4 bytes>", "bytes"),
    ],
)
def test_what_is_shown(value: Any, shown: Any, kind: str) -> None:
    encoded = Codec().encode(value)
    assert as_data(encoded.codec, encoded.data) == (shown, kind)


def test_sets_in_any_order() -> None:
    encoded = Codec().encode({3, 1})
    value, kind = as_data(encoded.codec, encoded.data)
    assert sorted(value) == [1, 3] and kind == "set"


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('unpickled')",))


def test_a_pickle_is_described_and_never_loaded() -> None:
    data = pickle.dumps(Bomb())
    assert as_data("pickle", data) == (f"<pickle, {len(data)} bytes>", "pickle")


def test_values_of_foreign_serializers_are_described() -> None:
    assert as_data("custom:polars:DataFrame", b"123") == ("<polars:DataFrame, 3 bytes>", "polars:DataFrame")


@pytest.mark.parametrize(("codec", "data"), [("json", b"{"), ("typed", b"\xff"), ("text", b"\xff")])
def test_bytes_that_cannot_be(codec: str, data: bytes) -> None:
    with pytest.raises(KitaruCorruptionError):
        as_data(codec, data)

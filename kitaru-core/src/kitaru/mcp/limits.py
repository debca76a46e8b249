"""How much a tool may answer: an agent's context is small, and a result that fills it is of no use."""

from __future__ import annotations

import json
from typing import Any

DEFAULT_BYTES = 60_000
_MORE_TEXT = "... (+{} characters)"
_MORE_ITEMS = "... (+{} items)"
#: Lengths to which texts and lists are cut, one after the other, until the whole fits.
_STEPS = ((20_000, 500), (4_000, 200), (1_000, 100), (400, 40), (150, 15), (80, 5), (40, 2), (10, 1))


def limited(value: Any, most: int) -> tuple[Any, bool]:
    """``value`` (JSON data) cut until its JSON has at most ``most`` bytes, and whether it was cut.

    Long texts and lists lose their ends, which say how much is missing. What is nested too deep for that to help
    becomes a text.
    """
    if _size(value) <= most:
        return value, False
    cut = value
    for characters, items in _STEPS:
        cut = _cut(value, characters, items)
        if _size(cut) <= most:
            return cut, True
    text = json.dumps(cut, ensure_ascii=False)
    return text[: max(0, most // 4)] + _MORE_TEXT.format(len(text)), True


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def _cut(value: Any, characters: int, items: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= characters else value[:characters] + _MORE_TEXT.format(len(value) - characters)
    if isinstance(value, list):
        kept = [_cut(one, characters, items) for one in value[:items]]
        return kept if len(value) <= items else [*kept, _MORE_ITEMS.format(len(value) - items)]
    if isinstance(value, dict):
        return {key: _cut(one, characters, items) for key, one in value.items()}
    return value

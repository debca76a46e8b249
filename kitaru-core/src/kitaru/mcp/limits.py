"""How much a tool may answer: an agent's context is small, and a result that fills it is of no use."""

from __future__ import annotations

import json
from typing import Any

DEFAULT_BYTES = 60_000
_MORE_TEXT = "... (+{} characters)"
_MORE_ITEMS = "... (+{} items)"
_MORE_INSIDE = "... (cut)"
#: How long texts may be, how many items lists may have, and how deep is looked, one after the other, until the whole
#: fits. Ids and statuses, which the next call needs, are never cut.
_STEPS = (
    (20_000, 500, 99),
    (4_000, 200, 99),
    (1_000, 100, 99),
    (400, 40, 99),
    (150, 15, 99),
    (80, 5, 99),
    (64, 2, 99),
    (64, 1, 4),
    (64, 1, 3),
    (64, 1, 2),
    (64, 1, 1),
)


def limited(value: Any, most: int) -> tuple[Any, bool]:
    """``value`` (JSON data) cut until its JSON has at most ``most`` bytes, and whether it was cut.

    Long texts and lists lose their ends, which say how much is missing, then what is nested deep goes. What does not
    fit even so becomes a text.
    """
    if _size(value) <= most:
        return value, False
    cut = value
    for characters, items, depth in _STEPS:
        cut = _cut(value, characters, items, depth)
        if _size(cut) <= most:
            return cut, True
    text = json.dumps(cut, ensure_ascii=False)
    return text[: max(0, most // 4)] + _MORE_TEXT.format(len(text)), True


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace"))


def _cut(value: Any, characters: int, items: int, depth: int) -> Any:
    if isinstance(value, str):
        return value if len(value) <= characters else value[:characters] + _MORE_TEXT.format(len(value) - characters)
    if isinstance(value, (list, dict)) and depth == 0:
        return _MORE_INSIDE if value else value
    if isinstance(value, list):
        kept = [_cut(one, characters, items, depth - 1) for one in value[:items]]
        return kept if len(value) <= items else [*kept, _MORE_ITEMS.format(len(value) - items)]
    if isinstance(value, dict):
        return {key: _cut(one, characters, items, depth - 1) for key, one in value.items()}
    return value

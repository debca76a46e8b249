"""``kitaru stack create --file``: what a YAML file says of a stack, checked key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kitaru.errors import KitaruUsageError
from kitaru.stack.labels import CLI_STACK_OPTION_LABELS
from kitaru.stack.overrides import normalize_component_overrides_mapping
from kitaru.stack.types import catalog

_FLAGS = ("activate", "verify", "async")


def read(path: str | Path) -> dict[str, Any]:
    """The options in a file by their names with underscores; what is null or absent is left out.

    ``extra`` is a ``StackComponentConfigOverrides``, ``activate``, ``verify`` and ``async`` are bools, all others text.

    Raises KitaruUsageError: no such file, no YAML, no mapping; then keys that are no text, unknown keys, a key given in
    both spellings, and values of another type.
    """
    content = _parsed(Path(path))
    odd = sorted(repr(key) for key in content if not isinstance(key, str))
    if odd:
        raise KitaruUsageError(f"Stack config file '{path}' can only use string keys, got {', '.join(odd)}.")
    names = (
        "name",
        "type",
        "activate",
        *(one for one in catalog().fields if one != "verify"),
        "verify",
        "extra",
        "async",
    )
    spellings = {key: key.replace("-", "_") for key in content}
    unknown = sorted(key for key, name in spellings.items() if name not in names)
    if unknown:
        raise KitaruUsageError(f"Unsupported stack config keys in '{path}': {', '.join(unknown)}.")
    given: dict[str, str] = {}
    for key, name in spellings.items():
        if name in given:
            raise KitaruUsageError(f"Stack config file '{path}' gives one option twice: '{given[name]}' and '{key}'.")
        given[name] = key
    return {name: _checked(name, key, content[key], path) for name, key in given.items() if content[key] is not None}


def _parsed(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_bytes())
    except FileNotFoundError:
        raise KitaruUsageError(f"Stack config file '{path}' not found.") from None
    except OSError as error:
        raise KitaruUsageError(f"Stack config file '{path}' cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        # The parser's text may quote a line of the file, and that may be the one with the credentials.
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise KitaruUsageError(f"Invalid YAML in stack config file '{path}'{where}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise KitaruUsageError(f"Stack config file '{path}' must be a mapping of options at the top level.")
    return content


def _checked(name: str, key: str, value: Any, path: str | Path) -> Any:
    if name == "extra":
        if not isinstance(value, Mapping):
            raise KitaruUsageError(f"'{key}' in stack config file '{path}' must be a mapping.")
        return normalize_component_overrides_mapping(value, labels=CLI_STACK_OPTION_LABELS)
    if name in _FLAGS:
        if not isinstance(value, bool):
            raise KitaruUsageError(f"'{key}' in stack config file '{path}' must be true or false.")
        return value
    if not isinstance(value, str):
        raise KitaruUsageError(f"'{key}' in stack config file '{path}' must be a string: put it in quotes.")
    return value

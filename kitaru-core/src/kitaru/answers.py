"""Answers to waits: a type becomes JSON Schema, an answer is checked against it and becomes that type again."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kitaru.errors import KitaruSerializationError, KitaruUsageError, KitaruWaitValidationError
from kitaru.runtime import waiting
from kitaru.runtime.specs import stack_of

if TYPE_CHECKING:
    from kitaru.journal.records import WaitRecord
    from kitaru.runtime.kernel import Kernel

# The commonest schemas, as pydantic describes them: a flow that only asks yes or no need not load it.
_PLAIN: dict[Any, str] = {bool: "boolean", str: "string", int: "integer", float: "number"}
_SHOWN_MAX = 200
_PROBLEMS_MAX = 5


def json_schema(schema: Any, api: str) -> dict[str, Any] | None:
    """The JSON Schema that ``schema`` stands for: None, a JSON Schema object, or any type pydantic can describe.

    Raises KitaruUsageError, naming ``api``, when it is none of these.
    """
    if schema is None:
        return None
    if isinstance(schema, Mapping):
        return _checked(dict(schema), api)
    if any(schema is one for one in _PLAIN):
        return {"type": _PLAIN[schema]}
    from pydantic import PydanticUserError

    try:
        made: dict[str, Any] = _adapter(schema).json_schema()
    except (PydanticUserError, TypeError) as error:
        raise KitaruUsageError(
            f"{api}: schema={schema!r} cannot be described as JSON Schema ({str(error).splitlines()[0]}). Pass a type "
            "that pydantic knows, a pydantic model, or a JSON Schema object."
        ) from error
    return made


def accept(kernel: Kernel, wait: WaitRecord, value: Any) -> WaitRecord:
    """Check an answer in full and record it, exactly once.

    Raises KitaruWaitValidationError when it does not fit and KitaruSerializationError when it is too large (the wait
    stays open), and KitaruStateError when the wait has been ended before or its deadline is over.
    """
    plain = check(wait.schema, value, wait=wait.name, exec_id=wait.exec_id)
    stack = stack_of(kernel.journal.get(wait.exec_id).spec)
    try:
        answer = kernel.encode(plain, stack)
    except KitaruSerializationError as error:
        raise KitaruSerializationError(
            f"the answer to wait `{wait.name}` of execution {wait.exec_id} cannot be stored: {error} It is still open."
        ) from error.__cause__
    return waiting.resolve(kernel, wait, "answered", answer)


def check(schema: dict[str, Any] | None, value: Any, *, wait: str, exec_id: str) -> Any:
    """The answer as plain JSON data, if it fits. ``schema`` None: a gate, which takes no value.

    Raises KitaruWaitValidationError, naming wait, execution, and of each problem the path and the rule.
    """
    where = f"wait `{wait}` of execution {exec_id}"
    if schema is None:
        if value is not None:
            raise KitaruWaitValidationError(
                f"{where} takes no value: it has no schema, and is only let through. Leave the value out."
            )
        return None
    plain = _plain(value, where)
    problems = _problems(schema, plain)
    if problems:
        more = f" (and {len(problems) - _PROBLEMS_MAX} more)" if len(problems) > _PROBLEMS_MAX else ""
        told = "; ".join(problems[:_PROBLEMS_MAX])
        raise KitaruWaitValidationError(f"the answer does not fit {where}: {told}{more}. It is still open.")
    return plain


def typed(schema: Any, value: Any, *, wait: str, exec_id: str) -> Any:
    """A checked answer as the type the flow asked for: a model instance, a dataclass, or the plain value.

    Raises KitaruWaitValidationError when the type, which may check more than its JSON Schema says, refuses it.
    """
    if schema is None or isinstance(schema, Mapping):
        return value
    if any(schema is one for one in _PLAIN):
        return schema(value)  # JSON knows one kind of number: 3.0 is an integer to it, and 3 a number
    from pydantic import ValidationError

    try:
        return _adapter(schema).validate_json(json.dumps(value))
    except ValidationError as error:
        told = "; ".join(f"at {_path(one['loc'])}: {one['msg']} ({one['type']})" for one in error.errors())
        raise KitaruWaitValidationError(
            f"the recorded answer of wait `{wait}` of execution {exec_id} does not fit {schema!r} any more: {told}"
        ) from error


def _adapter(schema: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(_known_to_pydantic(schema))


def _known_to_pydantic(schema: Any) -> Any:
    """Before Python 3.12 pydantic wants TypedDicts of ``typing_extensions``: an equal one, where ``schema`` is not."""
    if sys.version_info >= (3, 12) or type(schema).__module__ != "typing" or not hasattr(schema, "__required_keys__"):
        return schema
    from typing import get_type_hints

    import typing_extensions as te

    hints = get_type_hints(schema, include_extras=True)
    fields = {
        name: te.Required[hint] if name in schema.__required_keys__ else te.NotRequired[hint]
        for name, hint in hints.items()
    }
    return te.TypedDict(schema.__name__, fields)  # type: ignore[operator]


def _checked(schema: dict[str, Any], api: str) -> dict[str, Any]:
    from jsonschema import SchemaError
    from jsonschema.validators import validator_for

    try:
        plain: dict[str, Any] = json.loads(json.dumps(schema, allow_nan=False))
        validator_for(plain, default=_default()).check_schema(plain)
    except SchemaError as error:
        raise KitaruUsageError(
            f"{api}: schema= is no valid JSON Schema: at {_path(error.absolute_path)}: {_short(error.message)}"
        ) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise KitaruUsageError(f"{api}: schema= is no JSON Schema: it is not JSON data ({error}).") from error
    return plain


def _problems(schema: dict[str, Any], value: Any) -> list[str]:
    from jsonschema import FormatChecker
    from jsonschema.validators import validator_for
    from referencing import Registry
    from referencing.exceptions import Unresolvable

    formats = FormatChecker()
    formats.checks("date-time", raises=ValueError)(_is_moment)
    # A registry of its own: a `$ref` to another place is never fetched.
    registry: Any = Registry()
    kind = validator_for(schema, default=_default())
    try:
        found = sorted(kind(schema, registry=registry, format_checker=formats).iter_errors(value), key=_order)
    except Unresolvable as error:
        return [f"the schema refers to {error.ref!r}, which it does not define (rule: $ref)"]
    except RecursionError:
        return ["the answer, or its schema, is nested too deeply"]
    return [
        f"at {_path(error.absolute_path)}: {_short(error.message)} (rule: {error.validator})"
        for error in map(_deepest, found)
    ]


def _deepest(error: Any) -> Any:
    """Of a choice (``anyOf``) that failed, the problem that comes closest; any other problem is itself."""
    from jsonschema.exceptions import best_match

    return error if not error.context else best_match([error])


def _default() -> Any:
    from jsonschema import Draft202012Validator

    return Draft202012Validator


def _order(error: Any) -> tuple[str, str]:
    return _path(error.absolute_path), str(error.validator)


def _is_moment(value: Any) -> bool:
    from datetime import datetime

    if isinstance(value, str):
        datetime.fromisoformat(value)
        return "T" in value.upper() or " " in value
    return True


def _plain(value: Any, where: str) -> Any:
    """``value`` as JSON data: models, dataclasses and dates may be passed as they are."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python

    try:
        plain = to_jsonable_python(value)
        json.dumps(plain, allow_nan=False)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise KitaruWaitValidationError(f"the answer to {where} is no JSON data: {error}") from error
    return plain


def _path(parts: Any) -> str:
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in parts)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}..."

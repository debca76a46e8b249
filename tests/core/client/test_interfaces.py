"""What the command line and agents share: error boundaries, filtered listings, a first look at answers."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from kitaru import KitaruClient, checkpoint, flow
from kitaru.client.boundaries import (
    run_with_cli_error_boundary,
    run_with_mcp_error_boundary,
    translate_to_user_error,
)
from kitaru.client.listing import latest_execution_filtered, list_executions_filtered
from kitaru.client.version import resolve_installed_version
from kitaru.client.wait_inputs import (
    _validate_schema_type,
    validate_pending_wait_input,
    validate_wait_input_schema,
)
from kitaru.errors import KitaruUsageError
from kitaru.models import Execution, PendingWait
from kitaru.statuses import ExecutionStatus


class Exited(Exception):
    """Stands in for the end of a command."""


def exits(command: str, message: str, *, output: str, error_type: str | None = None) -> NoReturn:
    raise Exited(command, message, output, error_type)


def raising(error: BaseException) -> Any:
    def operation() -> None:
        raise error

    return operation


def test_the_cli_boundary_translates_what_it_handles_and_lets_the_rest_pass() -> None:
    assert translate_to_user_error(KitaruUsageError("bad")).error_type == "KitaruUsageError"
    boundary = {"command": "x.y", "output": "json", "exit_with_error": exits}
    assert run_with_cli_error_boundary(lambda: 5, **boundary) == 5  # type: ignore[arg-type]
    with pytest.raises(Exited) as raised:
        run_with_cli_error_boundary(raising(KitaruUsageError("bad")), **boundary)  # type: ignore[arg-type]
    assert raised.value.args == ("x.y", "bad", "json", "KitaruUsageError")
    for passing in (KeyboardInterrupt(), SystemExit(2)):
        with pytest.raises(type(passing)):
            run_with_cli_error_boundary(raising(passing), **boundary)  # type: ignore[arg-type]
    with pytest.raises(KeyError):
        run_with_cli_error_boundary(raising(KeyError("k")), handled_exceptions=(ValueError,), **boundary)  # type: ignore[arg-type]


def test_the_mcp_boundary_keeps_the_original_unless_it_has_a_translator() -> None:
    original = KitaruUsageError("bad")
    with pytest.raises(KitaruUsageError) as raised:
        run_with_mcp_error_boundary(raising(original))
    assert raised.value is original
    with pytest.raises(RuntimeError, match="told") as translated:
        run_with_mcp_error_boundary(raising(original), translator=lambda _: RuntimeError("told"))
    assert translated.value.__cause__ is original


@checkpoint
def one() -> int:
    return 1


@flow
def single() -> int:
    result: int = one()
    return result


def test_filtered_listings_limit_what_matches_and_name_the_filters() -> None:
    client = KitaruClient()
    ids = [single.run() for _ in range(3)]
    for handle in ids:
        handle.wait()
    found = list_executions_filtered(client, flow="single", status="completed", stack="default", limit=2)
    assert [execution.exec_id for execution in found] == [ids[2].exec_id, ids[1].exec_id]
    assert latest_execution_filtered(client, flow=None, status=None, stack="default").exec_id == ids[2].exec_id
    with pytest.raises(ValueError, match="limit=0"):
        list_executions_filtered(client, flow=None, status=None, stack=None, limit=0)
    with pytest.raises(LookupError, match="flow='x' and status='failed' and stack='z'"):
        latest_execution_filtered(client, flow="x", status="failed", stack="z")


@pytest.mark.parametrize(
    ("value", "label", "fits"),
    [
        (None, "null", True),
        (True, "boolean", True),
        (1, "boolean", False),
        (1, "integer", True),
        (True, "integer", False),
        (1.5, "integer", False),
        (1.5, "number", True),
        (False, "number", False),
        ("x", "string", True),
        ([], "array", True),
        ((), "array", False),
        ({}, "object", True),
        (object(), "a label of the future", True),
    ],
)
def test_schema_types(value: Any, label: str, fits: bool) -> None:
    assert _validate_schema_type(value, label) is fits


def test_answers_are_checked_by_their_top_level_type_only() -> None:
    validate_wait_input_schema(wait_schema=None, value=object())
    validate_wait_input_schema(wait_schema={"minimum": 3}, value="x")
    validate_wait_input_schema(wait_schema={"type": ["string", "null"]}, value=None)
    with pytest.raises(ValueError, match="schema type: string, null"):
        validate_wait_input_schema(wait_schema={"type": ["string", "null"]}, value=1)


def test_only_the_pending_wait_is_checked() -> None:
    wait = PendingWait(wait_id="w-1", name="approve", schema={"type": "boolean"})
    execution = Execution(exec_id="e", status=ExecutionStatus.WAITING, pending_wait=wait)
    for selector in ("approve", "w-1"):
        with pytest.raises(ValueError, match="boolean"):
            validate_pending_wait_input(execution=execution, wait=selector, value="yes")
    validate_pending_wait_input(execution=execution, wait="another", value="yes")
    validate_pending_wait_input(execution=execution.model_copy(update={"pending_wait": None}), wait="approve", value=1)


def test_the_installed_version_is_that_of_the_distribution() -> None:
    from importlib.metadata import version

    assert resolve_installed_version() == version("kitaru-core")

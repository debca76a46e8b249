"""Options of components beyond the curated ones: reading, checking, merging."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kitaru.errors import KitaruUsageError
from kitaru.stack import overrides
from kitaru.stack.labels import CLI_STACK_OPTION_LABELS as CLI
from kitaru.stack.labels import MCP_STACK_OPTION_LABELS as MCP
from kitaru.stack.overrides import (
    StackComponentConfigOverrides,
    apply_async_override,
    deep_merge,
    merge_component_overrides,
    normalize_component_overrides_mapping,
    parse_cli_component_overrides,
    validate_component_override_targets,
)
from kitaru.stack.types import StackType

VALID = "Valid targets: artifact_store, container_registry, orchestrator."
TARGETS = ("orchestrator", "artifact_store", "container_registry")
keys = st.text("abcdef_", min_size=1, max_size=3)
leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.integers(), max_size=3)
trees = st.recursive(leaves, lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=8)
options = st.dictionaries(keys, trees, max_size=4)
many = st.builds(StackComponentConfigOverrides, options, options, options)


def paths(tree: Any, before: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """The leaves of a tree by their paths; an empty mapping is a leaf."""
    if not isinstance(tree, dict) or not tree:
        return {before: tree}
    return {path: leaf for key, value in tree.items() for path, leaf in paths(value, (*before, key)).items()}


@given(options, options)
def test_merging_changes_neither_and_the_later_one_wins(base: dict[str, Any], override: dict[str, Any]) -> None:
    before = copy.deepcopy((base, override))
    merged = deep_merge(base, override)
    assert (base, override) == before
    for path, leaf in paths(override).items():
        found = merged
        for key in path:
            found = found[key]
        assert found == leaf or (leaf == {} and isinstance(found, dict))
    for path, leaf in paths(base).items():
        if path and not any(path[: len(one)] == one or one[: len(path)] == path for one in paths(override)):
            found = merged
            for key in path:
                found = found[key]
            assert found == leaf


@given(options, options)
def test_the_result_shares_nothing_with_what_it_was_made_of(base: dict[str, Any], override: dict[str, Any]) -> None:
    before = copy.deepcopy((base, override))

    def ruin(tree: Any) -> None:
        for value in list(tree.values()):
            if isinstance(value, dict):
                ruin(value)
            elif isinstance(value, list):
                value.append("ruined")
        tree["ruined"] = True

    ruin(deep_merge(base, override))
    assert (base, override) == before


@given(many, many, many)
def test_merging_is_associative_and_none_is_nothing(
    a: StackComponentConfigOverrides, b: StackComponentConfigOverrides, c: StackComponentConfigOverrides
) -> None:
    assert merge_component_overrides(a, None) == a == merge_component_overrides(None, a)
    assert merge_component_overrides(a, None) is not a
    once = merge_component_overrides(merge_component_overrides(a, b), c)
    if not _kinds_clash(a, b, c):
        assert once == merge_component_overrides(a, merge_component_overrides(b, c))
    assert merge_component_overrides(None, None).is_empty()


def _kinds_clash(*ones: StackComponentConfigOverrides) -> bool:
    """Whether a mapping stands against something else somewhere: then what was replaced depends on the order."""
    kinds: dict[tuple[str, ...], set[bool]] = {}

    def note(tree: Any, path: tuple[str, ...]) -> None:
        kinds.setdefault(path, set()).add(isinstance(tree, dict))
        if isinstance(tree, dict):
            for key, value in tree.items():
                note(value, (*path, key))

    for one in ones:
        for target in TARGETS:
            note(getattr(one, target), (target,))
    return any(len(found) > 1 for found in kinds.values())


scalars = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.none()


@given(st.sampled_from(TARGETS), st.lists(st.text("abc_", min_size=1, max_size=4), min_size=1, max_size=3), scalars)
def test_what_is_written_as_a_flag_is_read_as_it_was(target: str, path: list[str], value: Any) -> None:
    text = yaml.safe_dump(value, width=10**6).removesuffix("\n...\n").rstrip("\n")
    found = parse_cli_component_overrides([f"{target}.{'.'.join(path)}={text}"], labels=CLI)
    for key in path:
        inner = getattr(found, target) if key is path[0] and not isinstance(found, dict) else found
        found = inner[key]
    assert found == value and type(found) is type(value)


@given(many)
def test_a_mapping_is_read_as_it_was(one: StackComponentConfigOverrides) -> None:
    raw = {target: getattr(one, target) for target in TARGETS}
    assert normalize_component_overrides_mapping(raw, labels=MCP) == one


def test_flags_are_merged_in_their_order() -> None:
    read = parse_cli_component_overrides(
        [
            "orchestrator.a.b=1",
            "orchestrator.a.c=x=y.z",
            "artifact_store.path=[1, two]",
            "orchestrator.a.b={t: true}",
            "orchestrator.d=plain",
            "orchestrator.d.e=2",
        ],
        labels=CLI,
    )
    assert read.orchestrator == {"a": {"b": {"t": True}, "c": "x=y.z"}, "d": {"e": 2}}
    assert read.artifact_store == {"path": [1, "two"]} and not read.is_empty()
    assert parse_cli_component_overrides([], labels=CLI).is_empty()


@pytest.mark.parametrize("text", ["orchestrator", "=1", ".a=1", "orchestrator.=1", "orchestrator.a..b=1", "a=1"])
def test_a_flag_of_another_form(text: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        parse_cli_component_overrides([text], labels=CLI)
    assert str(caught.value) == f"Invalid --extra value '{text}'. Use TARGET.FIELD=VALUE."


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "Orchestrator.a=1",
            "Unsupported --extra target 'Orchestrator'. " + VALID,
        ),
        ("orchestrator.a=", "TARGET.FIELD=VALUE"),
        ("orchestrator.a=[1", "Invalid --extra value '[1'"),
        ("orchestrator.a=2026-99-99", "Invalid --extra value"),
    ],
)
def test_a_flag_that_cannot_be(text: str, told: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        parse_cli_component_overrides([text], labels=CLI)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({1: {}}, "`extra` keys must be strings."),
        (
            {"scheduler": {}},
            "Unsupported `extra` target 'scheduler'. " + VALID,
        ),
        ({"orchestrator": [1]}, "`extra` orchestrator.* must be an object."),
        ({"orchestrator": {"a": {2: 3}}}, "`extra` orchestrator.* keys must be strings."),
    ],
)
def test_a_mapping_that_cannot_be(raw: dict[Any, Any], told: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        normalize_component_overrides_mapping(raw, labels=MCP)
    assert str(caught.value) == told


def test_a_path_through_something_else() -> None:
    assign = overrides._assign_nested_override
    root: dict[str, Any] = {"a": None, "b": 3}
    assign(root, ["a", "x"], 1)
    assert root == {"a": {"x": 1}, "b": 3}
    with pytest.raises(KitaruUsageError, match="'b' is not an object"):
        assign(root, ["b", "x"], 1)


def test_async_gives_way_to_what_the_user_said() -> None:
    said = StackComponentConfigOverrides(orchestrator={"synchronous": True})
    assert apply_async_override(said, async_enabled=True) is said
    assert apply_async_override(said, async_enabled=False) is said
    other = StackComponentConfigOverrides(orchestrator={"x": 1})
    assert apply_async_override(other, async_enabled=True).orchestrator == {"x": 1, "synchronous": False}
    assert apply_async_override(None, async_enabled=False).is_empty()


def test_a_local_stack_has_no_registry() -> None:
    registry = StackComponentConfigOverrides(container_registry={"a": 1})
    with pytest.raises(KitaruUsageError, match=r"--extra container_registry\.\* cannot be used with --type local"):
        validate_component_override_targets(StackType("local"), registry, labels=CLI)
    validate_component_override_targets(StackType("vertex"), registry, labels=CLI)
    for allowed in (None, StackComponentConfigOverrides({"a": 1}, {"b": 2})):
        validate_component_override_targets(StackType("local"), allowed, labels=CLI)

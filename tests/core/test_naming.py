"""Names of flows and checkpoints in an engine."""

from __future__ import annotations

from functools import partial

import pytest

from kitaru import naming


@pytest.mark.parametrize(
    ("raw", "flow", "checkpoint"),
    [
        ("my-flow.v2", "my_flow_v2", "my_flow_v2"),
        ("3rd_attempt", "flow_3rd_attempt", "checkpoint_3rd_attempt"),
        ("", "flow", "checkpoint"),
        ("---", "___", "___"),
        ("größe", "größe", "größe"),
    ],
)
def test_registered_names_and_aliases(raw: str, flow: str, checkpoint: str) -> None:
    assert naming.build_pipeline_registration_name(raw) == flow
    assert naming.build_checkpoint_registration_name(raw) == checkpoint
    assert naming.build_pipeline_source_alias(raw) == f"__kitaru_pipeline_source_{flow}"
    assert naming.build_checkpoint_source_alias(raw) == f"__kitaru_checkpoint_source_{checkpoint}"


def test_names_back() -> None:
    assert naming.callable_name(test_names_back) == "test_names_back"
    assert naming.callable_name(partial(print)) == "partial"
    assert naming.normalize_flow_name(None) is None and naming.normalize_flow_name("   ") is None
    assert naming.normalize_flow_name(42) == "42"
    assert naming.normalize_flow_name(" __kitaru_pipeline_source_f ") == "f"
    assert naming.normalize_checkpoint_name("__kitaru_checkpoint_source_c") == "c"
    both = "a __kitaru_pipeline_source_f and __kitaru_checkpoint_source_c2."
    assert naming.normalize_aliases_in_text(both) == "a f and c2."
    assert naming.normalize_aliases_in_text("") == "" and naming.normalize_aliases_in_text("plain") == "plain"

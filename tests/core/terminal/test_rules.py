"""An engine's wording becomes Kitaru's, or is dropped; everybody else's is shown as it is."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kitaru.terminal import rules

A = "__kitaru_checkpoint_source_"
P = "__kitaru_pipeline_source_"


@pytest.mark.parametrize(
    ("message", "kind", "text"),
    [
        (f"Step `{A}write` has started.", "info", "Checkpoint `write` started."),
        ("Step `write` launched.", "info", "Checkpoint `write` launched."),
        ("Skipping step `write`.", "info", "Skipping checkpoint `write`."),
        ("Step `write` has finished in `1.2s`.", "success", "Checkpoint `write` finished in 1.2s."),
        ("Step `write` finished successfully in 3s.", "success", "Checkpoint `write` finished in 3s."),
        ("Step `write` finished successfully.", "success", "Checkpoint `write` finished."),
        ("Using cached version of step `write`.", "detail", "Checkpoint `write` cached."),
        ("Step `write` failed.", "error", "Checkpoint `write` failed."),
        ("Step `write` failed after 2s.", "error", "Checkpoint `write` failed after 2s."),
        (
            f"Failed to run step `{A}write`: disk full\nat home",
            "error",
            "Checkpoint `write` failed: disk full\nat home",
        ),
        ("Step `w` failed. Remaining retries: 2.", "warning", "Checkpoint `w` failed. Retries remaining: 2."),
        ("Step `w` failed after 3s. Remaining retries: 2.", "warning", "Checkpoint `w` failed. Retries remaining: 2."),
        ("Step `write` stopped.", "warning", "Checkpoint `write` stopped."),
        ("Stopping isolated steps of the run", "warning", "Stopping isolated checkpoints."),
        (f"Initiating a new run for the pipeline: `{P}report`.", "info", "Starting flow `report`."),
        ("Pipeline `report` completed successfully.", "success", "Flow completed."),
        ("Pipeline run has finished in `4.1s`.", "success", "Execution finished in 4.1s."),
        (
            "Waiting on wait condition `wait_condition:0` (type=external_input, timeout=600s, poll=5s).",
            "info",
            "Waiting on `wait_condition:0` (type=external_input, timeout=600s, poll=5s).",
        ),
        ("Pausing pipeline run `abc`.", "warning", "Pausing execution `abc`."),
        ("Resuming run `abc`.", "info", "Resuming execution `abc`."),
        ("Continuing existing run `abc`.", "info", "Continuing execution `abc`."),
        ("Run `abc` is already finished.", "info", "Execution `abc` already finished."),
        ("Using stack: `prod`", "detail", "Stack: prod"),
        (f"Caching is disabled by default for `{P}f`.", "detail", "Caching disabled for `f`."),
        ("Dashboard URL for Pipeline Run: https://x/y", "detail", "Execution URL: https://x/y"),
        (f"Something about {A}write and {P}f", "info", "Something about write and f"),
    ],
)
def test_what_is_rewritten(message: str, kind: str, text: str) -> None:
    found = rules._apply_zenml_rules("zenml.any", message, logging.INFO)
    assert found == rules._TerminalDecision(kind, text)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        "You can visualize your pipeline runs in the `ZenML Dashboard`. In order to try it locally, please run ...",
        "Using user: `default`",
        "Using a build:",
        " Image(s): a, b",
        "ZenML version (different than the local version): 0.1",
        "Registered new pipeline: `f`.",
        "  orchestrator: `default`",
        "[ZML001](https://x) careful",
        "Uploading external artifact to 'x'.",
        "Finished uploading external artifact 7.",
        "Deploying a local ZenML server with name 'local'.",
        "Connecting to the local ZenML server",
        "Disconnected from the local ZenML server",
        "Tearing down the local ZenML server",
        "Updated the global store configuration.",
        "Migrating the ZenML database to the latest version",
        "Backing up the database before migration",
    ],
)
def test_what_is_dropped(message: str) -> None:
    assert rules._apply_zenml_rules("zenml.x", message, logging.WARNING) is None


@pytest.mark.parametrize(
    ("level", "kind"), [(10, "info"), (20, "info"), (30, "warning"), (35, "warning"), (40, "error"), (50, "error")]
)
def test_levels(level: int, kind: str) -> None:
    assert rules._level_to_kind(level) == kind
    record = logging.LogRecord("user.code", level, "f", 1, "Step `x` has started. %s", ("y",), None)
    before = dict(record.__dict__)
    assert rules._decide(record) == rules._TerminalDecision(kind, "Step `x` has started. y"), "not the engine's"  # type: ignore[arg-type]
    assert record.__dict__ == before
    assert rules._decide(logging.LogRecord("zenml.x", level, "f", 1, "Using a build:", (), None)) is None


@given(st.text())
def test_any_text_of_a_user_is_shown(text: str) -> None:
    record = logging.LogRecord("mine", logging.INFO, "f", 1, text, (), None)
    found = rules._decide(record)
    assert found is not None and (found.text == text or "__kitaru_" in text)

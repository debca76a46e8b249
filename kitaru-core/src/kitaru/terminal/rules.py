"""What is shown of a log record, and how: an engine's wording becomes Kitaru's, or is dropped.

The patterns follow the wording of ZenML 0.98. What none of them knows is shown as it is, without aliases.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Literal

from kitaru.naming import normalize_aliases_in_text, normalize_checkpoint_name

TerminalKind = Literal["info", "detail", "success", "warning", "error"]
ENGINE = "zenml"


@dataclass(frozen=True, slots=True)
class TerminalDecision:
    """A line to show."""

    kind: TerminalKind
    text: str


_N = r"`?(?P<n>[^`]+?)`?"
_D = r"`?(?P<d>[^`]+?)`?"

#: pattern of the whole message -> kind (None: by the record's level) and text. The first that fits is taken.
_WORDING: tuple[tuple[str, TerminalKind | None, str], ...] = (
    (rf"Step {_N} has started\.?", "info", "Checkpoint `{n}` started."),
    (rf"Step {_N} launched\.?", "info", "Checkpoint `{n}` launched."),
    (rf"Skipping step {_N}\.?", "info", "Skipping checkpoint `{n}`."),
    (rf"Step {_N} has finished in {_D}\.?", "success", "Checkpoint `{n}` finished in {d}."),
    (rf"Step {_N} finished successfully in {_D}\.?", "success", "Checkpoint `{n}` finished in {d}."),
    (rf"Step {_N} (?:has finished|finished successfully)\.?", "success", "Checkpoint `{n}` finished."),
    (rf"Using cached version of (?:step )?{_N}\.?", "detail", "Checkpoint `{n}` cached."),
    (
        rf"Step {_N} failed(?: after {_D})?\. Remaining retries: (?P<k>\d+)\.?",
        "warning",
        "Checkpoint `{n}` failed. Retries remaining: {k}.",
    ),
    (rf"Step {_N} failed after {_D}\.?", "error", "Checkpoint `{n}` failed after {d}."),
    (rf"Step {_N} failed\.?", "error", "Checkpoint `{n}` failed."),
    (rf"Failed to run step {_N}: (?P<reason>.*)", "error", "Checkpoint `{n}` failed: {reason}"),
    (rf"Failed to run step {_N}(?: after \d+ retries)?\.?", "error", "Checkpoint `{n}` failed."),
    (rf"Step {_N} stopped(?: after {_D})?\.?", "warning", "Checkpoint `{n}` stopped."),
    (r"Stopping (?:all )?isolated steps.*", "warning", "Stopping isolated checkpoints."),
    (rf"Initiating a new run for the pipeline: {_N}\.?", "info", "Starting flow `{n}`."),
    (r"Pipeline(?: `[^`]+`)? completed successfully\.?", "success", "Flow completed."),
    (rf"Pipeline run has finished in {_D}\.?", "success", "Execution finished in {d}."),
    (
        r"Waiting on wait condition `(?P<n>[^`]+)` \((?P<how>[^)]*)\)\.?",
        "info",
        "Waiting on `{n}` ({how}).",
    ),
    (rf"Pausing pipeline run {_N}\.?", "warning", "Pausing execution `{n}`."),
    (rf"Resuming run {_N}\.?", "info", "Resuming execution `{n}`."),
    (rf"Continuing existing run {_N}\.?", "info", "Continuing execution `{n}`."),
    (rf"Run {_N} is already finished\.?", "info", "Execution `{n}` already finished."),
    (rf"Using stack: {_N}\.?", "detail", "Stack: {n}"),
    (rf"Caching is disabled by default for {_N}\.?", "detail", "Caching disabled for `{n}`."),
    (r"Dashboard URL for Pipeline Run: (?P<n>\S+)", "detail", "Execution URL: {n}"),
)
_REWRITES = tuple((re.compile(pattern, re.DOTALL), kind, text) for pattern, kind, text in _WORDING)

#: Messages that say nothing to somebody who runs flows.
_DROPS: tuple[re.Pattern[str], ...] = tuple(
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"You can visualize your pipeline runs in the `ZenML Dashboard`.*",
        r"Models can be viewed in the dashboard using ZenML Pro.*",
        r"Using user: .*",
        r"Using a build:.*",
        r" Image\(s\): .*",
        r".* version \(different than the local version\): .*",
        r"Registered new pipeline.*",
        r"  [a-z_]+: `[^`]*`.*",
        r".*\[ZML\d+\]\(.*",
        r"Uploading external artifact.*",
        r"Finished uploading external artifact.*",
        r".*(?:[Dd]eploy|[Cc]onnect|[Tt]ear|[Ss]hut)[a-z]*(?: down)?\b.* local (?:ZenML )?(?:server|dashboard).*",
        r"The local ZenML (?:server|dashboard) .*",
        r"Updated the global store configuration.*",
        r"Setting the global .*",
        r".*(?:[Mm]igrating|[Mm]igration of) the (?:ZenML )?(?:database|global configuration).*",
        r".*(?:[Dd]atabase|[Cc]onfiguration) (?:backup|migration).*",
        r"(?:Backing up|Successfully backed up|Successfully cleaned up) .*database.*",
    )
)


def _level_to_kind(levelno: int) -> TerminalKind:
    if levelno >= logging.ERROR:
        return "error"
    return "warning" if levelno >= logging.WARNING else "info"


def _apply_zenml_rules(logger_name: str, msg: str, levelno: int) -> TerminalDecision | None:
    """The line for a message of the engine; None: it is not shown."""
    del logger_name  # the same wording means the same, whichever part of the engine says it
    if any(pattern.fullmatch(msg) for pattern in _DROPS):
        return None
    for pattern, kind, text in _REWRITES:
        found = pattern.fullmatch(msg)
        if found is not None:
            words = {name: _clean(value or "") for name, value in found.groupdict().items()}
            return TerminalDecision(kind or _level_to_kind(levelno), text.format(**words))
    return TerminalDecision(_level_to_kind(levelno), normalize_aliases_in_text(msg))


def _clean(name: str) -> str:
    return normalize_aliases_in_text(normalize_checkpoint_name(name))


def decide(record: logging.LogRecord) -> TerminalDecision | None:
    """The line for a record: the engine's by the rules, everybody else's as it is. The record is not changed."""
    message = record.getMessage()
    if record.name == ENGINE or record.name.startswith(f"{ENGINE}."):
        return _apply_zenml_rules(record.name, message, record.levelno)
    return TerminalDecision(_level_to_kind(record.levelno), normalize_aliases_in_text(message))


_TerminalKind = TerminalKind
_TerminalDecision = TerminalDecision
_decide = decide

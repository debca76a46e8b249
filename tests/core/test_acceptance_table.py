"""The acceptance checklist of the SDK's specification (section 28), line by line, and what stands for each line here.

A line is kept by tests of ours (named by file and function, checked to exist), decided otherwise on purpose (a number
of the design's list of decisions, section 11, and what holds instead), or belongs to a later issue.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Decided:
    """The design decides otherwise: its number there, and what holds instead."""

    number: int
    instead: str


@dataclass(frozen=True)
class Later:
    """What covers it is still to come."""

    where: str


@dataclass(frozen=True)
class Coming:
    """A test of a part of this issue that lands by itself: it must be there as soon as its file is."""

    test: str


Evidence = str | Decided | Later | Coming

LLM = Later("issue 5: model calls")
STACKS = Later("issue 4: stacks and providers")
SERVER = Later("issue 6: the server")

CALLS = "core/runtime/test_calls.py::"
RESUME = "core/runtime/test_resume.py::"
CONCURRENCY = "core/runtime/test_concurrency.py::"
CLIENT = "core/client/test_executions.py::"
LOGS = "core/client/test_logs.py::"
MODELS = "core/test_models.py::"
WAITS = "core/test_waits.py::"
SETTINGS = "core/config/test_settings.py::"
PUBLIC = "core/config/test_public_models.py::"
CONNECTION = "core/config/test_connection.py::"
FILES = "core/config/test_files.py::"
REDACTION = "core/config/test_redaction.py::"
LOG_STORE = "core/config/test_log_store.py::"
REPLAY = "core/runtime/test_replay.py::"
PLAN = "core/runtime/test_replay_plan.py::"
ARTIFACTS = "core/test_artifacts.py::"
METADATA = "core/test_metadata.py::"
REGISTRY = "core/config/test_model_registry.py::"

FLOWS: dict[str, list[Evidence]] = {
    "bare and parameterised decorators have .run; a direct call is a usage error": [
        CALLS + "test_plain_values_in_plain_values_out",
        CALLS + "test_a_flow_called_directly_is_refused_and_says_how_to_start_it",
        CALLS + "test_bad_flow_options_are_refused_at_decoration",
    ],
    "flows have .replay": [Coming(REPLAY + "test_from_runs_the_frontier_and_what_was_called_after_it")],
    "the stack is restored when a submission fails; bindings are serialised": [
        Decided(18, "no start switches anything process-wide, so nothing is to be restored or serialised"),
        "core/stack/test_assembly.py::test_there_is_no_stack_of_that_name",
        "core/stack/test_assembly.py::test_an_orchestrator_that_cannot_start_leaves_an_execution_to_resume",
    ],
    "what .run() says stands above the decorator": [
        PUBLIC + "test_resolving_an_execution",
        "core/stack/test_assembly.py::test_a_start_records_what_it_was_resolved_to",
    ],
    "the spec is persisted with the execution": [
        Decided(4, "it is committed with the execution, before anything starts"),
        REDACTION + "test_the_journal_gets_no_secret",
        RESUME + "test_settings_of_the_run_hold_after_a_resume",
    ],
    "a replay validates the connection before it loads the source": [
        Coming(REPLAY + "test_bad_replays_start_nothing"),
        Coming(PLAN + "test_the_order_of_the_checks"),
    ],
    "wait polls to completion": [
        Decided(8, "waiters are notified, and may give a timeout"),
        CONCURRENCY + "test_a_handle_can_time_out_and_the_execution_goes_on",
        CONCURRENCY + "test_a_handle_is_awaitable",
    ],
    "get while running is a state error": [
        CLIENT + "test_result_of_an_unfinished_execution_is_a_state_error_with_id_and_status"
    ],
    "a failure is a typed error with exec_id, status, origin and reason": [
        CALLS + "test_user_exceptions_come_through_the_handle_with_origin_and_next_command",
        CLIENT + "test_a_failed_execution_tells_why_and_result_raises_the_typed_error",
    ],
    "outputs: none is None, many are a tuple, missing ones are runtime errors": [
        Decided(2, "a flow returns any value, and that is what comes back"),
        CALLS + "test_plain_values_in_plain_values_out",
        CALLS + "test_a_finished_execution_gives_its_result_again_from_the_journal",
    ],
    "the flow scope carries the execution's id": [CALLS + "test_current_tells_where_the_code_is"],
}

CHECKPOINTS: dict[str, list[Evidence]] = {
    "retries are counted, 0 is none, negative ones are refused": [
        CALLS + "test_retries_are_journaled_attempt_by_attempt",
        CALLS + "test_the_flows_retries_are_the_default_and_an_explicit_zero_opts_out",
        CALLS + "test_bad_checkpoint_options_are_refused_at_decoration",
    ],
    "types: well-known and custom ones": [CLIENT + "test_get_shows_calls_attempts_and_artifacts"],
    "runtime: accepted spellings, bad ones refused": [
        CALLS + "test_bad_checkpoint_options_are_refused_at_decoration",
        "core/runtime/test_isolated.py::test_the_body_runs_in_another_process_and_its_value_keeps_its_type",
    ],
    "outside a flow a checkpoint is refused": [CALLS + "test_a_checkpoint_outside_a_flow_is_refused"],
    "nested checkpoints are rejected": [
        Decided(23, "they are supported, and have a parent"),
        CALLS + "test_nested_checkpoints_are_recorded_under_their_parent",
    ],
    "submit needs a running flow": [
        CALLS + "test_a_checkpoint_outside_a_flow_is_refused",
        CONCURRENCY + "test_submit_map_product_and_futures",
    ],
    "the scope is set while user code runs, and the outer one comes back": [
        CALLS + "test_current_tells_where_the_code_is",
        CONCURRENCY + "test_the_current_frame_is_the_calls_own_in_threads_and_branches",
    ],
}

RECORDS: dict[str, list[Evidence]] = {
    "log: targets, precedence, bad ids": [
        Coming(METADATA + "test_metadata_of_calls_and_of_the_execution_are_merged_and_never_mix"),
        Coming(METADATA + "test_ids_of_a_scope_are_checked"),
        Coming(METADATA + "test_outside_a_flow_it_is_refused"),
    ],
    "logged dicts merge, everything else keeps the latest": [
        MODELS + "test_logged_metadata_merges_dicts_and_keeps_the_latest_of_anything_else",
        MODELS + "test_metadata_of_unlike_kinds_does_not_merge",
    ],
    "save: scope errors come before type errors; kinds": [
        Coming(ARTIFACTS + "test_outside_a_checkpoint_both_are_refused_whatever_their_arguments"),
        Coming(ARTIFACTS + "test_bad_arguments_say_what_is_allowed"),
    ],
    "load: by name, by checkpoint; not found, ambiguous, bad id": [
        Coming(ARTIFACTS + "test_another_execution_loads_what_was_saved_or_returned"),
        Coming(ARTIFACTS + "test_an_ambiguous_name_lists_its_candidates"),
        Coming(ARTIFACTS + "test_bad_arguments_say_what_is_allowed"),
    ],
}

LLM_CALLS: dict[str, list[Evidence]] = {
    "inline in a checkpoint, a call of its own in a flow, numbered names": [LLM],
    "four providers are routed; what cannot be routed is refused": [LLM],
    "normalised messages and metadata": [LLM],
    "hosts, keys and missing SDKs": [LLM],
    "mock responses": [LLM],
    "which model: explicit, environment, default": [
        REGISTRY + "test_what_a_model_means",
        REGISTRY + "test_default_and_deleting",
    ],
    "credentials: environment before secret": [LLM, "core/test_secrets.py::test_bad_names_keys_and_values"],
    "system messages": [LLM],
}

WAITING: dict[str, list[Evidence]] = {
    "context errors": [WAITS + "test_waiting_outside_a_flow_is_refused", WAITS + "test_bad_arguments_are_refused"],
    "schema, question, metadata and name are passed on; the owner stays 600 seconds": [
        WAITS + "test_recorded_waits_are_json_for_interfaces",
        "core/runtime/test_timers.py::test_a_long_sleep_lets_go_of_the_execution_and_is_continued_when_due",
    ],
    "usable inside a checkpoint": [WAITS + "test_a_wait_in_a_checkpoint_suspends_its_attempt_and_its_body_runs_again"],
    "end to end: started, seen, answered, resumed, result": [
        WAITS + "test_an_answer_resumes_an_execution_whose_owner_has_left",
        WAITS + "test_an_answer_without_resume_leaves_the_execution_to_resume_and_recover",
        "core/cli/test_input.py::test_it_answers_the_only_wait",
    ],
    "every occurrence is a wait of its own": [
        Decided(7, "waits are numbered per occurrence"),
        WAITS + "test_each_occurrence_of_a_name_is_a_wait_of_its_own",
    ],
}

CONFIGURATION: dict[str, list[Evidence]] = {
    "precedence, and environments of images merge": [
        SETTINGS + "test_precedence",
        SETTINGS + "test_images_merge_field_by_field",
        PUBLIC + "test_resolving_an_execution",
    ],
    "a bad boolean in the environment": [SETTINGS + "test_a_bad_variable_is_named_by_the_call_that_needs_it"],
    "a text as image": [SETTINGS + "test_images_merge_field_by_field", PUBLIC + "test_images"],
    "image settings become container settings; what is installed into images": [STACKS],
    "configure sets, clears, and keeps the project apart": [
        SETTINGS + "test_configure_gives_its_layer_and_applies_all_or_nothing",
        PUBLIC + "test_layers",
    ],
    "a login never names a project": [CONNECTION + "test_fields_are_resolved_one_by_one"],
    "half a connection is refused; blank is unset": [
        CONNECTION + "test_half_a_connection_is_refused_on_use_only",
        SETTINGS + "test_blank_counts_as_unset",
    ],
    "variables are translated for an engine, with warnings about conflicts": [
        Decided(16, "what an engine needs is passed to it explicitly, and the environment is left alone"),
        SETTINGS + "test_nothing_is_raised_by_import_and_decoration",
    ],
    "the config directory can be moved, and is made when it is written into": [
        SETTINGS + "test_reading_settings_makes_nothing",
        FILES + "test_reading_makes_nothing_and_writing_makes_a_private_file",
    ],
    "masking": [
        REDACTION + "test_a_quarter_at_most_is_shown_and_nothing_of_a_short_one",
        REDACTION + "test_active_variables",
    ],
    "the frozen spec has no secret and no token": [
        REDACTION + "test_the_journal_gets_no_secret",
        PUBLIC + "test_a_frozen_spec_has_no_token_and_is_read_back",
    ],
    "log store: default, setting, environment, resetting": [
        LOG_STORE + "test_default_setting_and_resetting",
        LOG_STORE + "test_the_environment_replaces_the_whole_setting",
        LOG_STORE + "test_variables_that_do_not_go_together",
    ],
    "the log store is honoured": [
        Decided(17, "logs go there, and a start is refused where nobody supplies it"),
        LOG_STORE + "test_logs_go_where_the_user_wants_them",
        LOG_STORE + "test_a_preference_nobody_can_fulfil_stops_the_start",
    ],
    "an update recovers from an invalid file": [
        Decided(21, "a broken file is explained and kept; no update discards it"),
        FILES + "test_a_broken_file_is_named_explained_and_never_touched",
        FILES + "test_other_sections_stay_whoever_wrote_them",
        FILES + "test_processes_that_update_at_once_lose_nothing",
    ],
    "model registry: default, update, transport, pass-through, errors": [
        REGISTRY + "test_the_first_alias_is_the_default_and_an_alias_is_replaced_whole",
        REGISTRY + "test_a_transported_registry_lies_over_the_local_one",
        REGISTRY + "test_a_start_takes_the_registry_with_it",
        REGISTRY + "test_nothing_to_choose_from",
        REGISTRY + "test_a_bad_registry_names_where_it_is",
    ],
    "get_secret, deleting aliases and choosing a default": [
        Decided(20, "they exist"),
        "core/test_secrets.py::test_a_secret_is_found_inside_and_outside_of_flows",
        REGISTRY + "test_default_and_deleting",
    ],
}

CLIENTS: dict[str, list[Evidence]] = {
    "a connection of one's own is refused": [
        Decided(19, "each client may have its own, and it is checked"),
        CLIENT + "test_a_client_takes_its_own_connection_and_checks_it",
        CLIENT + "test_a_client_can_be_told_its_journal",
    ],
    "a remote server in the environment needs a project": [
        Decided(19, "a project is an optional label; a server needs a token"),
        CONNECTION + "test_half_a_connection_is_refused_on_use_only",
    ],
    "details and attempts; only the failed attempt has a failure": [
        CLIENT + "test_get_shows_calls_attempts_and_artifacts",
        MODELS + "test_attempts_of_a_retried_call_and_only_the_last_one_is_the_calls_failure",
    ],
    "the origin of what cannot be stored is the runtime": [
        Decided(14, "origins are recorded where they happen"),
        CALLS + "test_an_unserialisable_result_names_the_value_and_the_checkpoint_and_is_not_retried",
    ],
    "attempts that are not complete": [
        MODELS + "test_an_attempt_that_died_with_its_owner_stays_interrupted_when_the_next_one_succeeds",
        MODELS + "test_a_reopened_call_is_open_again",
    ],
    "what has not failed has no failure": [MODELS + "test_only_a_failed_execution_shows_a_failure"],
    "list filters": [CLIENT + "test_list_filters_in_every_way_and_pages_by_cursor"],
    "latest is a lookup error where there is none": [
        CLIENT + "test_latest_is_complete_and_a_lookup_error_when_there_is_none"
    ],
    "a running execution with an open wait reads waiting": [
        WAITS + "test_an_execution_with_an_open_wait_reads_waiting_everywhere"
    ],
    "input and abort": [
        WAITS + "test_an_answer_is_accepted_once",
        WAITS + "test_an_answer_that_does_not_fit_is_refused_with_path_and_rule",
        WAITS + "test_aborting_a_wait_cancels_the_execution_and_its_code_does_not_go_on",
        "core/cli/test_input.py::test_several_waits_must_be_named",
    ],
    "resume, retry and cancel": [
        CLIENT + "test_resume_continues_an_interrupted_execution_and_refuses_a_completed_one",
        CLIENT + "test_resume_of_a_running_execution_is_refused_and_harms_nothing",
        CLIENT + "test_retry_of_anything_but_a_failed_execution_is_refused",
        CLIENT + "test_cancel_without_an_owner_is_immediate_and_resume_still_works",
    ],
    "replay through the client": [Coming(REPLAY + "test_the_client_and_snapshots_replay")],
    "an artifact knows its producer and loads": [
        CLIENT + "test_get_shows_calls_attempts_and_artifacts",
        Coming(ARTIFACTS + "test_the_client_lists_and_filters_artifacts"),
        Coming(ARTIFACTS + "test_an_unknown_artifact_is_named"),
    ],
    "logs: merging, filters, conflicts, early stop, none": [
        LOGS + "test_all_lines_in_order_with_their_place",
        LOGS + "test_selection_by_source_checkpoint_and_the_newest_lines",
        LOGS + "test_bad_arguments_in_a_fixed_order",
        LOGS + "test_follow_gives_lines_while_the_execution_runs_and_ends_with_it",
        LOGS + "test_a_log_store_that_fails_is_a_log_retrieval_error",
    ],
    "logs without a server": [
        Decided(13, "local executions have logs, and none is needed"),
        "core/stack/test_assembly.py::test_what_a_body_prints_is_in_the_log_store",
    ],
    "logs of executions on a server": [SERVER],
}

REPLAYS: dict[str, list[Evidence]] = {
    "the plan: what is reused and what runs again": [
        Decided(15, "calls are reused before the frontier, while their inputs are unchanged"),
        Coming(PLAN + "test_what_was_called_before_the_frontier_may_be_reused"),
        Coming(PLAN + "test_the_calls_around_a_frontier_run_again_and_those_inside_them_before_it_are_reused"),
        Coming(REPLAY + "test_only_what_depends_on_a_changed_input_runs"),
        Coming(REPLAY + "test_without_from_nothing_runs_that_is_unchanged"),
    ],
    "selectors and overrides: errors": [
        Coming(PLAN + "test_selectors_match_name_invocation_id_and_call_id"),
        Coming(PLAN + "test_what_cannot_be_planned"),
    ],
    "waits, and overrides of answers": [
        Coming("core/runtime/test_replay_waits.py::test_answers_before_the_frontier_are_reused"),
        Coming("core/runtime/test_replay_waits.py::test_bad_answers_start_nothing"),
    ],
}

SECTIONS = {
    "flow and handle": FLOWS,
    "checkpoint": CHECKPOINTS,
    "log, save, load": RECORDS,
    "llm": LLM_CALLS,
    "wait": WAITING,
    "config": CONFIGURATION,
    "client": CLIENTS,
    "replay": REPLAYS,
}
LINES = [
    pytest.param(evidence, id=f"{section}: {line}")
    for section, lines in SECTIONS.items()
    for line, evidence in lines.items()
]


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((HERE / file).read_text())
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions) and node.name[:5] == "test_")


@pytest.mark.parametrize("evidence", LINES)
def test_every_line_is_kept_decided_or_still_to_come(evidence: list[Evidence]) -> None:
    assert evidence
    for one in evidence:
        if isinstance(one, str):
            require(one)
        elif isinstance(one, Coming):
            if (HERE / one.test.partition("::")[0]).exists():
                require(one.test)
        elif isinstance(one, Decided):
            assert 1 <= one.number <= 28 and one.instead
            assert len(evidence) > 1, "a decision is kept by something, too"
        else:
            assert one.where.startswith("issue ")


def require(test: str) -> None:
    file, _, name = test.partition("::")
    assert name in names_in(file), test

"""What agents can call. Each tool is a function of plain arguments that gives JSON data; its docstring is for them.

``TOOLS`` says for each how much it may do: ``read`` looks, ``write`` starts and continues, ``destructive`` ends and
deletes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from kitaru import inspection
from kitaru.client import KitaruClient
from kitaru.client.flow_targets import (
    build_started_execution_payload,
    invoke_flow_target,
    resolve_started_execution_details,
)
from kitaru.client.listing import latest_execution_filtered, list_executions_filtered
from kitaru.client.log_text import format_mcp_execution_logs
from kitaru.client.runtime_snapshot import build_runtime_snapshot
from kitaru.client.stacks import Stacks
from kitaru.client.wait_inputs import validate_pending_wait_input
from kitaru.errors import KitaruUsageError

Level = Literal["read", "write", "destructive"]
Data = dict[str, Any]

_RUN_PREFIX = "_kitaru_mcp_run_target_"


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool and what it may do. ``idempotent``: calling it again with the same arguments changes nothing more."""

    function: Callable[..., Any]
    level: Level
    idempotent: bool = False


# -- looking --------------------------------------------------------------------------------------------------------


def kitaru_executions_list(
    status: str | None = None, flow: str | None = None, stack: str | None = None, limit: int | None = None
) -> list[Data]:
    """List executions (runs of flows), newest first, without their calls.

    status: pending, running, waiting, interrupted, completed, failed or cancelled. flow, stack: exact names.
    limit: at most this many; default 50. Use kitaru_executions_get for the calls and failures of one.
    """
    found = list_executions_filtered(
        KitaruClient(), flow=flow, status=status, stack=stack, limit=50 if limit is None else limit
    )
    return [inspection.serialize_execution_summary(one) for one in found]


def kitaru_executions_get(exec_id: str) -> Data:
    """Show one execution with all its checkpoint calls, attempts, failures, pending waits, artifacts and children."""
    return inspection.serialize_execution(KitaruClient().executions.get(exec_id))


def kitaru_executions_latest(status: str | None = None, flow: str | None = None, stack: str | None = None) -> Data:
    """Show the newest execution that matches, with all its calls. Arguments as for kitaru_executions_list."""
    return inspection.serialize_execution(
        latest_execution_filtered(KitaruClient(), flow=flow, status=status, stack=stack)
    )


def get_execution_logs(exec_id: str, checkpoint: str | None = None, source: str = "step", limit: int = 200) -> str:
    """Read what an execution printed and logged: its newest lines, oldest of them first.

    checkpoint: only calls of this name. source: "step" for checkpoints, "runner" for the flow's own code, "all".
    limit: how many of the newest lines.
    """
    entries = KitaruClient().executions.logs(exec_id, checkpoint=checkpoint, source=source, tail=limit)
    return format_mcp_execution_logs(entries)


def kitaru_executions_diff(first: str, second: str) -> Data:
    """Compare two executions call by call: inputs, values, times and costs that differ. Typical: a replay and its
    original."""
    return inspection.serialize_execution_diff(KitaruClient().executions.diff(first, second))


def kitaru_executions_statistics(
    flow: str | None = None, status: str | None = None, since: str | None = None, until: str | None = None
) -> Data:
    """Count executions, durations and costs by flow, status and day. since, until: 2026-05-01T12:00, or 90m, 12h, 30d
    ago."""
    found = KitaruClient().executions.statistics(flow=flow, status=status, since=since, until=until)
    row: Data = inspection.to_jsonable(found, fallback_repr=True)
    return row


def kitaru_artifacts_list(
    exec_id: str,
    name: str | None = None,
    kind: str | None = None,
    producing_call: str | None = None,
    limit: int | None = None,
) -> list[Data]:
    """List the stored values of an execution: what its calls returned and saved. Use kitaru_artifacts_get for one."""
    found = KitaruClient().artifacts.list(exec_id, name=name, kind=kind, producing_call=producing_call, limit=limit)
    return [inspection.serialize_artifact_ref(one) for one in found]


def kitaru_artifacts_get(artifact_id: str) -> Data:
    """Show one stored value as plain data. Nothing of it is run; what only its own program can read is described."""
    found = KitaruClient().artifacts.get(artifact_id)
    value, kind = found.data()
    return {**inspection.serialize_artifact_ref(found), "value": value, "value_format": "json", "value_type": kind}


def kitaru_status() -> Data:
    """Show what flows started here would use: journal, stack, versions, and the variables that are set."""
    return inspection.serialize_runtime_snapshot(build_runtime_snapshot())


def kitaru_stacks_list() -> list[Data]:
    """List the stacks, and which one is active: where flows run and keep their values."""
    return [inspection.serialize_stack(one.stack, is_managed=one.is_managed) for one in Stacks().list()]


# -- starting and continuing ----------------------------------------------------------------------------------------


def kitaru_executions_run(target: str, args: Data | None = None, stack: str | None = None) -> Data:
    """Start a flow and return at once: it goes on by itself. Look at it with kitaru_executions_get.

    target: "path/to/file.py:flow_name" or "module:flow_name". args: its arguments by name.
    """
    started = invoke_flow_target(target=target, args=args, stack=stack, module_name_prefix=_RUN_PREFIX)
    details = resolve_started_execution_details(exec_id=started.handle.exec_id, client=KitaruClient())
    return build_started_execution_payload(target=target, details=details)


def kitaru_executions_input(exec_id: str, wait: str, value: Any) -> Data:
    """Answer a pending wait of an execution, which then goes on. wait: its name or id. value: JSON that fits its
    schema (see pending_waits of kitaru_executions_get); null where it has none."""
    client = KitaruClient()
    validate_pending_wait_input(execution=client.executions.get(exec_id), wait=wait, value=value)
    return inspection.serialize_execution(client.executions.input(exec_id, wait=wait, value=value))


def kitaru_executions_resume(exec_id: str) -> Data:
    """Continue an interrupted, cancelled, pending or answered execution; recorded calls are not made again."""
    return inspection.serialize_execution(KitaruClient().executions.resume(exec_id))


def kitaru_executions_retry(exec_id: str) -> Data:
    """Run the failed calls of a failed execution again; calls that succeeded are not made again."""
    return inspection.serialize_execution(KitaruClient().executions.retry(exec_id))


def kitaru_executions_replay(
    exec_id: str, from_: str | None = None, overrides: Data | None = None, flow_inputs: Data | None = None
) -> Data:
    """Start a new execution from the records of an old one, which stays as it is.

    from_: a checkpoint name or invocation id: that call and all behind it run again; without it, only what changed.
    overrides: {"checkpoint.NAME": result, "wait.NAME": answer}. flow_inputs: new arguments of the flow.
    """
    if flow_inputs is not None and not isinstance(flow_inputs, dict):
        raise KitaruUsageError("flow_inputs must be an object of arguments by name.")
    found = KitaruClient().executions.replay(exec_id, from_=from_, overrides=overrides, **(flow_inputs or {}))
    return {"available": True, "operation": "replay", "execution": inspection.serialize_execution(found)}


def kitaru_executions_check(exec_id: str) -> Data:
    """See whether the code as it is now can continue an execution, and where. The flow's own code between checkpoints
    runs for it, in a process of its own; no checkpoint does, and nothing is written."""
    return inspection.serialize_check_report(KitaruClient().executions.check(exec_id))


def manage_stack(
    action: Literal["create", "delete"],
    name: str,
    activate: bool = True,
    recursive: bool = False,
    force: bool = False,
    stack_type: str = "local",
    artifact_store: str | None = None,
    container_registry: str | None = None,
    cluster: str | None = None,
    region: str | None = None,
    subscription_id: str | None = None,
    resource_group: str | None = None,
    workspace: str | None = None,
    execution_role: str | None = None,
    namespace: str | None = None,
    credentials: str | None = None,
    extra: Data | None = None,
    async_mode: bool = False,
    verify: bool = True,
) -> Data:
    """Create or delete a stack. Deleting needs the server to allow destructive tools. Give credentials as references
    (aws-profile:NAME, gcp-service-account:/path), not as keys: what an agent is told may be logged."""
    from kitaru.stack.requests import ManageStackDeleteRequest, build_manage_stack_request

    request = build_manage_stack_request(
        action=action,
        name=name,
        activate=activate,
        recursive=recursive,
        force=force,
        stack_type=stack_type,
        artifact_store=artifact_store,
        container_registry=container_registry,
        cluster=cluster,
        region=region,
        subscription_id=subscription_id,
        resource_group=resource_group,
        workspace=workspace,
        execution_role=execution_role,
        namespace=namespace,
        credentials=credentials,
        extra=extra,
        async_mode=async_mode,
        verify=verify,
    )
    if isinstance(request, ManageStackDeleteRequest):
        done = Stacks().delete(request.name, recursive=request.recursive, force=request.force)
        return inspection.serialize_stack_delete_result(done)
    return inspection.serialize_stack_create_result(Stacks().carry_out(request))


# -- ending ---------------------------------------------------------------------------------------------------------


def kitaru_executions_cancel(exec_id: str) -> Data:
    """Stop an execution and its children. kitaru_executions_resume can still continue it."""
    return inspection.serialize_execution(KitaruClient().executions.cancel(exec_id))


def kitaru_executions_abort(exec_id: str, wait: str | None = None) -> Data:
    """Give up a pending wait: the execution is cancelled. wait: its name or id, needed when several are pending."""
    return inspection.serialize_execution(KitaruClient().executions.abort_wait(exec_id, wait=wait))


TOOLS: tuple[Tool, ...] = (
    Tool(kitaru_executions_list, "read", idempotent=True),
    Tool(kitaru_executions_get, "read", idempotent=True),
    Tool(kitaru_executions_latest, "read", idempotent=True),
    Tool(get_execution_logs, "read", idempotent=True),
    Tool(kitaru_executions_diff, "read", idempotent=True),
    Tool(kitaru_executions_statistics, "read", idempotent=True),
    Tool(kitaru_artifacts_list, "read", idempotent=True),
    Tool(kitaru_artifacts_get, "read", idempotent=True),
    Tool(kitaru_status, "read", idempotent=True),
    Tool(kitaru_stacks_list, "read", idempotent=True),
    Tool(kitaru_executions_run, "write"),
    Tool(kitaru_executions_input, "write"),
    Tool(kitaru_executions_resume, "write"),
    Tool(kitaru_executions_retry, "write"),
    Tool(kitaru_executions_replay, "write"),
    Tool(kitaru_executions_check, "write", idempotent=True),
    Tool(manage_stack, "write"),
    Tool(kitaru_executions_cancel, "destructive", idempotent=True),
    Tool(kitaru_executions_abort, "destructive"),
)

"""Kitaru: durable execution for Python agents.

Two decorators make a workflow survive crashes: ``@flow`` around the orchestration, ``@checkpoint`` around each unit of
work. The result of every checkpoint is journaled before the flow sees it, so a resumed execution continues where it
stopped. Importing this package has no side effect and loads nothing heavy: every name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# name -> module that defines it. A dict, not machinery: the public surface is this table.
_EXPORTS = {
    "flow": "kitaru.flows",
    "checkpoint": "kitaru.checkpoints",
    "unmapped": "kitaru.checkpoints",
    "FlowHandle": "kitaru.handles",
    "CheckpointFuture": "kitaru.runtime.futures",
    "InDoubt": "kitaru.runtime.effects",
    "current": "kitaru.values",
    "now": "kitaru.values",
    "random": "kitaru.values",
    "uuid4": "kitaru.values",
    "llm": "kitaru.model_calls",
    "Budget": "kitaru.budgets",
    "log": "kitaru.metadata",
    "load": "kitaru.artifacts",
    "save": "kitaru.artifacts",
    "sleep": "kitaru.waits",
    "wait": "kitaru.waits",
    "configure": "kitaru.config",
    "connect": "kitaru.config",
    "get_secret": "kitaru.secrets",
    "StackInfo": "kitaru.stack_models",
    "create_stack": "kitaru.stacks",
    "current_stack": "kitaru.stacks",
    "delete_stack": "kitaru.stacks",
    "list_stacks": "kitaru.stacks",
    "use_stack": "kitaru.stacks",
    "ImageSettings": "kitaru.config",
    "KitaruConfig": "kitaru.config",
    "KitaruClient": "kitaru.client",
    "ExecutionStatus": "kitaru.statuses",
    "FailureOrigin": "kitaru.errors",
    "KitaruArtifactNotFoundError": "kitaru.errors",
    "KitaruBackendError": "kitaru.errors",
    "KitaruBudgetExceededError": "kitaru.errors",
    "KitaruContextError": "kitaru.errors",
    "KitaruDivergenceError": "kitaru.errors",
    "KitaruError": "kitaru.errors",
    "KitaruExecutionError": "kitaru.errors",
    "KitaruFeatureNotAvailableError": "kitaru.errors",
    "KitaruInDoubtError": "kitaru.errors",
    "KitaruLogRetrievalError": "kitaru.errors",
    "KitaruRuntimeError": "kitaru.errors",
    "KitaruStateError": "kitaru.errors",
    "KitaruTimeoutError": "kitaru.errors",
    "KitaruUsageError": "kitaru.errors",
    "KitaruUserCodeError": "kitaru.errors",
    "KitaruWaitExpiredError": "kitaru.errors",
    "KitaruWaitValidationError": "kitaru.errors",
    "KitaruWaitingError": "kitaru.errors",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605  spelled out below for type checkers

if TYPE_CHECKING:
    from kitaru.artifacts import load as load
    from kitaru.artifacts import save as save
    from kitaru.budgets import Budget as Budget
    from kitaru.checkpoints import checkpoint as checkpoint
    from kitaru.checkpoints import unmapped as unmapped
    from kitaru.client import KitaruClient as KitaruClient
    from kitaru.config import ImageSettings as ImageSettings
    from kitaru.config import KitaruConfig as KitaruConfig
    from kitaru.config import configure as configure
    from kitaru.config import connect as connect
    from kitaru.errors import FailureOrigin as FailureOrigin
    from kitaru.errors import KitaruArtifactNotFoundError as KitaruArtifactNotFoundError
    from kitaru.errors import KitaruBackendError as KitaruBackendError
    from kitaru.errors import KitaruBudgetExceededError as KitaruBudgetExceededError
    from kitaru.errors import KitaruContextError as KitaruContextError
    from kitaru.errors import KitaruDivergenceError as KitaruDivergenceError
    from kitaru.errors import KitaruError as KitaruError
    from kitaru.errors import KitaruExecutionError as KitaruExecutionError
    from kitaru.errors import KitaruFeatureNotAvailableError as KitaruFeatureNotAvailableError
    from kitaru.errors import KitaruInDoubtError as KitaruInDoubtError
    from kitaru.errors import KitaruLogRetrievalError as KitaruLogRetrievalError
    from kitaru.errors import KitaruRuntimeError as KitaruRuntimeError
    from kitaru.errors import KitaruStateError as KitaruStateError
    from kitaru.errors import KitaruTimeoutError as KitaruTimeoutError
    from kitaru.errors import KitaruUsageError as KitaruUsageError
    from kitaru.errors import KitaruUserCodeError as KitaruUserCodeError
    from kitaru.errors import KitaruWaitExpiredError as KitaruWaitExpiredError
    from kitaru.errors import KitaruWaitingError as KitaruWaitingError
    from kitaru.errors import KitaruWaitValidationError as KitaruWaitValidationError
    from kitaru.flows import flow as flow
    from kitaru.handles import FlowHandle as FlowHandle
    from kitaru.metadata import log as log
    from kitaru.model_calls import llm as llm
    from kitaru.runtime.effects import InDoubt as InDoubt
    from kitaru.runtime.futures import CheckpointFuture as CheckpointFuture
    from kitaru.secrets import get_secret as get_secret
    from kitaru.stack_models import StackInfo as StackInfo
    from kitaru.stacks import create_stack as create_stack
    from kitaru.stacks import current_stack as current_stack
    from kitaru.stacks import delete_stack as delete_stack
    from kitaru.stacks import list_stacks as list_stacks
    from kitaru.stacks import use_stack as use_stack
    from kitaru.statuses import ExecutionStatus as ExecutionStatus
    from kitaru.values import current as current
    from kitaru.values import now as now
    from kitaru.values import random as random
    from kitaru.values import uuid4 as uuid4
    from kitaru.waits import sleep as sleep
    from kitaru.waits import wait as wait


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module 'kitaru' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Stacks, from outside: what ``kitaru stack`` does."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import Any

from kitaru.stack import operations
from kitaru.stack.labels import MCP_STACK_OPTION_LABELS
from kitaru.stack.overrides import normalize_component_overrides_mapping
from kitaru.stack.requests import ManageStackCreateRequest, create_request
from kitaru.stack.types import LOCAL
from kitaru.stack_models import StackCreateResult, StackDeleteResult, StackDetails, StackInfo, StackListEntry


class Stacks:
    """The stacks of this installation. See :mod:`kitaru.stack.operations` for what each method raises."""

    def list(self) -> builtins.list[StackListEntry]:
        """All stacks, ``default`` first."""
        return operations.list_stack_entries()

    def current(self) -> StackInfo:
        """The stack that a flow without one of its own runs on now."""
        return operations.current()

    def show(self, name_or_id: str) -> StackDetails:
        """A stack with its components."""
        return operations.show(name_or_id)

    def use(self, name_or_id: str) -> StackInfo:
        """Make a stack the active one."""
        return operations.use(name_or_id)

    def create(
        self,
        name: str,
        stack_type: str = LOCAL,
        *,
        activate: bool = True,
        verify: bool = True,
        labels: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
        **fields: str | None,
    ) -> StackCreateResult:
        """Make a stack of any type: whole, or not at all.

        Args:
            name: how it is called.
            stack_type: ``local``, or what a provider supplies, such as ``kubernetes``.
            activate: make it the active one, too.
            verify: sign in first, and look at everything it names.
            labels: texts to find it by.
            extra: options of its components beyond the fields: ``{"orchestrator": {...}, ...}``.
            fields: what the type takes, such as ``artifact_store="s3://..."``, ``region=`` and ``credentials=``.
        """
        overrides = normalize_component_overrides_mapping(extra, labels=MCP_STACK_OPTION_LABELS) if extra else None
        request = create_request(
            name,
            stack_type,
            fields,
            activate=activate,
            verify=verify,
            component_overrides=overrides,
            labels=MCP_STACK_OPTION_LABELS,
        )
        return self.carry_out(request, labels=labels)

    def carry_out(
        self, request: ManageStackCreateRequest, *, labels: Mapping[str, str] | None = None
    ) -> StackCreateResult:
        """:meth:`create` for a request that an interface has put together."""
        return operations.create(
            request.name,
            stack_type=request.stack_type,
            activate=request.activate,
            labels=labels,
            remote_spec=request.remote_spec,
            component_overrides=request.component_overrides,
        )

    def delete(self, name_or_id: str, *, recursive: bool = False, force: bool = False) -> StackDeleteResult:
        """Delete a stack; what its executions have stored stays."""
        return operations.delete(name_or_id, recursive=recursive, force=force)

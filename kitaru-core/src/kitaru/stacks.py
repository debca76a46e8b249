"""Stacks from Python: listed, chosen, made and deleted. Other types than local ones: ``kitaru stack create``."""

from __future__ import annotations

from collections.abc import Mapping

from kitaru.stack_models import StackInfo


def list_stacks() -> list[StackInfo]:
    """All stacks of this installation, ``default`` first.

    Raises KitaruConfigError when the file of stacks cannot be understood.
    """
    from kitaru.stack import operations  # plugins are loaded: on use

    return [one.stack for one in operations.list_stack_entries()]


def current_stack() -> StackInfo:
    """The stack that a flow without one of its own runs on now: the one that KITARU_STACK, ``configure(stack=)`` or the
    project names, or else the active one.

    Raises KitaruStateError when the one that is named does not exist.
    """
    from kitaru.stack import operations

    return operations.current()


def use_stack(name_or_id: str) -> StackInfo:
    """Make a stack the active one, for this user, until another one is. An exact id comes before an equal name.

    Raises:
        KitaruUsageError: the argument is blank.
        KitaruStateError: there is no such stack.
        KitaruConfigError: the choice cannot be stored.
    """
    from kitaru.stack import operations

    return operations.use(name_or_id)


def create_stack(name: str, *, activate: bool = True, labels: Mapping[str, str] | None = None) -> StackInfo:
    """Make a local stack: everything on this machine.

    Args:
        name: how it is called; no other stack may be.
        activate: make it the active one, too.
        labels: texts to find it by; ``kitaru.managed=true`` is added.

    Raises:
        KitaruUsageError: a blank name.
        KitaruStateError: there is a stack of this name; nothing was made.
    """
    from kitaru.stack import operations

    return operations.create(name, activate=activate, labels=labels).stack


def delete_stack(name_or_id: str, *, recursive: bool = False, force: bool = False) -> None:
    """Delete a stack. What its executions have stored stays, and can still be read.

    Args:
        name_or_id: which, exactly.
        recursive: give up its components and credentials, too.
        force: also when it is active: ``default`` is the active one then.

    Raises:
        KitaruUsageError: a blank argument, or ``default``, which is always there.
        KitaruStateError: there is no such stack, or it is active.
    """
    from kitaru.stack import operations

    operations.delete(name_or_id, recursive=recursive, force=force)

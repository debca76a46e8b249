"""``kitaru stack``: list, choose, show and delete stacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.confirming import confirm
from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import (
    guarded,
    output_option,
    print_item,
    print_items,
    snapshot,
    success,
)

if TYPE_CHECKING:
    from kitaru.client.stacks import Stacks
    from kitaru.stack_models import StackComponentDetails, StackDetails

_ROLES = {
    "runner": "Runner",
    "storage": "Storage",
    "image_registry": "Image registry",
    "additional_component": "Additional component",
}


@click.group(
    cls=LazyGroup,
    table={
        "list": ("kitaru.cli.stack:list_command", "Show the stacks."),
        "current": ("kitaru.cli.stack:current", "Show the stack that flows run on."),
        "show": ("kitaru.cli.stack:show", "Show a stack with its components."),
        "use": ("kitaru.cli.stack:use", "Make a stack the one that flows run on."),
        "create": ("kitaru.cli.stack_create:create", "Make a stack."),
        "delete": ("kitaru.cli.stack:delete", "Delete a stack."),
    },
)
def stack() -> None:
    """Choose where flows run, and where their values, logs and secrets are kept.

    The stack `default`, which has everything on this machine, is always there.
    """


@click.command(name="list")
@output_option
def list_command(output: str) -> None:
    """Show the stacks, and which of them is active."""
    found = guarded("stack.list", output, lambda: stacks().list())
    if output == "json":
        from kitaru.inspection import serialize_stack

        print_items("stack.list", [serialize_stack(one.stack, is_managed=one.is_managed) for one in found])
        return
    rows = [(one.stack.name, f"{one.stack.id}{' (active)' if one.stack.is_active else ''}") for one in found]
    snapshot("Kitaru stacks", rows or [("Stacks", "none found")])


@click.command()
@output_option
def current(output: str) -> None:
    """Show the stack that a flow without one of its own runs on now."""
    found = guarded("stack.current", output, lambda: stacks().current())
    if output == "json":
        from kitaru.inspection import serialize_stack

        print_item("stack.current", serialize_stack(found))
        return
    snapshot("Kitaru stack", [("Active stack", found.name), ("Stack ID", found.id)])


@click.command()
@click.argument("name_or_id")
@output_option
def show(name_or_id: str, output: str) -> None:
    """Show a stack with its components."""
    found = guarded("stack.show", output, lambda: stacks().show(name_or_id))
    if output == "json":
        from kitaru.inspection import serialize_stack_details

        print_item("stack.show", serialize_stack_details(found))
        return
    _print_details(found)


def _print_details(found: StackDetails) -> None:
    rows: list[tuple[str, Any]] = [
        ("Name", found.stack.name),
        ("ID", found.stack.id),
        ("Type", found.stack_type),
        ("Active", "yes" if found.stack.is_active else "no"),
        ("Managed", "yes" if found.is_managed else "no"),
    ]
    count: dict[str, int] = {}
    for component in found.components:
        label = _ROLES[component.role]
        count[label] = count.get(label, 0) + 1
        rows.append((label if count[label] == 1 else f"{label} #{count[label]}", _described(component)))
    if not found.components:
        rows.append(("Components", "None reported"))
    labels = ", ".join(f"{name}={value}" for name, value in sorted(found.labels.items()))
    snapshot("Kitaru stack", [*rows, ("Labels", labels or None)])


def _described(component: StackComponentDetails) -> str:
    name = component.name if component.backend is None else f"{component.name} ({component.backend})"
    details = [f"{key}: {value}" for key, value in component.details]
    if component.purpose is not None:
        details.append(f"purpose: {component.purpose}")
    return "; ".join([name, *details])


@click.command()
@click.argument("stack")
@output_option
def use(stack: str, output: str) -> None:
    """Make STACK, a name or id, the one that flows run on which name no other."""
    found = guarded("stack.use", output, lambda: stacks().use(stack))
    if output == "json":
        from kitaru.inspection import serialize_stack

        print_item("stack.use", serialize_stack(found))
        return
    success(f"Activated stack: {found.name}", f"Stack ID: {found.id}")


@click.command()
@click.argument("stack")
@click.option("--recursive", is_flag=True, help="Give up its components and credentials, too.")
@click.option("--force", is_flag=True, help="Also when it is active: `default` is active then.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def delete(stack: str, recursive: bool, force: bool, yes: bool, output: str) -> None:
    """Delete STACK, a name or id. What its executions have stored stays, and can still be read.

    Nothing in a cloud is removed.
    """
    confirm("stack.delete", f"Delete stack {stack}?", yes=yes, output=output)
    done = guarded("stack.delete", output, lambda: stacks().delete(stack, recursive=recursive, force=force))
    if output == "json":
        from kitaru.inspection import serialize_stack_delete_result

        print_item("stack.delete", serialize_stack_delete_result(done))
        return
    details = [f"Deleted components: {', '.join(done.components_deleted)}"] if done.components_deleted else []
    if done.new_active_stack is not None:
        details.append(f"Active stack: {done.new_active_stack}")
    success(f"Deleted stack: {done.deleted_stack}", *details)


def stacks() -> Stacks:
    """The client's stacks; no journal is opened."""
    from kitaru.client.stacks import Stacks

    return Stacks()

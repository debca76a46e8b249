"""``kitaru stack create``: make a stack from flags, from a file, or from both."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.output import clean, guarded, is_terminal, output_option, print_item, success
from kitaru.cli.working import working
from kitaru.errors import KitaruUsageError

if TYPE_CHECKING:
    from kitaru.stack.requests import ManageStackCreateRequest
    from kitaru.stack_models import StackCreateResult

_COMMAND = "stack.create"
_WIDTH = 12
#: What is summed up last, and under which label; others come before it under their own names.
_LAST = {"artifact_store": "Artifacts", "container_registry": "Registry", "execution_role": "Execution role"}
_LABELS = {"subscription_id": "Subscription", **_LAST}
_NOT_SHOWN = ("namespace",)


class _Create(click.Command):
    """Has an option for each field that a stack type of this installation takes."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        params = super().get_params(ctx)
        taken = {param.name for param in params}
        from kitaru.stack.types import catalog

        more = [name for name in catalog().fields if name not in taken and name != "verify"]
        options = [
            click.Option([f"--{name.replace('_', '-')}", name], help="Of a plugin's stack type.") for name in more
        ]
        return [*params[:-2], *options, *params[-2:]]


@click.command(cls=_Create)
@click.argument("name", required=False)
@click.option("-f", "--file", metavar="PATH", help="YAML file with these options; flags win.")
@click.option("--no-activate", is_flag=True, help="Leave the active stack as it is.")
@click.option("--type", "stack_type", metavar="TYPE", help="local, or what a provider supplies.  [default: local]")
@click.option("--artifact-store", metavar="URI", help="Where values are kept, such as s3://bucket/path.")
@click.option("--container-registry", metavar="URI", help="Where images are kept.")
@click.option("--cluster", help="Kubernetes cluster.")
@click.option("--region", help="Region of the provider.")
@click.option("--subscription-id", help="Azure subscription.")
@click.option("--resource-group", help="Azure resource group.")
@click.option("--workspace", help="AzureML workspace.")
@click.option("--execution-role", help="SageMaker execution role.")
@click.option("--namespace", help="Kubernetes namespace.  [default: default]")
@click.option("--credentials", metavar="METHOD:VALUE", help="How to sign in; `-` reads it from stdin, or asks for it.")
@click.option("--extra", multiple=True, metavar="TARGET.FIELD=VALUE", help="More options of a component; repeatable.")
@click.option("--async", "async_mode", is_flag=True, help="Do not wait for remote executions when they are started.")
@click.option("--no-verify", is_flag=True, help="Do not sign in and look before the stack is made.")
@output_option
def create(name: str | None, output: str, **options: Any) -> None:
    """Make a stack, and make it the active one.

    A local one needs only a NAME. Other types need what their provider says; it is looked at before anything is made,
    and whatever fails leaves nothing behind.
    """
    result = guarded(_COMMAND, output, lambda: _created(name, options))
    if output == "json":
        from kitaru.inspection import serialize_stack_create_result

        print_item(_COMMAND, serialize_stack_create_result(result))
        return
    _print(result)


def _created(name: str | None, options: dict[str, Any]) -> StackCreateResult:
    from kitaru.cli.stack import stacks

    request = _request(name, options)
    with working("Looking at what the stack names" if request.remote_spec is not None else "Making the stack"):
        return stacks().carry_out(request)


def _request(name: str | None, options: dict[str, Any]) -> ManageStackCreateRequest:
    from kitaru.stack import files
    from kitaru.stack.labels import CLI_STACK_OPTION_LABELS
    from kitaru.stack.overrides import merge_component_overrides, parse_cli_component_overrides
    from kitaru.stack.requests import create_request
    from kitaru.stack.types import LOCAL, catalog

    file = options.pop("file")
    told = files.read(file) if file is not None else {}
    if options["credentials"] == "-":
        options["credentials"] = _asked()
    name = name if name is not None else told.get("name")
    if name is None or not name.strip():
        raise KitaruUsageError("Stack name cannot be empty: `kitaru stack create NAME`.")
    fields = [one for one in catalog().fields if one != "verify"]
    given = {one: options.get(one) if options.get(one) is not None else told.get(one) for one in fields}
    extra = parse_cli_component_overrides(options["extra"], labels=CLI_STACK_OPTION_LABELS)
    stack_type = options["stack_type"] if options["stack_type"] is not None else told.get("type", LOCAL)
    return create_request(
        name.strip(),
        stack_type,
        given,
        activate=not options["no_activate"] and told.get("activate", True),
        verify=not options["no_verify"] and told.get("verify", True),
        component_overrides=merge_component_overrides(told.get("extra"), extra),
        async_enabled=options["async_mode"] or told.get("async", False),
        labels=CLI_STACK_OPTION_LABELS,
    )


def _asked() -> str:
    if is_terminal(sys.stdin):
        value: str = click.prompt("Credentials", hide_input=True, err=True)
        return value
    return sys.stdin.readline().strip()


def _print(result: StackCreateResult) -> None:
    stack_type = str(result.stack_type)
    lines = []
    resources = dict(result.resources or {})
    region = resources.get("region")
    for key in [*(one for one in resources if one not in _LAST), *(one for one in _LAST if one in resources)]:
        value = resources[key]
        if key in _NOT_SHOWN or (key == "region" and "cluster" in resources):
            continue
        if key == "cluster" and region is not None:
            value = f"{value} ({region})"
        label = _LABELS.get(key) or key.replace("_", " ").capitalize()
        lines.append(f"{f'{label}:':<{_WIDTH}} {clean(value)}")
    if result.previous_active_stack is not None and result.previous_active_stack != result.stack.name:
        lines.append(f"Active stack: {result.previous_active_stack} → {result.stack.name}")
    suffix = "" if stack_type == "local" else f" ({stack_type})"
    success(f"Created stack: {result.stack.name}{suffix}", *lines)

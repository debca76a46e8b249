"""``kitaru model``: names of one's own for models, and the secrets they are called with."""

from __future__ import annotations

from typing import Any

import click

from kitaru.cli.confirming import confirm
from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import guarded, output_option, print_item, print_items, snapshot, success
from kitaru.config import model_registry
from kitaru.config.model_registry import ModelAliasEntry
from kitaru.errors import KitaruUsageError


@click.group(
    cls=LazyGroup,
    table={
        "register": ("kitaru.cli.model:register", "Give a model a name of your own."),
        "list": ("kitaru.cli.model:list_command", "Show the model aliases."),
        "default": ("kitaru.cli.model:default", "Make an alias the one that llm() takes without model=."),
        "delete": ("kitaru.cli.model:delete", "Remove a model alias."),
    },
)
def model() -> None:
    """Name the models that `kitaru.llm()` calls.

    An alias stands for a model and, if it is called with a key of its own, for the secret that holds that.
    """


@click.command()
@click.argument("alias")
@click.option("--model", "name", required=True, metavar="PROVIDER/MODEL", help="Such as openai/gpt-4o-mini.")
@click.option("--secret", metavar="NAME", help="The secret with its key: see `kitaru secrets set`.")
@output_option
def register(alias: str, name: str, secret: str | None, output: str) -> None:
    """Let ALIAS stand for a model. An earlier ALIAS is replaced; the first one becomes the default."""

    def registered() -> ModelAliasEntry:
        if secret is not None:
            _require_secret(secret)
        return model_registry.register_model_alias(alias, model=name, secret=secret)

    entry = guarded("model.register", output, registered)
    _told("model.register", f"Saved model alias: {entry.alias}", entry, output)


def _require_secret(name: str) -> None:
    from kitaru.client.secrets import Secrets

    if name.strip() and name.strip() not in Secrets().list():
        raise KitaruUsageError(
            f"Secret `{name.strip()}` was not found. Make it first: `kitaru secrets set {name.strip()} KEY`."
        )


@click.command(name="list")
@output_option
def list_command(output: str) -> None:
    """Show the model aliases in force: yours, and those of KITARU_MODEL_REGISTRY over them."""
    found = guarded("model.list", output, model_registry.list_model_aliases)
    if output == "json":
        print_items("model.list", [_item(entry) for entry in found], nulls=True)
        return
    rows = [(entry.alias, _described(entry)) for entry in found]
    snapshot("Kitaru models", rows or [("Models", "none found")])


@click.command()
@click.argument("alias")
@output_option
def default(alias: str, output: str) -> None:
    """Make ALIAS the model that `kitaru.llm()` calls when it is not told which."""
    entry = guarded("model.default", output, lambda: model_registry.set_default_model_alias(alias))
    _told("model.default", f"Default model alias: {entry.alias}", entry, output)


@click.command()
@click.argument("alias")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def delete(alias: str, yes: bool, output: str) -> None:
    """Remove ALIAS. Executions that were started with it keep it."""
    confirm("model.delete", f"Delete the model alias {alias}?", yes=yes, output=output)
    guarded("model.delete", output, lambda: model_registry.delete_model_alias(alias))
    if output == "json":
        print_item("model.delete", {"alias": alias.strip().lower(), "result": "deleted"})
        return
    success(f"Deleted model alias: {alias.strip().lower()}")


def _told(command: str, text: str, entry: ModelAliasEntry, output: str) -> None:
    if output == "json":
        print_item(command, _item(entry))
        return
    parts = [f"Model: {entry.model}"]
    if entry.secret is not None:
        parts.append(f"Secret: {entry.secret}")
    if entry.is_default:
        parts.append("Default alias")
    success(text, " | ".join(parts))


def _described(entry: ModelAliasEntry) -> str:
    secret = f" (secret={entry.secret})" if entry.secret is not None else ""
    return f"{entry.model}{secret}{' [default]' if entry.is_default else ''}"


def _item(entry: ModelAliasEntry) -> dict[str, Any]:
    from kitaru.inspection import serialize_model_alias

    return serialize_model_alias(entry)

"""``kitaru secrets``: keys and passwords in the secret store of the stack."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from kitaru.cli.confirming import confirm
from kitaru.cli.lazy import LazyGroup
from kitaru.cli.output import guarded, is_terminal, output_option, print_item, print_items, snapshot, success, warn
from kitaru.errors import KitaruNotFoundError, KitaruUsageError

if TYPE_CHECKING:
    from kitaru.client.secrets import Secret, Secrets

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_FILE_MAX = 1024 * 1024


@click.group(
    cls=LazyGroup,
    table={
        "set": ("kitaru.cli.secrets:set_command", "Make a secret, or set values of it."),
        "show": ("kitaru.cli.secrets:show", "Show which values a secret has."),
        "list": ("kitaru.cli.secrets:list_command", "Show the names of the secrets."),
        "delete": ("kitaru.cli.secrets:delete", "Remove a secret."),
    },
)
def secrets() -> None:
    """Keep keys and passwords where flows find them with `kitaru.get_secret(NAME)`.

    They lie in the secret store of the stack: encrypted on this machine, or in that of a cloud.
    """


@click.command(
    name="set",
    context_settings={"ignore_unknown_options": True},
    epilog="`--KEY=value` works too, but shows the value to everybody who can list this machine's processes, and to "
    "your shell's history.",
)
@click.argument("name")
@click.argument("keys", nargs=-1, type=click.UNPROCESSED, metavar="[KEY]...")
@click.option("--from-env", is_flag=True, help="Take the values of KEYs from environment variables of these names.")
@click.option(
    "--from-file",
    metavar="PATH",
    help="Take all values of a file: KEY=value lines, or a JSON object. With one KEY: its whole content is the value.",
)
@click.option("--stdin", is_flag=True, help="Take the value of the only KEY from stdin.")
@click.option("--replace", is_flag=True, help="Remove the values that are not given now.")
@output_option
def set_command(
    name: str, keys: tuple[str, ...], from_env: bool, from_file: str | None, stdin: bool, replace: bool, output: str
) -> None:
    """Make the secret NAME, or set values of it: other values of it stay.

    The values of the KEYs are asked for, and not shown. Without a terminal, they come from --from-env, --from-file or
    --stdin.

    Example: kitaru secrets set openai OPENAI_API_KEY
    """

    def changed() -> tuple[Secret, bool]:
        assigned, asked = _split(keys)
        if assigned:
            warn(
                "values on the command line can be seen by others, and stay in your shell's history. Better: `kitaru "
                f"secrets set {name} {' '.join(assigned)}`, which asks for them."
            )
        values = {**assigned, **_values(name, asked, from_env, from_file, stdin)}
        if not values:
            raise KitaruUsageError(f"no values: `kitaru secrets set {name} KEY` asks for one.")
        store = _secrets()
        known = name.strip() in store.list()
        return store.set(name.strip(), values, replace=replace), known

    secret, known = guarded("secrets.set", output, changed)
    result = "updated" if known else "created"
    if output == "json":
        print_item("secrets.set", {**_summary(secret), "result": result})
        return
    success(f"{result.capitalize()} secret: {secret.name}", f"Keys: {', '.join(secret.keys)}")


def _split(tokens: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """What ``--KEY=value`` and ``--KEY value`` assign, and the bare keys."""
    assigned: dict[str, str] = {}
    asked: list[str] = []
    rest = list(tokens)
    while rest:
        token = rest.pop(0)
        if token == "--":  # noqa: S105  the end of options
            continue
        if not token.startswith("--"):
            asked.append(_checked_key(token))
            continue
        key, given, value = token.removeprefix("--").partition("=")
        _checked_key(key)
        if not given:
            if not rest or rest[0].startswith("--"):
                raise KitaruUsageError(f"`--{key}` has no value. Leave the dashes out to be asked for it: `{key}`.")
            value = rest.pop(0)
        if not value:
            raise KitaruUsageError(f"the value of `{key}` is empty.")
        if key in assigned:
            raise KitaruUsageError(f"`{key}` is given twice.")
        assigned[key] = value
    for key in asked:
        if key in assigned or asked.count(key) > 1:
            raise KitaruUsageError(f"`{key}` is given twice.")
    return assigned, asked


def _checked_key(key: str) -> str:
    # What was typed is not quoted: it may be a value in the wrong place.
    if not key:
        raise KitaruUsageError("a key is empty: write `KEY`, or `--KEY=value`.")
    if not _KEY.fullmatch(key):
        raise KitaruUsageError("a key is not made of letters, digits and `_`, beginning with a letter or `_`.")
    return key


def _values(name: str, asked: list[str], from_env: bool, from_file: str | None, stdin: bool) -> dict[str, str]:
    sources = [option for option, given in _sources(from_env, from_file, stdin) if given]
    if len(sources) > 1:
        raise KitaruUsageError(f"{' and '.join(sources)} exclude each other.")
    if from_file is not None:
        return _of_file(from_file, asked)
    if not asked:
        return {}
    if from_env:
        return {key: _variable(key) for key in asked}
    if stdin:
        if len(asked) > 1:
            raise KitaruUsageError("--stdin is for one KEY. Use --from-file for several.")
        return {asked[0]: _not_empty(asked[0], sys.stdin.read().removesuffix("\n"))}
    if not is_terminal(sys.stdin):
        raise KitaruUsageError(
            f"there is no terminal to ask for the values. Use `kitaru secrets set {name} KEY --stdin`, --from-env or "
            "--from-file."
        )
    return {key: str(click.prompt(key, hide_input=True, err=True)) for key in asked}


def _sources(from_env: bool, from_file: str | None, stdin: bool) -> list[tuple[str, bool]]:
    return [("--from-env", from_env), ("--from-file", from_file is not None), ("--stdin", stdin)]


def _variable(key: str) -> str:
    value = os.environ.get(key)
    if not value:
        raise KitaruUsageError(f"the environment variable {key} is not set.")
    return value


def _not_empty(key: str, value: str) -> str:
    if not value:
        raise KitaruUsageError(f"the value of `{key}` is empty.")
    return value


def _of_file(path: str, asked: list[str]) -> dict[str, str]:
    if len(asked) > 1:
        raise KitaruUsageError("--from-file takes one KEY, for the whole content of the file, or none.")
    try:
        with open(os.path.expanduser(path), encoding="utf-8") as file:
            text = file.read(_FILE_MAX + 1)
    except OSError as error:
        raise KitaruUsageError(f"--from-file: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise KitaruUsageError(f"--from-file: {path} is no text.") from None
    if len(text) > _FILE_MAX:
        raise KitaruUsageError(f"--from-file: {path} has over {_FILE_MAX} characters.")
    if asked:
        return {asked[0]: _not_empty(asked[0], text)}
    return _of_json(path, text) if text.lstrip().startswith("{") else _of_lines(path, text)


def _of_json(path: str, text: str) -> dict[str, str]:
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        raise KitaruUsageError(f"--from-file: {path} begins like JSON and is none.") from None
    if not all(isinstance(value, str) for value in content.values()):
        raise KitaruUsageError(f"--from-file: {path} has values that are no texts.")
    return {_checked_key(key): _not_empty(key, value) for key, value in content.items()}


def _of_lines(path: str, text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().removeprefix("export ").strip()
        if not stripped or stripped.startswith("#"):
            continue
        key, given, value = stripped.partition("=")
        key, value = key.strip(), value.strip()
        if not given or not _KEY.fullmatch(key):
            raise KitaruUsageError(f"--from-file: line {number} of {path} is not KEY=value.")
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
            value = value[1:-1]
        values[key] = _not_empty(key, value)
    return values


@click.command()
@click.argument("name")
@click.option("--show-values", is_flag=True, help="Print the values, too.")
@output_option
def show(name: str, show_values: bool, output: str) -> None:
    """Show which values the secret NAME has; the values themselves only if they are asked for."""
    secret = guarded("secrets.show", output, lambda: _found(name))
    if output == "json":
        from kitaru.inspection import serialize_secret_detail

        print_item("secrets.show", serialize_secret_detail(secret, show_values=show_values))
        return
    rows: list[tuple[str, Any]] = [
        ("Name", secret.name),
        ("Secret ID", secret.name),
        ("Visibility", "private"),
        ("Keys", ", ".join(secret.keys) or "none"),
        ("Missing values", "no"),
    ]
    if show_values:
        rows += [(f"Value ({key})", secret.values[key]) for key in secret.keys]
    snapshot("Kitaru secret", rows)


@click.command(name="list")
@output_option
def list_command(output: str) -> None:
    """Show the names of the secrets of the stack in force."""
    found = guarded("secrets.list", output, lambda: sorted(_secrets().list(), key=lambda name: (name.lower(), name)))
    if output == "json":
        from kitaru.inspection import serialize_secret_summary

        items = guarded(
            "secrets.list", output, lambda: [serialize_secret_summary(_secrets().get(one)) for one in found]
        )
        print_items("secrets.list", items)
        return
    snapshot("Kitaru secrets", [(name, f"{name} (private)") for name in found] or [("Secrets", "none found")])


@click.command()
@click.argument("name")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@output_option
def delete(name: str, yes: bool, output: str) -> None:
    """Remove the secret NAME with all its values. They cannot be had back."""
    secret = guarded("secrets.delete", output, lambda: _found(name))
    confirm("secrets.delete", f"Delete the secret {secret.name} ({', '.join(secret.keys)})?", yes=yes, output=output)
    guarded("secrets.delete", output, lambda: _secrets().delete(secret.name))
    if output == "json":
        print_item("secrets.delete", {**_summary(secret), "result": "deleted"})
        return
    success(f"Deleted secret: {secret.name}")


def _found(name: str) -> Secret:
    try:
        return _secrets().get(name.strip())
    except KitaruNotFoundError as error:
        raise KitaruNotFoundError(
            f"Secret `{name.strip()}` was not found. `kitaru secrets list` shows them."
        ) from error


def _summary(secret: Secret) -> dict[str, Any]:
    from kitaru.inspection import serialize_secret_summary

    return serialize_secret_summary(secret)


def _secrets() -> Secrets:
    """The client's secrets; no journal is opened."""
    from kitaru.client.secrets import Secrets

    return Secrets()

"""Importing is free: no side effect, nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import kitaru

HEAVY = ("apsw", "sqlite3", "pydantic", "click", "rich", "pluggy", "fsspec", "platformdirs", "asyncio", "cloudpickle")
SDKS = ("boto3", "botocore", "google.cloud", "azure", "zenml", "litellm", "fastapi", "psycopg")


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running ``code``."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import kitaru",
        "import kitaru\n@kitaru.flow\ndef f(): pass\n@kitaru.checkpoint\ndef c(): pass",
        "import kitaru\n@kitaru.flow\nasync def f(): pass\n@kitaru.checkpoint(retries=2)\nasync def c(): pass",
    ],
    ids=["import", "decorate", "decorate async"],
)
def test_importing_and_decorating_load_nothing_heavy(code: str) -> None:
    assert not loaded_after(code) & {*HEAVY, *SDKS}


#: Ours, and what the providers' components use: a listing needs none of it.
BEHIND_PLUGINS = (*SDKS, "google", "fsspec", "s3fs", "gcsfs", "adlfs", "aiohttp", "pydantic", "apsw", "sqlite3")


@pytest.mark.parametrize("command", [["--help"], ["plugins", "list"], ["plugins", "list", "--output", "json"]])
def test_listing_plugins_and_commands_loads_no_sdk(command: list[str]) -> None:
    loaded = loaded_after(
        "from kitaru.cli.main import main\n"
        f"try:\n    main({command!r})\nexcept SystemExit as ended:\n    assert not ended.code, ended.code"
    )
    providers = {"kitaru_local", "kitaru_aws", "kitaru_gcp", "kitaru_azure"}
    assert {f"{package}.plugin" for package in providers} <= loaded, "all five packages are installed here"
    behind = {name for name in loaded if name.partition(".")[0] in providers} - providers
    assert behind == {f"{package}.plugin" for package in providers}
    # An installed distribution can have every interpreter load something, a namespace for instance.
    assert not (loaded - loaded_after("")) & {*BEHIND_PLUGINS, "rich", "asyncio"}


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["list"], 0),
        (["create", "--help"], 0),
        *((["create", "x", "--type", stack_type], 1) for stack_type in ("sagemaker", "vertex", "azureml")),
    ],
)
def test_rules_of_stacks_load_no_sdk(command: list[str], code: int) -> None:
    loaded = loaded_after(
        "from kitaru.cli.main import main\n"
        f"try:\n    main({['stack', *command]!r})\nexcept SystemExit as ended:\n    assert (ended.code or 0) == {code}"
    )
    sdks = {*SDKS, "google", "googleapiclient", "requests", "grpc", "msal", "s3fs", "fsspec"}
    assert not (loaded - loaded_after("")) & sdks


def test_importing_has_no_side_effect_on_logging_and_streams() -> None:
    code = (
        "import logging, sys\nbefore = list(logging.getLogger().handlers), sys.stdout, sys.stderr, sys.excepthook\n"
        "import kitaru\nassert before == (list(logging.getLogger().handlers), sys.stdout, sys.stderr, sys.excepthook)"
    )
    loaded_after(code)


def test_every_export_exists_and_is_found_lazily() -> None:
    for name in kitaru.__all__:
        assert getattr(kitaru, name) is not None, name
    assert set(kitaru.__all__) <= set(dir(kitaru))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        kitaru.nothing


def test_no_module_shadows_a_public_function() -> None:
    from pathlib import Path

    assert kitaru.__file__
    modules = {path.stem for path in Path(kitaru.__file__).parent.iterdir()}
    assert not modules & set(kitaru.__all__)

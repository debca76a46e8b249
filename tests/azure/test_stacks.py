"""Stacks on Azure: credentials, components, what the engine is told, and probes."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.azure.fake import TOKEN, FakeAzure

from kitaru import KitaruClient, flow
from kitaru.config import config_directory
from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack.components import Place
from kitaru.stack.credentials import Credentials
from kitaru_azure.credentials import parse_credentials

FIELDS = {
    "artifact_store": "abfss://box@account1.dfs.core.windows.net/x",
    "container_registry": "flows.azurecr.io",
    "subscription_id": "sub",
    "resource_group": "group",
    "workspace": "space",
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, Credentials()),
        (" ", Credentials()),
        ("IMPLICIT", Credentials()),
        (
            "azure-service-principal: T : C : S:1 ",
            Credentials("service-principal", {"tenant_id": "T", "client_id": "C"}, {"client_secret": "S:1"}),
        ),
        ("Azure-Access-Token: tok:en ", Credentials("access-token", {}, {"token": "tok:en"})),
    ],
)
def test_the_mini_language(text: str | None, expected: Credentials) -> None:
    assert parse_credentials(text) == expected
    assert "S:1" not in repr(parse_credentials(text)) and "tok:en" not in repr(parse_credentials(text))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hunter2", "none for Azure: use `implicit`"),
        ("azure-access-token:", "needs a token"),
        ("azure-service-principal:a:hunter2", "needs a tenant, a client and a secret"),
        ("azure-service-principal:a::hunter2", "needs a tenant, a client and a secret"),
        ("aws-profile:hunter2", "unknown credentials method `aws-profile`"),
    ],
)
def test_what_is_no_credentials_is_quoted_nowhere(text: str, told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told) as caught:
        parse_credentials(text)
    assert "hunter2" not in str(caught.value)


def test_components(tmp_path: Path) -> None:
    declared = plugin_manager().stack_type("azureml")
    made = {one.kind: one for one in declared.make_components(FIELDS, Place(tmp_path))}
    assert {kind: one.flavor for kind, one in made.items()} == {
        "orchestrator": "azureml",
        "artifact_store": "azure-blob",
        "container_registry": "acr",
        "log_store": "artifact-store",
        "secret_store": "azure-key-vault",
    }
    assert made["artifact_store"].settings["uri"] == FIELDS["artifact_store"]
    assert "location" not in made["orchestrator"].settings
    engine = declared.engine_stack({**FIELDS, "region": "westeurope"}, parse_credentials(f"azure-access-token:{TOKEN}"))
    assert [(one.kind, one.flavor, dict(one.configuration), one.resource) for one in engine.components] == [
        (
            "orchestrator",
            "azureml",
            {"subscription_id": "sub", "resource_group": "group", "workspace": "space", "location": "westeurope"},
            None,
        ),
        (
            "artifact_store",
            "azure",
            {"path": "abfs://box@account1.dfs.core.windows.net/x"},
            "abfss://box@account1.dfs.core.windows.net",
        ),
        ("container_registry", "azure", {"uri": "flows.azurecr.io"}, "flows.azurecr.io"),
    ]
    assert (engine.connector.type, dict(engine.connector.configuration)) == ("azure", {"subscription_id": "sub"})
    assert TOKEN not in repr(engine)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"artifact_store": "az://"}, "must name a container"),
        ({"artifact_store": "az://box/a//b"}, "no empty part"),
        ({"container_registry": "https:///"}, "a registry's address"),
    ],
)
def test_fields_that_cannot_be(wrong: dict[str, str], told: str, tmp_path: Path) -> None:
    declared = plugin_manager().stack_type("azureml")
    with pytest.raises(KitaruUsageError, match=told):
        declared.make_components({**FIELDS, **wrong}, Place(tmp_path))


# -- made and looked at ------------------------------------------------------------------------------------------------


@pytest.fixture
def account(azure: FakeAzure) -> dict[str, Any]:
    """A subscription with all that a stack needs; gives what `create` takes."""
    azure.workspaces.add("space")
    azure.containers.add("box")
    return {
        **FIELDS,
        "artifact_store": "az://box/kitaru",
        "container_registry": azure.host,
        "credentials": f"azure-access-token:{TOKEN}",
        "extra": {
            "artifact_store": {"endpoint_url": azure.url, "account_name": "account1", "management_url": azure.url}
        },
    }


def test_a_stack_is_looked_at_and_made(account: dict[str, Any]) -> None:
    made = KitaruClient().stacks.create("prod", "azureml", region="westeurope", **account)
    assert list(made.resources or {}) == [
        "provider", "subscription_id", "resource_group", "workspace", "artifact_store", "container_registry", "region",
    ]  # fmt: skip
    shown = {one.role: dict(one.details) for one in KitaruClient().stacks.show("prod").components}
    assert shown["runner"] == {
        "subscription_id": "sub", "resource_group": "group", "workspace": "space", "location": "westeurope",
    }  # fmt: skip
    everything = b"".join(path.read_bytes() for path in config_directory().rglob("*") if path.is_file())
    assert TOKEN.encode() not in everything

    @flow
    def never() -> None: ...

    with pytest.raises(KitaruFeatureNotAvailableError, match="flows cannot run on AzureML yet"):
        never.run()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"artifact_store": "az://none"}, "artifact store az://none: .*there is no such container"),
        ({"workspace": "other"}, "AzureML workspace other: .*there is no such workspace"),
        ({"credentials": "azure-access-token:another"}, "the credentials were refused"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_made(
    account: dict[str, Any], changed: dict[str, str], told: str
) -> None:
    with pytest.raises(KitaruBackendError, match=told) as caught:
        KitaruClient().stacks.create("prod", "azureml", **{**account, **changed})
    assert "nothing was created" in str(caught.value) and TOKEN not in str(caught.value)
    assert [one.stack.name for one in KitaruClient().stacks.list()] == ["default"]


def test_a_token_that_is_over_is_told_before_anybody_is_asked(account: dict[str, Any]) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": time.time() - 60}).encode()).decode().rstrip("=")
    with pytest.raises(KitaruBackendError, match="signing in to Azure failed: the access token expired at"):
        KitaruClient().stacks.create(
            "prod", "azureml", **{**account, "credentials": f"azure-access-token:a.{claims}.b"}
        )


def test_without_credentials_it_says_how_to_sign_in_and_no_more(account: dict[str, Any]) -> None:
    """In a process of its own, as a user sees it: the library's own account of what it tried is not shown."""
    told = {name: value for name, value in account.items() if name not in ("credentials", "extra")}
    flags = [part for name, value in told.items() for part in (f"--{name.replace('_', '-')}", value)]
    command = [sys.executable, "-m", "kitaru", "stack", "create", "prod", "--type", "azureml", *flags]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AZURE_")}
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, env=environment)
    assert done.returncode == 1 and "no credentials that work were found; sign in with `az login`" in done.stderr
    assert len(done.stderr.splitlines()) == 3, done.stderr


def test_a_typing_error_in_an_option(account: dict[str, Any]) -> None:
    extra = {"orchestrator": {"synchronus": False}}
    with pytest.raises(KitaruUsageError, match=r"\(flavor `azureml`\): `synchronus`\. Did you mean `synchronous`\?"):
        KitaruClient().stacks.create("prod", "azureml", **{**account, "extra": extra})

"""Stacks on Google Cloud: credentials, components, what the engine is told, probes, and the stores of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.gcp.conftest import PROJECT
from tests.gcp.fake import FakeGoogle

from kitaru import KitaruClient, flow
from kitaru.config import config_directory
from kitaru.errors import KitaruBackendError, KitaruFeatureNotAvailableError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.stack import operations, stacks
from kitaru.stack.components import Place
from kitaru.stack.credentials import Credentials
from kitaru_gcp.credentials import parse_credentials

REGION = "europe-west1"
REGISTRY = f"{REGION}-docker.pkg.dev/{PROJECT}/flows"
FIELDS = {"artifact_store": "gs://bucket/x", "container_registry": REGISTRY, "region": REGION}


# -- credentials ----------------------------------------------------------------------------------------------------


def test_the_mini_language(tmp_path: Path, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (None, " ", "Implicit"):
        assert parse_credentials(text) == Credentials()
    key = tmp_path / "key.json"
    key.write_text(account)
    monkeypatch.setenv("HOME", str(tmp_path))
    for path in (str(key), "~/key.json"):
        found = parse_credentials(f"GCP-service-account: {path}")
        assert (found.method, found.secret) == ("service-account", {"service_account_json": account})
        assert found.public == {"client_email": "flows@example.iam.gserviceaccount.com"}
        assert "PRIVATE" not in repr(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hunter2", "none for Google Cloud: use `implicit` or `gcp-service-account:/path/key.json`"),
        ("gcp-service-account:", "needs the path of a key"),
        ("gcp-service-account:/nowhere/hunter2", "cannot be read: No such file"),
        ("gcp-service-account:/", "cannot be read"),
        ("aws-profile:hunter2", "unknown credentials method `aws-profile`"),
    ],
)
def test_what_is_no_credentials_is_quoted_nowhere(text: str, told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told) as caught:
        parse_credentials(text)
    assert "hunter2" not in str(caught.value)


def test_a_file_that_is_no_key(tmp_path: Path) -> None:
    for content in ("{}", "hunter2", "[1]"):
        (tmp_path / "key").write_text(content)
        with pytest.raises(KitaruUsageError, match="no key of a service account"):
            parse_credentials(f"gcp-service-account:{tmp_path / 'key'}")


# -- what a stack is made of -----------------------------------------------------------------------------------------


def test_components(tmp_path: Path) -> None:
    gke = plugin_manager().stack_type("kubernetes", "gcp")
    fields = {**FIELDS, "cluster": "big", "namespace": "flows"}
    made = {one.kind: one for one in gke.make_components(fields, Place(tmp_path))}
    assert {kind: one.flavor for kind, one in made.items()} == {
        "orchestrator": "gke",
        "artifact_store": "gcs",
        "container_registry": "gar",
        "log_store": "artifact-store",
        "secret_store": "gcp-secret-manager",
    }
    assert made["orchestrator"].settings["project"] == made["secret_store"].settings["project"] == PROJECT
    engine = gke.engine_stack(fields, None)
    assert [(one.kind, one.flavor, dict(one.configuration), one.resource) for one in engine.components] == [
        ("orchestrator", "kubernetes", {"kubernetes_namespace": "flows"}, "big"),
        ("artifact_store", "gcp", {"path": "gs://bucket/x"}, "gs://bucket"),
        ("container_registry", "gcp", {"uri": REGISTRY}, REGISTRY),
    ]
    assert (engine.connector.type, dict(engine.connector.configuration)) == ("gcp", {"project_id": PROJECT})
    vertex = plugin_manager().stack_type("vertex")
    (orchestrator,) = [one for one in vertex.make_components(FIELDS, Place(tmp_path)) if one.kind == "orchestrator"]
    assert orchestrator.settings == {"project": PROJECT, "location": REGION}
    assert dict(vertex.engine_stack(FIELDS, None).components[0].configuration) == {"location": REGION}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"artifact_store": "gs://"}, "must name a bucket"),
        ({"container_registry": "docker.io/x"}, "Cannot infer GCP project ID"),
        ({"container_registry": "https:///"}, "address of a registry"),
    ],
)
def test_fields_that_cannot_be(wrong: dict[str, str], told: str, tmp_path: Path) -> None:
    declared = plugin_manager().stack_type("vertex")
    with pytest.raises(KitaruUsageError, match=told):
        declared.make_components({**FIELDS, **wrong}, Place(tmp_path))


# -- made, looked at, used -------------------------------------------------------------------------------------------


@pytest.fixture
def cloud(google: FakeGoogle, storage: str, bucket: str, account: str, tmp_path: Path) -> dict[str, Any]:
    """A project with all that a stack needs; gives what `create` takes."""
    google.existing |= {
        f"projects/{PROJECT}/locations/{REGION}/repositories/flows",
        f"projects/{PROJECT}/locations/{REGION}/clusters/big",
        f"projects/{PROJECT}/locations/{REGION}/pipelineJobs",
    }
    key = tmp_path / "key.json"
    key.write_text(account)
    here = {"endpoint_url": google.url}
    return {
        "artifact_store": f"gs://{bucket}/kitaru",
        "container_registry": REGISTRY,
        "region": REGION,
        "credentials": f"gcp-service-account:{key}",
        "extra": {"orchestrator": here, "container_registry": here, "artifact_store": {"endpoint_url": storage}},
    }


def test_stacks_are_looked_at_and_made(cloud: dict[str, Any], private_key: str) -> None:
    made = KitaruClient().stacks.create("prod", "kubernetes", cluster="big", **cloud)
    summed_up = ["provider", "cluster", "region", "namespace", "artifact_store", "container_registry"]
    assert list(made.resources or {}) == summed_up and made.stack.is_active
    shown = {one.role: dict(one.details) for one in KitaruClient().stacks.show("prod").components}
    assert shown["runner"] == {"cluster": "big", "region": REGION, "namespace": "default"}
    everything = b"".join(path.read_bytes() for path in config_directory().rglob("*") if path.is_file())
    assert private_key.splitlines()[3].encode() not in everything
    assert KitaruClient().stacks.create("jobs", "vertex", **cloud).stack_type == "vertex"
    assert dict(KitaruClient().stacks.show("jobs").components[0].details) == {"location": REGION}


def test_its_artifacts_and_what_its_orchestrator_lacks(cloud: dict[str, Any]) -> None:
    KitaruClient().stacks.create("prod", "vertex", **cloud)
    Path(cloud["credentials"].partition(":")[2]).unlink()  # it was read when the stack was made
    built, here = stacks.select("prod", operations.place()), operations.place()
    component = built.component("artifact_store")
    settings = stacks.component_settings(built, component, here)
    store = plugin_manager().flavor("artifact_store", component.flavor).build(settings)
    store.put("a", b"x")
    assert store.get("a") == b"x"

    @flow
    def never() -> None: ...

    with pytest.raises(KitaruFeatureNotAvailableError, match="flows cannot run on Vertex AI yet"):
        never.run()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"artifact_store": "gs://no-such-bucket"}, "artifact store gs://no-such-bucket: .*there is no such bucket"),
        ({"cluster": "none"}, "cluster none: .*there is no such cluster"),
        ({"container_registry": f"{REGISTRY}-none"}, "there is no such repository"),
    ],
)
def test_what_is_not_there_is_told_and_nothing_made(cloud: dict[str, Any], changed: dict[str, str], told: str) -> None:
    fields = {**cloud, "cluster": "big", **changed}
    with pytest.raises(KitaruBackendError, match=told) as caught:
        KitaruClient().stacks.create("prod", "kubernetes", **fields)
    assert "nothing was created" in str(caught.value) and "PRIVATE" not in str(caught.value)
    assert [one.stack.name for one in KitaruClient().stacks.list()] == ["default"]


def test_an_account_that_was_revoked(cloud: dict[str, Any], account: str, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps({**json.loads(account), "client_email": "revoked@example"}))
    with pytest.raises(KitaruBackendError, match="signing in to Google Cloud failed: the credentials were refused"):
        KitaruClient().stacks.create("prod", "vertex", **cloud)


def test_a_typing_error_in_an_option_is_told_before_anybody_is_asked(cloud: dict[str, Any], google: FakeGoogle) -> None:
    before = len(google.asked)
    extra = {"orchestrator": {"synchronus": False}}
    told = r"\(flavor `vertex`\): `synchronus`\. Did you mean `synchronous`\? See https://docs\.zenml\.io/.*vertex"
    with pytest.raises(KitaruUsageError, match=told):
        KitaruClient().stacks.create("prod", "vertex", **{**cloud, "extra": extra})
    assert len(google.asked) == before

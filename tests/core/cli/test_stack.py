"""``kitaru stack``: text and JSON, flags and files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from tests.core.stack.clouds import three_clouds

import kitaru
from kitaru.cli.main import cli
from kitaru.cli.stack_create import _print, _request
from kitaru.errors import KitaruUsageError
from kitaru.stack.records import DEFAULT_ID
from kitaru.stack.types import StackType, using
from kitaru.stack_models import StackCreateResult, StackInfo


def run(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["stack", *arguments], input=given)


def item(*arguments: str) -> Any:
    return json.loads(run(*arguments, "-o", "json").stdout)["item"]


def test_text() -> None:
    assert run("list").stdout == f"Kitaru stacks\n  default: {DEFAULT_ID} (active)\n"
    assert run("create", "dev").stdout == "Created stack: dev\n  Active stack: default → dev\n"
    stack_id = kitaru.current_stack().id
    assert run("current").stdout == f"Kitaru stack\n  Active stack: dev\n  Stack ID: {stack_id}\n"
    shown = run("show", "dev").stdout.splitlines()
    assert shown[1:6] == ["  Name: dev", f"  ID: {stack_id}", "  Type: local", "  Active: yes", "  Managed: yes"]
    assert shown[6] == "  Runner: dev (local)" and shown[7].startswith("  Storage: dev (local); location: file:///")
    assert shown[9] == "  Additional component #2: dev (local); purpose: secret_store"
    assert run("use", "default").stdout == f"Activated stack: default\n  Stack ID: {DEFAULT_ID}\n"
    assert run("create", "quiet", "--no-activate").stdout == "Created stack: quiet\n"
    deleted = run("delete", "dev", "--recursive").stdout
    assert deleted == "Deleted stack: dev\n  Deleted components: dev (orchestrator), dev (artifact_store)\n"
    run("use", "quiet")
    assert run("delete", "quiet", "--force").stdout == "Deleted stack: quiet\n  Active stack: default\n"


def test_json() -> None:
    made = item("create", "dev")
    assert made == {
        "id": kitaru.current_stack().id,
        "name": "dev",
        "is_active": True,
        "previous_active_stack": "default",
        "components_created": ["dev (orchestrator)", "dev (artifact_store)"],
        "stack_type": "local",
    }
    rows = json.loads(run("list", "-o", "json").stdout)
    assert rows["command"] == "stack.list" and [row["is_managed"] for row in rows["items"]] == [False, True]
    assert item("current") == {key: made[key] for key in ("id", "name", "is_active")} == item("use", "dev")
    shown = item("show", made["id"])
    assert (shown["stack_type"], shown["is_managed"]) == ("local", True)
    assert shown["components"][0] == {"role": "runner", "name": "dev", "backend": "local"}
    assert shown["components"][2] == {
        "role": "additional_component", "name": "dev", "backend": "local", "purpose": "log_store",
    }  # fmt: skip
    gone = item("delete", "dev", "--force")
    assert gone == {"deleted_stack": "dev", "components_deleted": [], "new_active_stack": "default", "recursive": False}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("show", "none"), "Stack 'none' not found. The stacks here: default. See `kitaru stack list`."),
        (("use", " "), "Stack name or ID cannot be empty."),
        (("delete", "default"), "cannot be deleted"),
        (("create",), "Stack name cannot be empty"),
        (("create", "  "), "Stack name cannot be empty"),
        (("create", "x", "--type", ""), "Unsupported stack type: ."),
        (("create", "x", "--workspace", "w"), "AzureML-only options require --type azureml: --workspace"),
        (("create", "x", "--async"), "--async requires"),
        (("create", "x", "--extra", "a"), "Invalid --extra value 'a'. Use TARGET.FIELD=VALUE."),
        (("create", "x", "--file", "none.yaml"), "Stack config file 'none.yaml' not found."),
    ],
)
def test_what_cannot_be_is_an_error_in_both_formats(arguments: tuple[str, ...], told: str) -> None:
    text, machine = run(*arguments), run(*arguments, "-o", "json")
    assert text.exit_code == machine.exit_code == 1
    assert told in text.stderr and told in json.loads(machine.stderr)["error"]["message"]
    assert [one.name for one in kitaru.list_stacks()] == ["default"]


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def clouds() -> Iterator[None]:
    with using(three_clouds()):
        yield


NOTHING: dict[str, Any] = {
    **dict.fromkeys(
        [
            "file",
            "stack_type",
            "artifact_store",
            "container_registry",
            "cluster",
            "region",
            "subscription_id",
            "resource_group",
            "workspace",
            "execution_role",
            "namespace",
            "credentials",
        ]
    ),
    "extra": (),
    "no_activate": False,
    "async_mode": False,
    "no_verify": False,
}


def request(name: str | None = None, **options: Any) -> Any:
    return _request(name, {**NOTHING, **options})


FILE = """
name: prod
type: kubernetes
activate: false
artifact-store: s3://bucket
container_registry: 1.dkr.ecr.eu-west-1.amazonaws.com
cluster: big
region: eu-west-1
namespace: null
verify: false
async: true
extra:
  orchestrator: {pod: {memory: 1Gi, cpu: 1}}
"""


def test_a_file_says_what_flags_do_not(clouds: None, tmp_path: Path) -> None:
    path = tmp_path / "stack.yaml"
    path.write_text(FILE)
    told = request(file=str(path))
    assert (told.name, told.activate, told.stack_type) == ("prod", False, "kubernetes")
    spec = told.remote_spec
    assert (spec.cluster, spec.namespace, spec.verify, spec.provider) == ("big", "default", False, "aws")
    assert told.component_overrides.orchestrator == {"pod": {"memory": "1Gi", "cpu": 1}, "synchronous": False}
    flags = request(
        " other ", file=str(path), cluster="small", region="us-east-1",
        extra=("orchestrator.pod.cpu=2", "orchestrator.synchronous=true"),
    )  # fmt: skip
    assert (flags.name, flags.remote_spec.cluster, flags.remote_spec.region) == ("other", "small", "us-east-1")
    assert flags.component_overrides.orchestrator == {"pod": {"memory": "1Gi", "cpu": 2}, "synchronous": True}
    with pytest.raises(KitaruUsageError, match="--type kubernetes requires: --cluster"):
        request(file=str(path), cluster=" ")
    with pytest.raises(KitaruUsageError, match="Unsupported stack type"):
        request(file=str(path), stack_type="")
    path.write_text("")
    assert request("empty", file=str(path)).stack_type == "local"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{2: a, true: b}", "can only use string keys, got 2, True"),
        ("{name: n, zone: a, colour: b}", "Unsupported stack config keys in '{path}': colour, zone."),
        ("{artifact-store: a, artifact_store: b}", "'artifact-store' and 'artifact_store'"),
        ("{name: 3}", "'name' in stack config file '{path}' must be a string"),
        ("{activate: 'yes'}", "'activate' in stack config file '{path}' must be true or false"),
        ("{extra: 3}", "'extra' in stack config file '{path}' must be a mapping"),
        ("{extra: {boat: {}}}", "Unsupported --extra target 'boat'"),
        ("[a]", "must be a mapping"),
        ("credentials: 'hunter2\nname: [", "Invalid YAML in stack config file '{path}'"),
        (b"\xff\xfe\x00", "Invalid YAML"),
    ],
)
def test_a_file_that_cannot_be(clouds: None, tmp_path: Path, content: str | bytes, told: str) -> None:
    path = tmp_path / "stack.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(KitaruUsageError) as caught:
        request("n", file=str(path))
    assert told.replace("{path}", str(path)) in str(caught.value) and "hunter2" not in str(caught.value)


PLACE = {"artifact_store": "s3://b", "container_registry": "r"}
KEPT = ["Artifacts:   s3://b", "Registry:    r"]


@pytest.mark.parametrize(
    ("stack_type", "resources", "lines"),
    [
        (
            "kubernetes",
            {"provider": "aws", "cluster": "c", "region": "eu", "namespace": "n", **PLACE},
            ["Provider:    aws", "Cluster:     c (eu)", *KEPT],
        ),
        (
            "sagemaker",
            {"provider": "aws", "region": "eu", **PLACE, "execution_role": "x"},
            ["Provider:    aws", "Region:      eu", *KEPT, "Execution role: x"],
        ),
        (
            "azureml",
            {"provider": "azure", "subscription_id": "s", "workspace": "w", **PLACE, "region": "eu"},
            ["Provider:    azure", "Subscription: s", "Workspace:   w", "Region:      eu", *KEPT],
        ),
    ],
)
def test_what_was_made_is_summed_up(
    stack_type: str, resources: dict[str, str], lines: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    _print(StackCreateResult(StackInfo("i", "n", True), "old", (), StackType(stack_type), (), resources))
    head, *rest = capsys.readouterr().out.splitlines()
    assert head == f"Created stack: n ({stack_type})"
    assert rest == [f"  {line}" for line in [*lines, "Active stack: old → n"]]


def test_credentials_can_come_from_stdin(monkeypatch: pytest.MonkeyPatch, clouds: None) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO("aws-access-keys:ID:hunter2\n"))
    made = request(
        "n", stack_type="sagemaker", artifact_store="s3://b", container_registry="r", region="e", execution_role="x",
        credentials="-",
    )  # fmt: skip
    assert made.remote_spec.credentials == "aws-access-keys:ID:hunter2"

"""What goes with which stack type: every combination, message for message, in the order in which it is checked."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator

import pytest
from tests.core.stack.clouds import FIELDS, MATRIX, REMOTE, SOURCE, TYPES, declared, three_clouds

from kitaru.errors import KitaruUsageError
from kitaru.plugins.declarations import StackType as Declared
from kitaru.plugins.declarations import UriScheme
from kitaru.stack.labels import CLI_STACK_OPTION_LABELS, MCP_STACK_OPTION_LABELS, StackOptionLabels
from kitaru.stack.overrides import StackComponentConfigOverrides
from kitaru.stack.remote_specs import RemoteStackSpec, build_remote_stack_spec
from kitaru.stack.requests import (
    ManageStackCreateRequest,
    ManageStackDeleteRequest,
    build_manage_stack_request,
    build_stack_create_request,
)
from kitaru.stack.rules import (
    infer_cloud_provider,
    normalize_optional_stack_string,
    normalize_stack_type,
    render_alternatives,
    validate_explicit_field_usage,
)
from kitaru.stack.types import CloudProvider, StackCatalog, StackType, catalog, using

CLI, MCP = CLI_STACK_OPTION_LABELS, MCP_STACK_OPTION_LABELS
STORE = {"kubernetes": "s3://bucket", "vertex": "gs://bucket", "sagemaker": "s3://bucket", "azureml": "az://box"}
FOUR = "--type kubernetes, --type vertex, --type sagemaker, or --type azureml"
ONLY = {
    "cluster": "Kubernetes-only options require --type kubernetes",
    "namespace": "Kubernetes-only options require --type kubernetes",
    "subscription_id": "AzureML-only options require --type azureml",
    "resource_group": "AzureML-only options require --type azureml",
    "workspace": "AzureML-only options require --type azureml",
    "execution_role": "SageMaker-only options require --type sagemaker",
}
REQUIRED = {
    "kubernetes": ["artifact_store", "container_registry", "cluster", "region"],
    "vertex": ["artifact_store", "container_registry", "region"],
    "sagemaker": ["artifact_store", "container_registry", "region", "execution_role"],
    "azureml": ["artifact_store", "container_registry", "subscription_id", "resource_group", "workspace"],
}


@pytest.fixture(autouse=True)
def clouds() -> Iterator[StackCatalog]:
    with using(three_clouds()) as made:
        yield made


def flag(field: str) -> str:
    return "--no-verify" if field == "verify" else f"--{field.replace('_', '-')}"


def complete(stack_type: str) -> dict[str, str | None]:
    """Options that make a stack of this type: those that it needs."""
    given: dict[str, str | None] = dict.fromkeys(FIELDS)
    for field in REQUIRED.get(stack_type, ()):
        given[field] = STORE[stack_type] if field == "artifact_store" else f"a {field}"
    return given


def build(
    stack_type: str, given: dict[str, str | None], *, verify: bool = True, labels: StackOptionLabels = CLI
) -> RemoteStackSpec | None:
    return build_remote_stack_spec(stack_type=StackType(stack_type), verify=verify, labels=labels, **given)  # type: ignore[arg-type]


def refusal(stack_type: str, given: dict[str, str | None], *, verify: bool = True) -> str:
    with pytest.raises(KitaruUsageError) as caught:
        build(stack_type, given, verify=verify)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


# -- names ----------------------------------------------------------------------------------------------------------


def test_types_and_providers_have_an_order() -> None:
    assert tuple(StackType) == TYPES and [one.value for one in CloudProvider] == ["aws", "gcp", "azure"]
    assert StackType.AZUREML == "azureml" and CloudProvider.GCP == "gcp"  # type: ignore[attr-defined]


@pytest.mark.parametrize(("raw", "trimmed"), [(None, None), ("", None), ("  \t", None), (" a b ", "a b")])
def test_blank_texts_are_none(raw: str | None, trimmed: str | None) -> None:
    assert normalize_optional_stack_string(raw) == trimmed


@pytest.mark.parametrize(
    ("items", "text"),
    [(["A"], "A"), (["A", "B"], "A or B"), (["A", "B", "C"], "A, B, or C"), (list("abcd"), "a, b, c, or d")],
)
def test_alternatives(items: str, text: str) -> None:
    assert render_alternatives(list(items)) == text


@pytest.mark.parametrize("name", TYPES)
def test_a_type_is_trimmed_and_lowered(name: str) -> None:
    assert normalize_stack_type(f"  {name.upper()} ") == name


@pytest.mark.parametrize("raw", ["", "  ", "kube", " Nope "])
def test_another_type_is_echoed_as_it_was_written(raw: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        normalize_stack_type(raw)
    told = "Use 'local', 'kubernetes', 'vertex', 'sagemaker', or 'azureml'."
    assert str(caught.value) == f"Unsupported stack type: {raw}. {told}"


def test_an_interface_may_take_fewer_types() -> None:
    with pytest.raises(KitaruUsageError, match=r"^Unsupported stack type: vertex\. Use 'local' or 'azureml'\.$"):
        normalize_stack_type("vertex", allowed_stack_types=(StackType("local"), StackType("azureml")))


@pytest.mark.parametrize(
    ("uri", "provider"),
    [("s3://b", "aws"), ("gs://b/p", "gcp"), ("az://c", "azure"), ("abfs://c", "azure"), ("abfss://c@a/x", "azure")],
)
def test_the_scheme_tells_the_provider(uri: str, provider: str) -> None:
    assert infer_cloud_provider(uri) == provider


@pytest.mark.parametrize("uri", ["S3://b", " s3://b", "s3:/b", "http://x", "", "file:///x"])
def test_another_scheme_names_those_there_are(uri: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        infer_cloud_provider(uri)
    text = str(caught.value)
    assert text.startswith(f"Cannot infer cloud provider from '{uri}'.")
    assert all(scheme in text for scheme in ("s3://", "gs://", "az://", "abfs://", "abfss://"))


# -- options that a type does not take --------------------------------------------------------------------------------


@pytest.mark.parametrize(("stack_type", "field", "value"), [*itertools.product(TYPES, MATRIX, ["given", "  ", None])])
def test_one_option_more_than_what_a_type_needs(stack_type: str, field: str, value: str | None) -> None:
    """Every combination of type and field, given, blank and missing; a blank one is given."""
    given, verify = complete(stack_type), True
    rule = MATRIX[field].get(stack_type)
    if field == "verify":
        verify = value is None
    elif not (value == "given" and rule == "R"):
        given[field] = value
    if rule is None and value is not None:
        expected = (
            f"{ONLY[field]}: {flag(field)}" if field in ONLY else f"Remote stack options require {FOUR}: {flag(field)}"
        )
        assert refusal(stack_type, given, verify=verify) == expected
    elif rule == "R" and value != "given":
        assert refusal(stack_type, given) == f"--type {stack_type} requires: {flag(field)}."
    elif stack_type == "local":
        assert build(stack_type, given, verify=verify) is None
    else:
        spec = build(stack_type, given, verify=verify)
        assert spec is not None and spec.verify is verify
        if rule is not None and field not in ("verify", "artifact_store"):
            default = "default" if field == "namespace" else None
            assert getattr(spec, field) == ((given[field] or "").strip() or default)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"artifact_store": " ", "cluster": "c"}, "Kubernetes-only options require --type kubernetes: --cluster"),
        (
            {"cluster": "c", "namespace": ""},
            "Kubernetes-only options require --type kubernetes: --cluster, --namespace",
        ),
        ({"execution_role": "r", "workspace": "w"}, "AzureML-only options require --type azureml: --workspace"),
        ({"execution_role": "r", "cluster": "c"}, "Kubernetes-only options require --type kubernetes: --cluster"),
        (
            {"region": "r", "artifact_store": "a", "credentials": ""},
            f"Remote stack options require {FOUR}: --artifact-store, --region, --credentials",
        ),
    ],
)
def test_of_several_groups_the_narrowest_is_told(given: dict[str, str], told: str) -> None:
    assert refusal("local", {**dict.fromkeys(FIELDS), **given}) == told


def test_a_tool_call_reads_its_own_words() -> None:
    with pytest.raises(KitaruUsageError) as caught:
        build("vertex", {**complete("vertex"), "cluster": "c"}, labels=MCP)
    assert str(caught.value) == 'Kubernetes-only options require `stack_type="kubernetes"`: `cluster`'
    validate_explicit_field_usage(stack_type=StackType("local"), provided_fields={"region": False}, labels=MCP)


# -- specs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stack_type", REMOTE)
def test_all_that_is_missing_is_told_at_once_and_in_order(stack_type: str) -> None:
    required = REQUIRED[stack_type]
    for count in range(1, len(required) + 1):
        for missing in itertools.combinations(required, count):
            given = {**complete(stack_type), **dict.fromkeys(missing, " " if count % 2 else None)}
            told = ", ".join(map(flag, missing))
            assert refusal(stack_type, given) == f"--type {stack_type} requires: {told}."


@pytest.mark.parametrize(
    ("stack_type", "uri", "told"),
    [
        ("vertex", "s3://b", "Vertex stacks require a gs:// artifact store URI, got 's3://b'."),
        ("sagemaker", "gs://b", "SageMaker stacks require an s3:// artifact store URI, got 'gs://b'."),
        (
            "azureml",
            "s3://b",
            "AzureML stacks require an az://, abfs://, or abfss:// artifact store URI, got 's3://b'.",
        ),
    ],
)
def test_the_artifact_store_is_of_the_types_provider(stack_type: str, uri: str, told: str) -> None:
    assert refusal(stack_type, {**complete(stack_type), "artifact_store": uri}) == told


def test_kubernetes_is_where_its_artifacts_are() -> None:
    for uri, provider in (("s3://b", "aws"), ("gs://b", "gcp")):
        spec = build("kubernetes", {**complete("kubernetes"), "artifact_store": f" {uri} "})
        assert spec is not None and (spec.provider, spec.artifact_store) == (provider, uri)
    told = refusal("kubernetes", {**complete("kubernetes"), "artifact_store": "az://b"})
    assert (
        told.startswith("Cannot infer cloud provider from 'az://b'")
        and "an s3:// or gs://" in told
        and "az://," not in told
    )


def test_a_spec_shows_no_credentials_and_has_what_it_was_given() -> None:
    given = {**complete("azureml"), "credentials": "azure-access-token:hunter2", "region": "  "}
    spec = build("azureml", given, verify=False)
    assert spec is not None and "hunter2" not in repr(spec)
    assert (spec.credentials, spec.region, spec.verify) == ("azure-access-token:hunter2", None, False)
    assert spec.fields == {field: given[field] for field in REQUIRED["azureml"]}
    with pytest.raises(AttributeError, match="no field 'cluster'"):
        _ = spec.cluster


# -- requests -------------------------------------------------------------------------------------------------------


def test_the_order_of_a_requests_checks() -> None:
    """Type, async, targets of overrides, then fields."""
    everything_wrong = {
        "name": " n ",
        "activate": True,
        "async_enabled": True,
        "cluster": "c",
        "component_overrides": StackComponentConfigOverrides(container_registry={"a": 1}),
        "labels": CLI,
    }
    with pytest.raises(KitaruUsageError, match="Unsupported stack type: x"):
        build_stack_create_request(stack_type="x", **everything_wrong)  # type: ignore[arg-type]
    with pytest.raises(KitaruUsageError) as caught:
        build_stack_create_request(stack_type="local", **everything_wrong)  # type: ignore[arg-type]
    assert str(caught.value) == f"--async requires {FOUR}."
    with pytest.raises(KitaruUsageError, match=r"--extra container_registry\.\* cannot be used with --type local"):
        build_stack_create_request(stack_type="local", **{**everything_wrong, "async_enabled": False})  # type: ignore[arg-type]
    with pytest.raises(KitaruUsageError, match="Kubernetes-only"):
        build_stack_create_request(stack_type="vertex", **everything_wrong)  # type: ignore[arg-type]
    made = build_stack_create_request(
        name=" n ", activate=False, stack_type="Vertex", async_enabled=True, labels=CLI,
        artifact_store="gs://b", container_registry="r", region="eu",
    )  # fmt: skip
    assert isinstance(made, ManageStackCreateRequest) and (made.name, made.activate) == (" n ", False)
    assert made.component_overrides.orchestrator == {"synchronous": False} and made.remote_spec is not None


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"action": "make"}, '`action` must be "create" or "delete".'),
        ({"action": "create", "force": True}, '`recursive` and `force` are only valid when action="delete".'),
        ({"action": "create", "extra": 3}, "`extra` must be an object when provided."),
        ({"action": "create", "extra": {"x": {}}, "stack_type": "zz"}, "Unsupported `extra` target 'x'"),
        ({"action": "delete", "activate": False}, '`activate` is only valid when action="create".'),
        ({"action": "delete", "stack_type": "zz"}, "Unsupported stack type: zz"),
        (
            {
                "action": "delete",
                "stack_type": "vertex",
                "extra": {},
                "async_mode": True,
                "verify": False,
                "region": "",
            },
            (
                'Stack create options are only valid when action="create": '
                "`stack_type`, `region`, `verify`, `extra`, `async_mode`"
            ),
        ),
    ],
)
def test_a_tool_call_that_cannot_be(arguments: dict[str, object], told: str) -> None:
    with pytest.raises(KitaruUsageError) as caught:
        build_manage_stack_request(name="n", **arguments)  # type: ignore[arg-type]
    assert str(caught.value).startswith(told)


def test_tool_calls() -> None:
    gone = build_manage_stack_request(action="delete", name="n", recursive=True, force=True)
    assert gone == ManageStackDeleteRequest("n", True, True)
    made = build_manage_stack_request(
        action="create", name="n", stack_type="sagemaker", artifact_store="s3://b", container_registry="r", region="eu",
        execution_role="x", extra={"orchestrator": {"instance": {"type": "big"}}},
    )  # fmt: skip
    assert isinstance(made, ManageStackCreateRequest) and made.activate
    assert made.component_overrides.orchestrator == {"instance": {"type": "big"}}
    local = build_manage_stack_request(action="create", name="n")
    assert isinstance(local, ManageStackCreateRequest) and local.remote_spec is None


# -- other installations ----------------------------------------------------------------------------------------------


def test_a_cloud_that_nobody_here_has_heard_of() -> None:
    """Adding one touches no file of the core: all of it comes from the declaration."""
    nimbus = in_the_clouds("nimbus", "nimbus-cloud")
    base = three_clouds()
    types = [nimbus, *(one for name in TYPES for one in base.of(name))]
    with using(StackCatalog(types, [UriScheme("nim://", "nimbus-cloud", SOURCE)])):
        assert tuple(StackType) == (*TYPES, "nimbus") and catalog().fields[-1] == "altitude"
        assert infer_cloud_provider("nim://x") == "nimbus-cloud"
        request = build_stack_create_request(
            name="n", activate=True, stack_type="nimbus", artifact_store="nim://x", labels=CLI,
            more_fields={"altitude": " high "},
        )  # fmt: skip
        assert request.remote_spec is not None
        assert request.remote_spec.fields == {"artifact_store": "nim://x", "altitude": "high"}
        for wrong, told in (
            ({"stack_type": "nimbus", "artifact_store": "nim://x"}, "--type nimbus requires: --altitude."),
            (
                {"stack_type": "local", "more_fields": {"altitude": "x"}},
                "Nimbus-only options require --type nimbus: --altitude",
            ),
            (
                {"stack_type": "nimbus", "artifact_store": "s3://x", "more_fields": {"altitude": "x"}},
                "Cannot infer cloud provider from 's3://x'. Use a nim:// artifact store URI.",
            ),
        ):
            with pytest.raises(KitaruUsageError) as caught:
                build_stack_create_request(name="n", activate=True, labels=CLI, **wrong)  # type: ignore[arg-type]
            assert str(caught.value).startswith(told)


def in_the_clouds(name: str, provider: str) -> Declared:
    made = declared("azureml", provider)
    return dataclasses.replace(
        made, name=name, display="Nimbus", fields={"artifact_store": "required", "altitude": "required"}
    )


def test_without_providers_it_says_what_to_install() -> None:
    with using(StackCatalog([declared("local", "local")])):
        with pytest.raises(KitaruUsageError, match=r"pip install 'kitaru\[aws\]'"):
            normalize_stack_type("sagemaker")
        with pytest.raises(KitaruUsageError, match=r"pip install 'kitaru\[gcp\]'"):
            infer_cloud_provider("gs://b")
        told = refusal("local", {**dict.fromkeys(FIELDS), "cluster": "c"})
        assert told.startswith("Stack-specific options require a stack type that is not installed: --cluster.")
        with pytest.raises(KitaruUsageError, match=r"--async requires a remote stack type\. Install"):
            build_stack_create_request(name="n", activate=True, stack_type="local", async_enabled=True, labels=CLI)

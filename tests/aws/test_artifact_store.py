"""S3, on moto's server."""

from __future__ import annotations

from typing import Any

import pytest
from tests.aws.conftest import SECRET
from tests.emulators.uses import break_an_upload, use_in_a_forked_child

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import ArtifactStoreConformance, FlavorSettings
from kitaru_aws.config import S3Config
from kitaru_aws.session import client


def store(settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor("artifact_store", "s3").build(settings)


@pytest.fixture
def settings(aws: dict[str, Any], bucket: str) -> dict[str, Any]:
    return {**aws, "uri": f"s3://{bucket}/some/folder", "path_style": True}


class TestS3ArtifactStore(ArtifactStoreConformance):
    @pytest.fixture
    def artifact_store(self, settings: dict[str, Any]) -> Any:
        return store(settings)

    @pytest.fixture
    def flavor_settings(self, settings: dict[str, Any]) -> FlavorSettings:
        return FlavorSettings("artifact_store", "s3", settings, (SECRET,))

    @pytest.fixture
    def unreachable_artifact_store(self, settings: dict[str, Any]) -> Any:
        return store({**settings, "endpoint_url": "http://127.0.0.1:9"})


def test_making_one_uses_no_network() -> None:
    store({"uri": "s3://bucket", "endpoint_url": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("gs://bucket", "s3://BUCKET/path"),
        ("s3://", "must name a bucket"),
        ("s3:///path", "must name a bucket"),
        ("s3://Bucket", "lower-case"),
        ("s3://b/a//b", "s3://BUCKET/path"),
        ("s3://bucket/x?y", "s3://BUCKET/path"),
    ],
)
def test_addresses_that_cannot_be(uri: str, told: str) -> None:
    with pytest.raises(KitaruUsageError, match=told):
        store({"uri": uri})


def test_a_bucket_that_is_missing_is_no_missing_value(settings: dict[str, Any]) -> None:
    missing = store({**settings, "uri": "s3://no-such-bucket"})
    for use in (lambda: missing.put("a", b"x"), lambda: missing.get("a"), lambda: list(missing.list())):
        with pytest.raises(KitaruBackendError, match=r"no-such-bucket failed: there is no such bucket.*NoSuchBucket"):
            use()


def test_what_lies_beside_the_root_is_not_seen(settings: dict[str, Any], bucket: str) -> None:
    one, beside = store(settings), store({**settings, "uri": f"s3://{bucket}/some/folder2"})
    one.put("a", b"1")
    beside.put("a", b"2")
    assert list(one.list()) == ["a"] and one.get("a") == b"1"


def test_an_upload_that_breaks_leaves_no_parts(settings: dict[str, Any], bucket: str) -> None:
    break_an_upload(store(settings))
    assert "Uploads" not in client("s3", S3Config(**settings)).list_multipart_uploads(Bucket=bucket)


def test_a_forked_child_has_a_client_of_its_own(settings: dict[str, Any]) -> None:
    use_in_a_forked_child(store(settings))


@pytest.mark.parametrize(
    ("credentials", "told"),
    [
        ({"method": "implicit", "profile_name": "no-such-profile"}, "no such profile"),
        ({"method": "implicit"}, "no credentials were found"),
    ],
)
def test_credentials_that_are_not_there(
    settings: dict[str, Any], credentials: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/nowhere")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KitaruBackendError, match=told) as caught:
        store({**settings, "credentials": credentials}).put("a", b"x")
    assert SECRET not in str(caught.value)

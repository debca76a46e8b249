"""GCS, on an emulator."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from google.api_core.exceptions import PreconditionFailed
from tests.emulators.uses import break_an_upload, use_in_a_forked_child
from tests.gcp.conftest import PROJECT

from kitaru.errors import KitaruBackendError, KitaruUsageError
from kitaru.plugins.manager import plugin_manager
from kitaru.testing.conformance import ArtifactStoreConformance, FlavorSettings
from kitaru_gcp.artifact_store import GcsArtifactStore
from kitaru_gcp.config import GcsConfig


def store(settings: dict[str, Any]) -> Any:
    return plugin_manager().flavor("artifact_store", "gcs").build(settings)


@pytest.fixture
def settings(storage: str, signed: dict[str, str], bucket: str) -> dict[str, Any]:
    return {"endpoint_url": storage, "credentials": signed, "uri": f"gs://{bucket}/some/folder"}


class Aging(GcsArtifactStore):
    """Has values that look as if they were put a day ago: the emulator lets nobody change when that was."""

    def __init__(self, config: GcsConfig) -> None:
        super().__init__(config)
        self.old: set[tuple[str, int]] = set()

    def age(self, key: str) -> None:
        blob = self._blob(key)
        blob.reload()
        self.old.add((key, blob.generation))

    def _put_at(self, key: str, blob: Any) -> datetime:
        day = timedelta(days=1 if (key, blob.generation) in self.old else 0)
        return super()._put_at(key, blob) - day


class TestGcsArtifactStore(ArtifactStoreConformance):
    @pytest.fixture
    def artifact_store(self, settings: dict[str, Any]) -> Any:
        return Aging(GcsConfig(**settings))

    @pytest.fixture
    def grow_old(self, artifact_store: Any) -> Any:
        return artifact_store.age

    @pytest.mark.skip(reason="the emulator enforces no preconditions: see the test of what is sent")
    def test_a_put_beside_a_sweep_leaves_its_value(self) -> None: ...  # type: ignore[override]

    @pytest.fixture
    def flavor_settings(self, settings: dict[str, Any], private_key: str) -> FlavorSettings:
        return FlavorSettings("artifact_store", "gcs", settings, (private_key, private_key.splitlines()[5]))

    @pytest.fixture
    def unreachable_artifact_store(self, settings: dict[str, Any]) -> Any:
        return store({**settings, "endpoint_url": "http://127.0.0.1:9"})


def test_a_sweep_deletes_only_the_generation_that_it_has_seen(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Google refuses the deletion with 412 then, and the value stays."""
    one = Aging(GcsConfig(**settings))
    one.put("value", b"x")
    one.age("value")
    sent: list[tuple[str, dict[str, Any]]] = []
    connection = one._client._connection
    original = connection.api_request

    def request(*args: Any, **kwargs: Any) -> Any:
        sent.append((kwargs["method"], dict(kwargs.get("query_params") or {})))
        return original(*args, **kwargs)

    monkeypatch.setattr(connection, "api_request", request)
    ((_, generation),) = one.old
    assert one.delete_stale("value", 3600) is True
    assert [query["ifGenerationMatch"] for method, query in sent if method == "DELETE"] == [generation]

    def refused(*_args: Any, **kwargs: Any) -> Any:
        if kwargs["method"] == "DELETE":
            raise PreconditionFailed("the generation is another one")
        return original(**kwargs)

    one.put("value", b"x")
    one.age("value")
    monkeypatch.setattr(connection, "api_request", refused)
    assert one.delete_stale("value", 3600) is False


def test_making_one_uses_no_network() -> None:
    store({"uri": "gs://bucket", "endpoint_url": "http://127.0.0.1:9"})


@pytest.mark.parametrize("uri", ["s3://bucket", "gs://", "gs:///path", "gs://Bucket", "gs://bucket/a//b", "gs://b/x?y"])
def test_addresses_that_cannot_be(uri: str) -> None:
    with pytest.raises(KitaruUsageError, match="gs://BUCKET/path"):
        store({"uri": uri})


def test_a_bucket_that_is_missing_is_no_missing_value(settings: dict[str, Any]) -> None:
    missing = store({**settings, "uri": "gs://no-such-bucket"})
    for use in (lambda: missing.put("a", b"x"), lambda: missing.get("a"), lambda: list(missing.list())):
        with pytest.raises(KitaruBackendError, match="no-such-bucket failed: there is no such bucket"):
            use()


def test_an_upload_that_breaks_leaves_nothing(settings: dict[str, Any]) -> None:
    break_an_upload(store(settings))


def test_a_forked_child_has_a_client_of_its_own(settings: dict[str, Any]) -> None:
    use_in_a_forked_child(store(settings))


def test_a_revoked_account_is_told(settings: dict[str, Any], account: str, private_key: str) -> None:
    revoked = json.dumps({**json.loads(account), "client_email": "revoked@example", "project_id": PROJECT})
    with pytest.raises(KitaruBackendError, match="the credentials were refused") as caught:
        store({**settings, "credentials": {"method": "service-account", "service_account_json": revoked}}).put(
            "a", b"x"
        )
    assert private_key.splitlines()[3] not in str(caught.value)

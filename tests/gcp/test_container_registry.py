"""Artifact Registry's login against a registry process that sends its clients to a token service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.emulators.registry import registry_with_tokens
from tests.gcp.fake import FakeGoogle
from tests.gcp.test_services import NOWHERE, PLACE, REGISTRY, made

from kitaru.errors import KitaruBackendError
from kitaru.testing.conformance import ContainerRegistryConformance


@pytest.fixture(scope="module")
def registry(google: FakeGoogle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    def accepts(user: str, password: str) -> bool:
        return user == "oauth2accesstoken" and password in google.tokens

    google.existing.add(PLACE)
    with registry_with_tokens(tmp_path_factory.mktemp("registry"), accepts) as url:
        yield url


class TestArtifactRegistryAndARegistry(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, gcp: dict[str, Any], registry: str) -> Any:
        return made("container_registry", "gar", {**gcp, "uri": REGISTRY, "registry_url": registry})

    @pytest.fixture
    def refusing_container_registry(self, gcp: dict[str, Any], registry: str) -> Any:
        return made("container_registry", "gar", {**gcp, "uri": REGISTRY, "registry_url": NOWHERE})


def test_a_token_service_that_refuses_the_login(gcp: dict[str, Any], tmp_path: Any, google: FakeGoogle) -> None:
    with registry_with_tokens(tmp_path, lambda _user, _password: False) as url:
        gar = made("container_registry", "gar", {**gcp, "uri": REGISTRY, "registry_url": url})
        with pytest.raises(KitaruBackendError, match=r"refused the credentials \(401\)") as caught:
            gar.verify()
    assert not any(token in str(caught.value) for token in google.tokens)

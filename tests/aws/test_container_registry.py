"""ECR's login against a registry process that asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.aws.test_services import NOWHERE, REGISTRY, made
from tests.emulators.registry import registry_with_password

from kitaru.errors import KitaruBackendError
from kitaru.testing.conformance import ContainerRegistryConformance


@pytest.fixture(scope="module")
def registry(moto: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from tests.aws.conftest import CREDENTIALS, REGION

    settings = {"region": REGION, "endpoint_url": moto, "credentials": CREDENTIALS, "uri": REGISTRY}
    signed_in = made("container_registry", "ecr", settings).login()
    with registry_with_password(tmp_path_factory.mktemp("registry"), *signed_in) as url:
        yield url


class TestEcrAndARegistry(ContainerRegistryConformance):
    @pytest.fixture
    def container_registry(self, aws: dict[str, Any], registry: str) -> Any:
        return made("container_registry", "ecr", {**aws, "uri": REGISTRY, "registry_url": registry})

    @pytest.fixture
    def refusing_container_registry(self, aws: dict[str, Any], registry: str) -> Any:
        return made("container_registry", "ecr", {**aws, "uri": REGISTRY, "registry_url": NOWHERE})


def test_a_registry_that_refuses_the_login(aws: dict[str, Any], tmp_path: Path) -> None:
    with registry_with_password(tmp_path, "AWS", "another password") as url:
        ecr = made("container_registry", "ecr", {**aws, "uri": REGISTRY, "registry_url": url})
        with pytest.raises(KitaruBackendError, match="refused the credentials") as caught:
            ecr.verify()
    assert ecr.login()[1] not in str(caught.value)

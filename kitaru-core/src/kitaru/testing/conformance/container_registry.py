"""What every container registry must do."""

from __future__ import annotations

import time

import pytest

from kitaru.errors import KitaruBackendError
from kitaru.stack.components import ContainerRegistry

_BOUND_SECONDS = 60.0


class ContainerRegistryConformance:
    """Needs the fixture ``container_registry``: one that can be reached and signed in to.

    Optional: ``refusing_container_registry``, one that cannot be reached, is not there or refuses the credentials.
    """

    @pytest.fixture
    def refusing_container_registry(self) -> ContainerRegistry | None:
        """With None, what needs it is skipped."""
        return None

    def test_fits_the_protocol(self, container_registry: ContainerRegistry) -> None:
        assert isinstance(container_registry, ContainerRegistry)

    def test_its_uri_begins_an_image_name(self, container_registry: ContainerRegistry) -> None:
        uri = container_registry.uri
        assert uri and uri == uri.strip()
        assert "://" not in uri
        assert "@" not in uri
        assert not uri.endswith("/")

    def test_verifies_again_and_again(self, container_registry: ContainerRegistry) -> None:
        container_registry.verify()
        container_registry.verify()

    def test_a_failed_verification_says_why_and_in_time(
        self, refusing_container_registry: ContainerRegistry | None
    ) -> None:
        registry = refusing_container_registry
        if registry is None:
            pytest.skip("no `refusing_container_registry`")
        begun = time.monotonic()
        with pytest.raises(KitaruBackendError) as caught:
            registry.verify()
        assert time.monotonic() - begun < _BOUND_SECONDS
        assert registry.uri.partition("/")[0] in str(caught.value)

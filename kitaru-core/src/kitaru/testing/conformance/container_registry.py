"""What every container registry must do."""

from __future__ import annotations

from kitaru.stack.components import ContainerRegistry


class ContainerRegistryConformance:
    """Needs the fixture ``container_registry``: one that can be reached and signed in to."""

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

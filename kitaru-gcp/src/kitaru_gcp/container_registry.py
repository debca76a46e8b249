"""Artifact Registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kitaru.stack.registries import sign_in
from kitaru_gcp.config import project_of
from kitaru_gcp.errors import gcp_errors
from kitaru_gcp.session import Service, execute, signed_in

if TYPE_CHECKING:
    from kitaru_gcp.config import ArtifactRegistryConfig


class ArtifactRegistry:
    """See :class:`kitaru.stack.components.ContainerRegistry` for the contract."""

    def __init__(self, config: ArtifactRegistryConfig) -> None:
        self._config = config
        self._service = Service("artifactregistry", "v1", config)

    @property
    def uri(self) -> str:
        return self._config.uri

    def login(self) -> tuple[str, str]:
        """User and password for ``docker login``, good for an hour. Raises KitaruBackendError."""
        from google.auth.transport.requests import Request

        with gcp_errors(f"signing in to the container registry {self._config.uri}"):
            credentials = signed_in(self._config)
            credentials.refresh(Request())
            return "oauth2accesstoken", str(credentials.token)

    def verify(self) -> None:
        """Get an access token, look at the repository, and show the token to the registry."""
        signed_in = self.login()
        missing = "there is no such repository: make it first, or look at its name"
        with gcp_errors(f"reading the container registry {self._config.uri}", missing=missing):
            execute(self._asked())
        sign_in(self._config, *signed_in)

    def _asked(self) -> Any:
        """The question for the repository, or for the project's places where the address names none."""
        locations = self._service().projects().locations()
        host, _, path = self._config.uri.partition("/")
        project = project_of(self._config.uri)
        location, found, _ = host.partition("-docker.pkg.dev")
        repository = path.partition("/")[2].partition("/")[0]
        if found and repository:
            name = f"projects/{project}/locations/{location}/repositories/{repository}"
            return locations.repositories().get(name=name)
        return locations.list(name=f"projects/{project}")

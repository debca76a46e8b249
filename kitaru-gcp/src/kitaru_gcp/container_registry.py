"""Artifact Registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru_gcp.config import project_of
from kitaru_gcp.errors import gcp_errors
from kitaru_gcp.session import Service, signed_in

if TYPE_CHECKING:
    from kitaru_gcp.config import ArtifactRegistryConfig


class ArtifactRegistry:
    """See :class:`kitaru.stack.components.ContainerRegistry` for the contract."""

    def __init__(self, config: ArtifactRegistryConfig) -> None:
        self._config = config
        self._service = Service("https://artifactregistry.googleapis.com", config)

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
        """Get an access token, and look at the repository."""
        self.login()
        missing = "there is no such repository: make it first, or look at its name"
        with gcp_errors(f"reading the container registry {self._config.uri}", missing=missing):
            self._service.call("GET", f"v1/{self._place()}")

    def _place(self) -> str:
        """The repository, or the project where the address names none: as the interface names it."""
        host, _, path = self._config.uri.partition("/")
        project = project_of(self._config.uri)
        location, found, _ = host.partition("-docker.pkg.dev")
        repository = path.partition("/")[2].partition("/")[0]
        if found and repository:
            return f"projects/{project}/locations/{location}/repositories/{repository}"
        return f"projects/{project}/locations"

"""Azure Container Registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru_azure.errors import azure_errors

if TYPE_CHECKING:
    from kitaru_azure.config import AzureRegistryConfig


class AzureContainerRegistry:
    """See :class:`kitaru.stack.components.ContainerRegistry` for the contract."""

    def __init__(self, config: AzureRegistryConfig) -> None:
        self._config = config

    @property
    def uri(self) -> str:
        return self._config.uri

    def verify(self) -> None:
        """Sign in, trade the token for one of the registry's own, and read the repository, or the list of them.

        A repository that is not there yet is fine: the first push makes it.
        """
        from azure.core.exceptions import ResourceNotFoundError

        from kitaru_azure.session import registry_client

        host, _, repository = self._config.uri.partition("/")
        with (
            azure_errors(f"reading the container registry {host}", role="AcrPull", missing="there is no registry here"),
            registry_client(self._config) as client,
        ):
            if not repository:
                next(iter(client.list_repository_names(results_per_page=1)), None)
                return
            try:
                client.get_repository_properties(repository)
            except ResourceNotFoundError as error:
                if not _says_unknown_name(error):
                    raise


def _says_unknown_name(error: Exception) -> bool:
    """Whether a registry said that it has no such repository: any other server's 404 means there is no registry."""
    return "NAME_UNKNOWN" in str(error)

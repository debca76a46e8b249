"""Elastic Container Registry."""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

from kitaru.stack.registries import sign_in
from kitaru_aws.config import registry_parts
from kitaru_aws.errors import aws_errors
from kitaru_aws.session import client

if TYPE_CHECKING:
    from kitaru_aws.config import EcrConfig


class EcrContainerRegistry:
    """See :class:`kitaru.stack.components.ContainerRegistry` for the contract."""

    def __init__(self, config: EcrConfig) -> None:
        self._config = config

    @property
    def uri(self) -> str:
        return self._config.uri

    def login(self) -> tuple[str, str]:
        """User and password for ``docker login``, good for twelve hours. Raises KitaruBackendError."""
        _, region, _ = registry_parts(self._config.uri)
        with aws_errors(f"signing in to the container registry {self._config.uri}"):
            answer = client("ecr", self._config, region=region).get_authorization_token()
            token = answer["authorizationData"][0]["authorizationToken"]
        user, _, password = base64.b64decode(token).decode().partition(":")
        return user, password

    def verify(self) -> None:
        """Get a login token, look at the repository where the address names one, and show the token to the registry."""
        signed_in = self.login()
        account, region, repository = registry_parts(self._config.uri)
        with aws_errors(f"reading the container registry {self._config.uri}"):
            ecr = client("ecr", self._config, region=region)
            if repository:
                ecr.describe_repositories(registryId=account, repositoryNames=[repository])
            else:
                ecr.describe_repositories(registryId=account, maxResults=1)
        if not _is_elsewhere():
            sign_in(self._config, *signed_in)


def _is_elsewhere() -> bool:
    """Whether ECR's own interface was sent to another place, where there is no registry under its name."""
    return any(os.environ.get(name) for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_ECR"))

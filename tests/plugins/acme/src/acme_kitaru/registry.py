"""Acme's container registry."""

from pydantic import BaseModel


class AcmeRegistryConfig(BaseModel):
    host: str


class AcmeRegistry:
    def __init__(self, config: AcmeRegistryConfig) -> None:
        self._host = config.host

    @property
    def uri(self) -> str:
        return self._host.rstrip("/")

    def verify(self) -> None:
        return None

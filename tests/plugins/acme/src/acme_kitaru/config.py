"""Settings of Acme's components."""

from pydantic import BaseModel, ConfigDict, Field, SecretStr


class AcmeConfig(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    bucket: str = Field(pattern=r"^[a-z0-9/-]+$")
    token: SecretStr | None = None

"""What this package supplies. Read at start-up, so it imports nothing but the marker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.register import Register

_INSTALL = "pip install 'kitaru[local]'"


@hookimpl
def kitaru_register(register: Register) -> None:
    register.component(
        "artifact_store",
        "local",
        config="kitaru_local.config:LocalArtifactStoreConfig",
        implementation="kitaru_local.artifact_store:LocalArtifactStore",
        install=_INSTALL,
    )
    register.component(
        "log_store",
        "local",
        config="kitaru_local.config:LocalLogStoreConfig",
        implementation="kitaru_local.log_store:LocalLogStore",
        install=_INSTALL,
    )
    register.component(
        "secret_store",
        "local",
        config="kitaru_local.config:LocalSecretStoreConfig",
        implementation="kitaru_local.secret_store:LocalSecretStore",
        install=_INSTALL,
    )
    register.component(
        "orchestrator", "local", implementation="kitaru_local.orchestrator:LocalOrchestrator", install=_INSTALL
    )
    register.stack_type(
        "local", provider="local", display="Local", fields={}, components="kitaru_local.stack:components"
    )
    register.uri_scheme("file://", provider="local")
    register.command(
        "secret-key", "kitaru_local.cli:secret_key", help="Keep the key of local secrets in a file or in the keyring."
    )

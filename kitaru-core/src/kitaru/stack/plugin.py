"""What the core itself supplies, through the same door as everybody: log stores that belong to no provider.

Read at start-up, so it imports nothing but the marker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kitaru.plugins import hookimpl

if TYPE_CHECKING:
    from kitaru.plugins.register import Register


@hookimpl
def kitaru_register(register: Register) -> None:
    register.component(
        "log_store",
        "artifact-store",
        config="kitaru.stack.artifact_logs:ArtifactLogStoreConfig",
        implementation="kitaru.stack.artifact_logs:ArtifactLogStore",
    )
    register.component(
        "log_store",
        "otel",
        config="kitaru.stack.otel_logs:OtelLogStoreConfig",
        implementation="kitaru.stack.otel_logs:OtelLogStore",
        install="pip install 'kitaru[otel]'",
    )

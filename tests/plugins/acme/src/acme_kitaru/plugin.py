"""What Acme supplies, and what Acme observes."""

import os
from typing import Any

from kitaru.plugins import hookimpl


@hookimpl
def kitaru_register(register: Any) -> None:
    register.component(
        "artifact_store",
        "acme",
        config="acme_kitaru.config:AcmeConfig",
        implementation="acme_kitaru.store:AcmeStore",
        install="pip install acme-kitaru",
    )
    register.component("log_store", "acme", implementation="acme_kitaru.logs:AcmeLogs")
    register.component("secret_store", "acme", implementation="acme_kitaru.secrets:AcmeSecrets")
    register.component(
        "container_registry",
        "acme",
        config="acme_kitaru.registry:AcmeRegistryConfig",
        implementation="acme_kitaru.registry:AcmeRegistry",
    )
    register.component("orchestrator", "acme", implementation="acme_kitaru.orchestrator:AcmeOrchestrator")
    register.stack_type(
        "acme",
        provider="acme",
        display="Acme",
        fields={"artifact_store": "required", "region": "optional"},
        components="acme_kitaru.stack:components",
    )
    register.uri_scheme("acme://", provider="acme")
    register.command("acme", "acme_kitaru.cli:command", help="Say hello from Acme.")
    register.serializer("acme_kitaru.types:Tensor", "acme_kitaru.codec:TensorCodec")


@hookimpl
def kitaru_execution_started(execution: Any) -> None:
    _note("started", execution.exec_id, str(execution.status))


@hookimpl
def kitaru_execution_finished(execution: Any) -> None:
    _note("finished", execution.exec_id, str(execution.status), len(execution.checkpoints))


@hookimpl
def kitaru_checkpoint_finished(call: Any) -> None:
    _note("call", call.invocation_id, str(call.status), len(call.attempts))


def _note(*what: object) -> None:
    path = os.environ.get("ACME_OBSERVED")
    if path:
        with open(path, "a") as file:
            file.write(" ".join(map(str, what)) + "\n")

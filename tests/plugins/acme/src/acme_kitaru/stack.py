"""Acme's stack type."""

from collections.abc import Mapping
from typing import Any

from kitaru.stack.components import Component, Place


def components(fields: Mapping[str, Any], place: Place) -> list[Component]:
    return [
        Component("artifact_store", "acme", {"bucket": fields["artifact_store"].removeprefix("acme://")}),
        Component("log_store", "acme"),
        Component("orchestrator", "acme"),
    ]
